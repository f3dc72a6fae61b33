"""`linkscope why`: who asks for a library, and where the loader would look for it."""

from __future__ import annotations

import click

from linkscope.analysis.request import Assumptions
from linkscope.analysis.why import why
from linkscope.cli import exit_codes
from linkscope.cli.completion import files
from linkscope.cli.help import Command, examples
from linkscope.cli.options import assumptions, formats
from linkscope.cli.output import Output, complain
from linkscope.report.escape import exact, quoted

_EXAMPLES = examples(
    "linkscope why /usr/bin/gdb libz.so.1",
    "linkscope why --root ./image /usr/bin/app libssl.so.3",
)


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("file", shell_complete=files)
@click.argument("library")
@formats("text", "json")
@assumptions
def command(file: str, library: str, form: str, assumptions: Assumptions) -> int:
    """Who asks for LIBRARY when FILE starts, and where the loader would look for it.

    LIBRARY is a name as files ask for it (libz.so.1). What would mend a failed search is said at the end.

    Exit code: 0 if the loader finds it, 1 if it does not or nothing asks for it, 2 if FILE cannot be analysed.
    """
    if not library:
        raise click.UsageError("The name of the library is empty.")
    document = why(file, library, assumptions)
    output = Output()
    if form == "json":
        from linkscope.report.json import visible, whole

        output.write(visible(whole(document)) if output.terminal else whole(document))
    else:
        from linkscope.report.why import render

        for error in document.errors:
            complain(f"{quoted(exact(error.path, error.path_bytes))}: {error.error}")
        if not document.errors:
            output.write(render(document, output.page()))
    output.flush()
    if document.errors:
        return exit_codes.FAILED
    return exit_codes.WRONG if document.path_found is None else exit_codes.FINE

"""`linkscope targets`: the systems that are known, and on which of them a file starts."""

from __future__ import annotations

import click

from linkscope.analysis.request import Assumptions
from linkscope.analysis.targets import targets
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.completion import files
from linkscope.cli.help import Command, examples
from linkscope.cli.options import assumptions, formats
from linkscope.cli.output import Output, complain
from linkscope.report.escape import exact, quoted

_EXAMPLES = examples(
    "linkscope targets",
    "linkscope targets ./app",
    "linkscope targets --target debian:11 --target rhel8 dist/app-1.0.whl",
)


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("paths", metavar="[PATH...]", nargs=-1, shell_complete=files)
@click.option(
    "--target",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this system (debian:11, ubuntu:jammy, rhel8, manylinux2014). May be given several times.",
)
@formats("text", "json")
@assumptions
@interrupts.tidied_up()
def command(paths: tuple[str, ...], names: tuple[str, ...], form: str, assumptions: Assumptions) -> int:
    """The systems that are known; with PATH, the oldest release of each on which the file starts, and why no older.

    PATH may be a file, a folder or a package, of which all files have to start. A system is a minimal install: what
    else a program needs is said with the package that brings it, where that is known.

    Exit code: 0, or 2 if something could not be analysed.
    """
    document = targets(paths, names, assumptions)
    output = Output()
    if form == "json":
        from linkscope.report.json import visible, whole

        output.write(visible(whole(document)) if output.terminal else whole(document))
    else:
        from linkscope.report.targets import render

        for error in document.errors:
            complain(f"{quoted(exact(error.path, error.path_bytes))}: {error.error}")
        for piece in render(document, output.page(), listed=not paths, named=bool(names)):
            output.write(piece)
    output.flush()
    return exit_codes.FAILED if document.errors else exit_codes.FINE

"""`linkscope why`: who asks for a library, and where the loader would look for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from linkscope.analysis.request import Assumptions
from linkscope.analysis.why import why
from linkscope.cli import exit_codes
from linkscope.cli.answers import answered
from linkscope.cli.completion import files
from linkscope.cli.help import Command, examples
from linkscope.cli.options import assumptions, formats

if TYPE_CHECKING:
    from linkscope.model.why import WhyDocument
    from linkscope.report.page import Page

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
    answered(document, form, _text)
    if document.errors:
        return exit_codes.FAILED
    return exit_codes.WRONG if document.path_found is None else exit_codes.FINE


def _text(document: WhyDocument, page: Page) -> Iterator[str]:
    from linkscope.report.why import render  # JSON does not need it

    if not document.errors:
        yield render(document, page)

"""`linkscope targets`: the systems that are known, and on which of them a file starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from linkscope.analysis.request import Assumptions
from linkscope.analysis.targets import targets
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.answers import answered
from linkscope.cli.completion import files
from linkscope.cli.help import Command, examples
from linkscope.cli.options import assumptions, formats

if TYPE_CHECKING:
    from linkscope.model.targets import TargetsDocument
    from linkscope.report.page import Page

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
    answered(document, form, lambda found, page: _text(found, page, listed=not paths, named=bool(names)))
    return exit_codes.FAILED if document.errors else exit_codes.FINE


def _text(document: TargetsDocument, page: Page, *, listed: bool, named: bool) -> Iterator[str]:
    from linkscope.report.targets import render  # JSON does not need it

    return render(document, page, listed=listed, named=named)

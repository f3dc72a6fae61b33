"""`linkscope diff`: what changed from one release to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

import click

from linkscope.analysis.diff import diff
from linkscope.analysis.request import Assumptions
from linkscope.cli import completion, exit_codes, interrupts
from linkscope.cli.answers import answered
from linkscope.cli.help import Command, examples
from linkscope.cli.options import assumptions, formats
from linkscope.model.diff import ChangeCode, Impact
from linkscope.model.meant import asked, meant
from linkscope.policy.changes import failing

if TYPE_CHECKING:
    from linkscope.model.diff import DiffDocument
    from linkscope.report.page import Page

_EXAMPLES = examples(
    "linkscope diff ./app-1.0 ./app-1.1",
    "linkscope diff --fail-on abi-break,floor-raised old.whl new.whl",
    "linkscope diff --max-growth 5 build/previous build/now",
)
# The codes of changes, and what they mean, as --fail-on takes them.
_NAMES = (*get_args(ChangeCode), *(impact for impact in get_args(Impact) if impact != "none"))


def _names(_context: click.Context, _option: click.Parameter, value: str | None) -> frozenset[str]:
    """The codes and impacts of --fail-on; one that there is none of is refused with what there is."""
    names = [name.strip() for name in (value or "").split(",") if name.strip()]
    if value is not None and not names:
        raise click.BadParameter("names no change; a variable that is not set would switch the gate off")
    for name in names:
        if name not in _NAMES:
            hint = asked(meant(name, _NAMES)) or f"; there are {', '.join(_NAMES)}"
            raise click.BadParameter(f"{name!r} is no change that is told{hint}")
    return frozenset(names)


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("old", shell_complete=completion.files)
@click.argument("new", shell_complete=completion.files)
@formats("text", "json")
@click.option(
    "--fail-on",
    metavar="NAMES",
    callback=_names,
    shell_complete=completion.several(_NAMES),
    help="The changes that make the exit code 1, with commas between them: by what they mean "
    f"({', '.join(get_args(Impact)[:-1])}) or by code ({', '.join(get_args(ChangeCode))}).",
)
@click.option(
    "--max-growth",
    metavar="PERCENT",
    type=click.FloatRange(min=0),
    help="Exit with 1 if a file has grown by more than that.",
)
@assumptions
@interrupts.tidied_up()
def command(
    old: str, new: str, form: str, fail_on: frozenset[str], max_growth: float | None, assumptions: Assumptions
) -> int:
    """What changed from OLD to NEW: two files, folders or packages.

    Told are linkage, dependencies, the versions needed, what is inside, hardening, exported symbols, and sizes. A
    raised floor is a risk where the release is deployed; what programs that were linked before would miss is an ABI
    break. Files of folders and packages belong together by name, by soname, or when they differ in numbers alone.

    Exit code: 0, or 1 if there is a change that --fail-on names, 2 if something could not be analysed.
    """
    document = diff(old, new, assumptions)
    answered(document, form, _text)
    if document.errors:
        return exit_codes.FAILED
    growth = None if max_growth is None else max_growth / 100
    return exit_codes.WRONG if failing(document.changes, fail_on, growth) else exit_codes.FINE


def _text(document: DiffDocument, page: Page) -> Iterator[str]:
    from linkscope.report.diff import render  # JSON does not need it

    return render(document, page)

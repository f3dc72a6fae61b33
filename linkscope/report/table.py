"""Columns of text: as wide as what stands in them, narrowed or left out where the page is narrow."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from linkscope.report.escape import escape
from linkscope.report.lines import clipped
from linkscope.report.page import INDENT, Page, Span, cells, cut

GAP = 2
"""Columns between two columns."""
_TINY = 5  # what is left of a column that may be narrowed on a page for which all are too wide


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a table.

    right: its cells end at one edge, as numbers do. least: the width that a narrow page leaves of it (0: all of it).
    spare: above 0 it is left out where even the least widths find no room, the highest first. middle: its cells lose
    their middle, as paths do; others lose their end.
    """

    title: str
    right: bool = False
    least: int = 0
    spare: int = 0
    middle: bool = False


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Span]], page: Page, indent: int = INDENT
) -> list[list[Span]]:
    """The line of the titles, and one line for each row; a column without a cell that says anything is left out.

    The last columns are narrowed first.
    """
    escaped = [[(escape(text), style) for text, style in row] for row in rows]
    natural = [max((cells(row[place][0]) for row in escaped), default=0) for place in range(len(columns))]
    shown = [place for place, width in enumerate(natural) if width]
    for place in shown:
        natural[place] = max(natural[place], len(columns[place].title))
    widths = _fitted(columns, natural, shown, None if page.width is None else page.width - indent)
    titles = [(column.title, "faint") for column in columns]
    return [_line(columns, row, widths, indent) for row in (titles, *escaped)]


def _fitted(
    columns: Sequence[Column], natural: Sequence[int], places: Sequence[int], room: int | None
) -> dict[int, int]:
    """The width of each column that is shown, by its place among COLUMNS."""
    widths = {place: natural[place] for place in places}
    if room is None:
        return widths
    least = {place: min(width, columns[place].least or width) for place, width in widths.items()}
    while _sum(least) > room and (spare := [place for place in least if columns[place].spare]):
        left_out = max(spare, key=lambda place: columns[place].spare)
        del least[left_out], widths[left_out]
    _narrow(widths, least, room)
    _narrow(
        widths, {place: min(width, _TINY) if columns[place].least else width for place, width in least.items()}, room
    )
    return widths


def _narrow(widths: dict[int, int], least: dict[int, int], room: int) -> None:
    """Takes from WIDTHS, the last ones first, what is more than ROOM, but leaves the LEAST of each."""
    for place in reversed(list(widths)):
        widths[place] = max(least[place], widths[place] - max(0, _sum(widths) - room))


def _sum(widths: dict[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _line(columns: Sequence[Column], row: Sequence[Span], widths: dict[int, int], indent: int) -> list[Span]:
    line: list[Span] = [(" " * indent, "")] if indent else []
    last = max(widths, default=0)
    for place, width in widths.items():
        text, style = row[place]
        shown = cut(text, width) if columns[place].middle else clipped(text, width)
        space = " " * (width - cells(shown))
        if columns[place].right:
            line += [(space, ""), (shown, style)]
        else:
            line += [(shown, style), (space if place != last else "", "")]
        if place != last:
            line.append((" " * GAP, ""))
    return line

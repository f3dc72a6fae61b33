"""A table with a column for each program: what can be compared stands in one line, and the best is marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import msgspec

from linkscope.report.compare.names import in_common, titles
from linkscope.report.escape import escape
from linkscope.report.page import INDENT, Page, Span, cells, cut

Mark = Literal["", "*", "="]
NONE = "–"
"""Stands where a program has no such figure."""
_GAP = 3  # columns behind a value: a mark stands in the middle one
_LEAST = 8  # of a column, so that what is left of a name still says something
_LABEL = 20  # columns that what all names begin with may take
_STYLES = {"*": "good", "=": "good", "": ""}
LEGEND = "* the best by the verdict, = as good (equal, or not to be told apart)"


class Row(msgspec.Struct, frozen=True):
    """One line: what it is about, and a value for each program. marks: which values are the best, or as good."""

    label: str
    values: Sequence[str]
    marks: Sequence[Mark] = ()


def side_by_side(rows: Sequence[Row], names: Sequence[str], page: Page) -> Iterator[list[Span]]:
    """The titles and ROWS; what finds no room beside the others stands below them, in another block.

    On a narrow page what all NAMES begin with stands once, above the labels, and the rest in several lines.
    """
    rows = [_bounded(row, page) for row in rows]
    label = max((cells(row.label) for row in rows), default=0)
    least = [max((cells(row.values[place]) for row in rows), default=0) for place in range(len(names))]
    room = None if page.width is None else page.width - INDENT - label - 1
    if room is None or _wide(names, least) <= room:
        yield from _block(rows, {place: [name] for place, name in enumerate(names)}, label, "")
        return
    begin = in_common(names)
    names = [name.removeprefix(begin) for name in names]
    if begin:
        label = max(label, min(cells(begin) + 1, _LABEL))
        begin = f"{cut(begin, label - 1)}…"
    room = page.width - INDENT - label - 1 if page.width else 0
    for number, block in enumerate(_blocks(least, room)):
        if number:
            yield []
        told = [row for row in rows if any(row.values[place] != NONE for place in block)]
        chosen = [names[place] for place in block]
        lines = titles(chosen, _longest(chosen, [least[place] for place in block], room))
        yield from _block(told, dict(zip(block, lines, strict=True)), label, begin)


def _bounded(row: Row, page: Page) -> Row:
    """ROW, escaped, with labels and values out of files no wider than a page has room for."""
    if page.width is None:
        return Row(escape(row.label), [escape(value) for value in row.values], row.marks)
    label = cut(row.label, max(_LEAST, page.width // 3))
    return Row(label, [cut(value, max(_LEAST, page.width // 4)) for value in row.values], row.marks)


def _wide(names: Sequence[str], least: Sequence[int]) -> int:
    return sum(_GAP + max(cells(name), width) for name, width in zip(names, least, strict=True))


def _blocks(least: Sequence[int], room: int) -> list[list[int]]:
    """The places of the columns, as many together as fit, at least one; each block has as many where that fits too."""
    widths = [_GAP + max(width, _LEAST) for width in least]
    blocks: list[list[int]] = []
    for place, width in enumerate(widths):
        if not blocks or sum(widths[one] for one in blocks[-1]) + width > room:
            blocks.append([])
        blocks[-1].append(place)
    ends = [round(number * len(least) / len(blocks)) for number in range(len(blocks) + 1)]
    even = [list(range(start, end)) for start, end in pairwise(ends)]
    return even if all(sum(widths[one] for one in block) <= room for block in even) else blocks


def _longest(names: Sequence[str], least: Sequence[int], room: int) -> int:
    """How wide a title may be, so that all find room."""
    longest = max(map(cells, names))
    while longest > _LEAST and _wide([name[:longest] for name in names], least) > room:
        longest -= 1
    return longest


def _block(rows: Sequence[Row], heads: dict[int, list[str]], label: int, begin: str) -> Iterator[list[Span]]:
    """One block with the columns of HEADS: of each its place, and the lines of its title."""
    widths = [max(cells(text) for text in [*lines, *(row.values[p] for row in rows)]) for p, lines in heads.items()]
    height = max(map(len, heads.values()))
    for number in range(height):
        above = [lines[place] if (place := number - height + len(lines)) >= 0 else "" for lines in heads.values()]
        first = begin if number == height - 1 else ""
        yield _line(first, [(text, "name", "") for text in above], label, widths)
    for row in rows:
        marks = row.marks or [""] * len(row.values)
        shown = [(row.values[place], _STYLES[marks[place]], marks[place]) for place in heads]
        yield _line(row.label, shown, label, widths)


def _line(label: str, shown: Sequence[tuple[str, str, str]], room: int, widths: Sequence[int]) -> list[Span]:
    """LABEL and what is SHOWN: texts, each with its style and its mark."""
    line: list[Span] = [(" " * INDENT + label + " " * (room - cells(label)), "faint")]
    behind = _GAP - 1
    for (text, style, mark), width in zip(shown, widths, strict=True):
        line += [(" " * (behind + width - cells(text)), ""), (f"{text} {mark}" if mark else text, style)]
        behind = _GAP - (1 + len(mark) if mark else 0)
    return line

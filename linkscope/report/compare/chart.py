"""Bars in a terminal, one for each program: what its file consists of, and what many copies of it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkscope.model.compare import Program, copies_in_common
from linkscope.model.quantities import size
from linkscope.report.compare.names import narrowed
from linkscope.report.compare.parts import KINDS, amounts, kinds_of
from linkscope.report.page import INDENT, Page, Span, cells, flow

_FULL, _SHORTEST = 60, 10  # columns of the longest bar, where there is room, and where there is none
_NAME = 24  # columns that a name may take beside a bar
_VALUE = 8
# The first copy, and what the others add.
_FIRST, _OTHERS = ("█", "#"), ("▒", "+")
Segment = tuple[int, str]
"""An amount, and the character that stands for it."""


def sizes(programs: Sequence[Program], names: Sequence[str], page: Page) -> Iterator[list[Span]]:
    """A bar for the size of each file, divided into what it consists of, and what the characters mean."""
    bars = [
        [(amount, _sign(KINDS[kind].block, KINDS[kind].letter, page)) for kind, amount in amounts(program).items()]
        for program in programs
    ]
    yield from _bars(names, bars, [program.size for program in programs], page)
    legend = [(_sign(KINDS[kind].block, KINDS[kind].letter, page), KINDS[kind].called) for kind in kinds_of(programs)]
    yield from _legend(legend, page)


def memory(programs: Sequence[Program], names: Sequence[str], page: Page) -> Iterator[list[Span]]:
    """A bar for the memory of as many copies as all came to; nothing where there never were several."""
    count = copies_in_common(programs)
    if count is None:
        return
    ones, many = ([program.copies_of(number) for program in programs] for number in (1, count))
    first, others = _sign(*_FIRST, page), _sign(*_OTHERS, page)
    bars: list[list[Segment]] = []
    for alone, copies in zip(ones, many, strict=True):
        whole = copies.pss if copies else 0
        start = min(alone.pss, whole) if alone else 0
        bars.append([(start, first), (whole - start, others)])
    yield from _bars(names, bars, [copies.pss if copies else 0 for copies in many], page)
    legend = [(first, "one copy alone")] if any(ones) else []
    yield from _legend(
        [*legend, (others, f"what {count - len(legend)} more add" if legend else f"{count} copies")], page
    )


def _sign(block: str, letter: str, page: Page) -> str:
    return block if page.unicode else letter


def _bars(
    names: Sequence[str], bars: Sequence[Sequence[Segment]], totals: Sequence[int], page: Page
) -> Iterator[list[Span]]:
    names = narrowed(names, max(map(cells, names), default=0) if page.width is None else min(_NAME, page.width // 3))
    label = max(map(cells, names), default=0)
    room = _FULL if page.width is None else page.width - INDENT - label - _VALUE - 4
    width = max(_SHORTEST, min(_FULL, room))
    longest = max(totals, default=0)
    for name, segments, total in zip(names, bars, totals, strict=True):
        bar = _drawn(segments, longest, width)
        used = sum(cells(text) for text, _ in bar)
        yield [
            (" " * INDENT + name + " " * (label - cells(name) + 2), ""),
            *bar,
            (" " * (width - used + 2) + f"{size(total) if total else '–':>{_VALUE}}", ""),
        ]


def _drawn(segments: Sequence[Segment], longest: int, width: int) -> list[Span]:
    """SEGMENTS, LONGEST taking WIDTH columns. Each ends at the column that is nearest to its end, so that no rounding
    adds up; a whole that is not nothing has one column at least, of its largest segment.
    """
    spans: list[Span] = []
    end = drawn = 0
    for amount, sign in segments:
        end += amount
        columns = (round(width * end / longest) if longest else 0) - drawn
        if columns > 0:
            spans.append((sign * columns, "how"))
            drawn += columns
    if not drawn and end:
        return [(max(segments)[1], "how")]
    return spans


def _legend(signs: Sequence[tuple[str, str]], page: Page) -> Iterator[list[Span]]:
    yield from flow([(f"{sign} {said}", "faint") for sign, said in signs], page, [(" " * INDENT, "")], [], "   ")

"""What the files consist of: kinds of bytes in their order, and what stands for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from linkscope.model.compare import Part, PartKind, Program
from linkscope.model.quantities import size
from linkscope.report.compare.sidebyside import NONE, Row


class Kind(msgspec.Struct, frozen=True):
    """A kind of part. called: in a legend. block, letter: what a bar has for it, where blocks can be shown or not.

    colour: in the plot, as #RRGGBB; of those that people with any kind of colour vision tell apart (Okabe and Ito,
    Color Universal Design, 2008).
    """

    called: str
    block: str
    letter: str
    colour: str


KINDS: dict[PartKind, Kind] = {
    "own-code": Kind("own/unknown code", "█", "#", "#d55e00"),
    "library-code": Kind("libraries' code", "▓", "L", "#0072b2"),
    "read-only-data": Kind("read-only data", "▒", "r", "#56b4e9"),
    "data": Kind("data", "░", "d", "#009e73"),
    "linking": Kind("for the loader", "▚", "l", "#f0e442"),
    "symbols": Kind("symbols", "▪", "s", "#cc79a7"),
    "debug": Kind("debug", "▫", "g", "#999999"),
    "other": Kind("other", "·", ".", "#dddddd"),
}


def amounts(program: Program) -> dict[PartKind, int]:
    """How many bytes of each kind the file has, without those of which it has none."""
    found = dict.fromkeys(KINDS, 0)
    for part in program.parts:
        found[part.kind] += part.size
    return {kind: amount for kind, amount in found.items() if amount}


def kinds_of(programs: Sequence[Program]) -> list[PartKind]:
    """The kinds of which one of PROGRAMS has something."""
    there = {part.kind for program in programs for part in program.parts if part.size}
    return [kind for kind in KINDS if kind in there]


def rows(programs: Sequence[Program]) -> Iterator[Row]:
    """A row for each kind, and for each library below its kind; the largest library first."""
    for kind in kinds_of(programs):
        yield Row(KINDS[kind].called, [_amount(one.size for one in _of(program, kind)) for program in programs])
        named = {part.name: 0 for program in programs for part in _of(program, kind) if part.name}
        for program in programs:
            for part in _of(program, kind):
                if part.name:
                    named[part.name] = max(named[part.name], part.size)
        for name in sorted(named, key=lambda name: (-named[name or ""], name)):
            yield Row(f"  {name}", [_amount(p.size for p in _of(one, kind) if p.name == name) for one in programs])


def _of(program: Program, kind: PartKind) -> list[Part]:
    return [part for part in program.parts if part.kind == kind]


def _amount(sizes: Iterator[int]) -> str:
    """As elsewhere, but exact where it is less than a KiB: a small program's own code is."""
    total = sum(sizes)
    if not total:
        return NONE
    return size(total) if total >= 1024 else f"{total} B"

"""Known code in a file: each byte of it once, and which archives hold it.

Among signatures that fit overlapping bytes, the one that compares the most of them counts: a short function's code also
stands inside longer ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents.copied import is_copied
from linkscope.contents.fingerprints import Archive
from linkscope.contents.matcher import Match

if TYPE_CHECKING:
    from linkscope.contents.known import Pack

# Up to so many fixed bytes, compilers make the same code of unrelated sources: accessors, loops over an array,
# functions that collect their variable arguments for another one (up to 180 bytes of x86-64). Measured over 2,300
# programs and libraries of a Debian 12 against 290 archives that nearly none of them holds: what remained were copies.
COMMON = 128
"""Fixed bytes: no more of them prove anything by themselves."""
PROOF = 256
"""So many fixed bytes beyond COMMON in each code, once for the same, prove that a library is inside."""
PADDING = 64
"""Bytes: the alignment of sections, which may part two that a linker put one behind the other."""
Number = tuple[int, int]
"""Of an archive: the pack, and the archive's number there."""


class Holder(msgspec.Struct, frozen=True):
    """One archive that holds a piece of code, and where."""

    archive: Number
    member: str
    section: str


class Region(msgspec.Struct, frozen=True):
    """Bytes of the file that are known code, and who holds it.

    code: by what it is the same as elsewhere. telling: whether it can prove anything: it is no header's code, and in
    no archive a copy.
    """

    start: int
    length: int
    fixed: int
    code: tuple[int, int]
    telling: bool
    holders: tuple[Holder, ...]

    @property
    def is_firm(self) -> bool:
        """Whether it proves something by itself."""
        return self.telling and self.fixed > COMMON


class Known(msgspec.Struct, frozen=True):
    """The known code of a file, by its start, and the archives that hold some of it, without their signatures."""

    regions: list[Region]
    archives: dict[Number, Archive]


def known(found: Iterable[Match], architecture: str, packs: Sequence[Pack]) -> Known:
    """What was FOUND by a search of the PACKS, each byte once, and whose it is."""
    settled = _settled(found)
    codes = {(match.pack, match.code) for same in settled for match in same}
    holders: dict[tuple[int, int], list[Holder]] = {}
    common: set[tuple[int, int]] = set()
    for number, pack in enumerate(packs):
        for place in pack.places(architecture, sorted(code for one, code in codes if one == number)):
            holder = Holder((number, place.archive), place.member, place.section)
            holders.setdefault((number, place.code), []).append(holder)
            if place.shared:
                common.add((number, place.code))
    archives = _archives((holder.archive for there in holders.values() for holder in there), packs)
    for code, there in holders.items():
        owners = [(archives[holder.archive], holder.member) for holder in there]
        if any(is_copied(archive.called, archive.name, member) for archive, member in owners):
            common.add(code)
    return Known([_region(same, holders, common) for same in settled if _held(same, holders)], archives)


def _held(same: Sequence[Match], holders: Mapping[tuple[int, int], Sequence[Holder]]) -> tuple[Holder, ...]:
    """All that hold the code of matches of the same bytes, each once."""
    codes = sorted({(match.pack, match.code) for match in same})
    return tuple(dict.fromkeys(holder for code in codes for holder in holders.get(code, ())))


def _region(
    same: Sequence[Match],
    holders: Mapping[tuple[int, int], Sequence[Holder]],
    common: AbstractSet[tuple[int, int]],
) -> Region:
    codes = {(match.pack, match.code) for match in same}
    return Region(
        start=same[0].start,
        length=same[0].length,
        fixed=same[0].fixed,
        code=min(codes),
        telling=common.isdisjoint(codes),
        holders=_held(same, holders),
    )


def _settled(found: Iterable[Match]) -> list[list[Match]]:
    """The matches that stand beside each other, those of the same bytes together.

    Of those that overlap, the one that compared most bytes remains: no linker lays sections over one another.
    """
    starts: list[int] = []
    settled: list[list[Match]] = []
    for match in sorted(found, key=lambda one: (-one.fixed, one.start)):
        at = bisect_left(starts, match.start)
        if at < len(starts):
            after = settled[at][0]
            if (after.start, after.length) == (match.start, match.length):
                settled[at].append(match)
                continue
            if match.start + match.length > after.start:
                continue
        if at and starts[at - 1] + settled[at - 1][0].length > match.start:
            continue
        starts.insert(at, match.start)
        settled.insert(at, [match])
    return settled


def proof(there: Iterable[Region], common: int = COMMON) -> int:
    """How much the regions prove together: their fixed bytes beyond so many COMMON ones, once for the same code."""
    return sum({r.code: r.fixed - common for r in there if r.telling and r.fixed > common}.values())


def _archives(wanted: Iterable[Number], packs: Sequence[Pack]) -> dict[Number, Archive]:
    ordered = sorted(set(wanted))
    archives: dict[Number, Archive] = {}
    for number, pack in enumerate(packs):
        numbers = [archive for one, archive in ordered if one == number]
        for archive, said in zip(numbers, pack.archives(numbers), strict=True):
            archives[number, archive] = said
    return archives

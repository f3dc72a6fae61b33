"""Which library each piece of known code in a file goes to.

Where several hold the same code, it goes to the one of which most is there: a library that merely carries a copy of
another's sources is then not accused.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

import msgspec

from linkscope.contents.copied import is_collection, is_runtime, source_of
from linkscope.contents.fingerprints import Archive
from linkscope.contents.regions import COMMON, PADDING, PROOF, Number, Region, proof

# What is copied from project to project is a source file, and a member of an archive is one: code of a single one
# shows that it is there, and not whose it is. It does where the member is such a part of an archive that whoever copied
# it has the library: 1 of its members, or of its bytes, in this number. Over 1,214 programs and libraries of a Debian
# 12, what single members accused wrongly were parts of 1/24 and less (strutils.c of util-linux, RIPEMD-160 of nettle, a
# file that glib's tools generate); zlib's crc32.o is one of 15 members.
_PART = 20


class Claim(msgspec.Struct, frozen=True):
    """What a library explains of a file, and none that is more there does. regions: by their start."""

    library: str
    regions: tuple[Region, ...]


def claims(
    regions: Sequence[Region],
    archives: Mapping[Number, Archive],
    told: Container[str] = (),
) -> Iterator[Claim]:
    """A claim for each library that is proven by the regions, which are given by their start.

    Where two are proven by the same bytes, the smaller one is named: the other one carries a copy.
    told: libraries that the file's texts or symbols prove.
    """
    wanted: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    for archive in archives.values():
        name = archive.called
        sizes[name] = max(sizes.get(name, 0), archive.size)
    for number, region in enumerate(regions):
        for name in {archives[holder.archive].called for holder in region.holders}:
            wanted.setdefault(name, []).append(number)
    left = set(range(len(regions)))
    while wanted:
        weights = {name: proof(regions[n] for n in numbers if n in left) for name, numbers in wanted.items()}
        best = max(weights, key=lambda name: (weights[name], -sizes[name], name))
        if weights[best] < PROOF:
            return
        numbers = wanted.pop(best)
        rows = list(_in_company([regions[number] for number in numbers if number in left]))
        claim = Claim(best, tuple(region for row in rows for region in row))
        own = {number: archive for number, archive in archives.items() if archive.called == best}
        if best in told or _has_several_sources(rows, own) or _is_enough(claim, own):
            yield claim
            left.difference_update(numbers)


def _in_company(regions: Sequence[Region]) -> Iterator[list[Region]]:
    """The regions that stand together, without those that are short and stand apart: such code may be anybody's.

    Linkers put what they take from an archive together: together such regions are long enough to be no chance.
    """
    row: list[Region] = []
    for region in regions:
        if row and region.start - row[-1].start - row[-1].length >= PADDING:
            if _is_long_enough(row):
                yield row
            row = []
        row.append(region)
    if _is_long_enough(row):
        yield row


def _is_long_enough(row: Iterable[Region]) -> bool:
    return sum({region.code: region.fixed for region in row}.values()) >= COMMON


def _has_several_sources(rows: Iterable[Collection[Region]], own: Mapping[Number, Archive]) -> bool:
    """Whether no single source file of the library has all that is telling.

    own: its archives. What is short tells beside code that proves something.
    """
    there: frozenset[str] | None = None
    for row in rows:
        if not any(region.is_firm for region in row):
            continue
        for region in row:
            if region.telling:
                sources = frozenset(source_of(one.member) for one in region.holders if one.archive in own)
                there = sources if there is None else there & sources
    return there is not None and not there


def _is_enough(claim: Claim, own: Mapping[Number, Archive]) -> bool:
    """Whether what is there of one source file alone says whose it is. own: the archives of the library."""
    sizes: dict[Number, int] = {}
    for region in claim.regions:
        for number in {holder.archive for holder in region.holders if holder.archive in own and region.telling}:
            sizes[number] = sizes.get(number, 0) + region.length
    return any(
        is_runtime(own[number].name)
        or (not is_collection(own[number].name) and (size * _PART >= own[number].size or own[number].members <= _PART))
        for number, size in sizes.items()
    )

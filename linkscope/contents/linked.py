"""Which archives of one release of a library are linked into a file, and how much of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from linkscope.contents.fingerprints import Archive
from linkscope.contents.regions import Holder, Number, Region, proof

# So many fixed bytes, in sections of so many, prove that an archive of a library is inside that is proven itself.
_ARCHIVE = 96
_TELLING = 32


class LinkedArchive(msgspec.Struct, frozen=True):
    """An archive of which code was found. archive: what its pack says of it (without signatures).

    sections, members: how many of the archive's were found; size: the bytes in the file that they explain.
    """

    archive: Archive
    sections: int
    members: int
    size: int


def linked_archives(regions: Sequence[Region], archives: Mapping[Number, Archive]) -> tuple[LinkedArchive, ...]:
    """The release's archives that explain code which no archive with more of it does, each with its part."""
    claims: dict[Number, list[Region]] = {}
    for region in regions:
        for number in {holder.archive for holder in region.holders if holder.archive in archives}:
            claims.setdefault(number, []).append(region)
    explained: set[int] = set()
    found: list[LinkedArchive] = []
    while claims:
        own = {number: [r for r in one if r.start not in explained] for number, one in claims.items()}
        proofs = {number: proof((r for r in one if r.fixed >= _TELLING), 0) for number, one in own.items()}
        best = max(own, key=lambda number: (proofs[number], -archives[number].size))
        if proofs[best] < _ARCHIVE:
            break
        found.append(_linked_archive(own[best], best, archives[best]))
        explained.update(region.start for region in own[best])
        del claims[best]
    return tuple(found)


def _linked_archive(regions: Sequence[Region], number: Number, archive: Archive) -> LinkedArchive:
    """How much of the archive is there. Code that several of its sections share counts as often as it is there."""
    taken: set[Holder] = set()
    for region in regions:
        own = [holder for holder in region.holders if holder.archive == number]
        taken.add(next((holder for holder in own if holder not in taken), own[0]))
    return LinkedArchive(
        archive=archive,
        sections=len(taken),
        members=len({holder.member for holder in taken}),
        size=size_of(regions),
    )


def size_of(regions: Iterable[Region]) -> int:
    """Their bytes."""
    return sum(region.length for region in regions)

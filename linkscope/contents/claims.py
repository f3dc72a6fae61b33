"""Which library each piece of known code in a file goes to.

Where several hold the same code, it goes to the one of which most is there: a library that merely carries a copy of
another's sources is then not accused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from linkscope.contents.fingerprints import Archive
from linkscope.contents.regions import COMMON, PADDING, PROOF, Number, Region, proof


class Claim(msgspec.Struct, frozen=True):
    """What a library explains of a file, and none that is more there does. regions: by their start."""

    library: str
    regions: tuple[Region, ...]


def claims(regions: Sequence[Region], archives: Mapping[Number, Archive]) -> Iterator[Claim]:
    """A claim for each library that is proven by the regions, which are given by their start.

    Where two are proven by the same bytes, the smaller one is named: the other one carries a copy.
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
        yield Claim(best, tuple(_in_company([regions[number] for number in wanted[best] if number in left])))
        left.difference_update(wanted.pop(best))


def _in_company(regions: Sequence[Region]) -> Iterator[Region]:
    """The regions without those that are short and stand apart: such code may be anybody's.

    Linkers put what they take from an archive together: together such regions are long enough to be no chance.
    """
    row: list[Region] = []
    for region in regions:
        if row and region.start - row[-1].start - row[-1].length >= PADDING:
            yield from _long_enough(row)
            row = []
        row.append(region)
    yield from _long_enough(row)


def _long_enough(row: list[Region]) -> list[Region]:
    return row if sum({region.code: region.fixed for region in row}.values()) >= COMMON else []

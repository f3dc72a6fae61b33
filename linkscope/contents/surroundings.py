"""The code that nobody knows, beside and between what is known of a file's."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator

import msgspec

from linkscope.contents.changeable import Range
from linkscope.contents.regions import PADDING, Number, Region

# A linker puts what is called after these, from all files of the link, before the other code of them all (the default
# script of GNU ld): between such a section of an archive and its other ones stands the program's own code.
_GROUPS = (".text.unlikely", ".text.exit", ".text.startup", ".text.hot", ".text.sorted")


class Gap(msgspec.Struct, frozen=True):
    """Unknown code between two pieces that prove something, or an end of the segment: `size` bytes more than padding.

    before, behind: where the two start. What proves nothing may stand between them.
    """

    before: int | None
    behind: int | None
    size: int


class Surroundings(msgspec.Struct, frozen=True):
    """What stands beside regions. before: the known code before each, by that one's start. gaps: the unknown code."""

    before: dict[int, Region]
    gaps: tuple[Gap, ...]


def unknown_code(regions: list[Region], firm: Container[int], ranges: Iterable[Range]) -> Iterator[Gap]:
    """The unknown code of the segments at RANGES. firm: where those regions start that prove something.

    regions: by their start.
    """
    starts = [region.start for region in regions]
    for start, end in ranges:
        before, known, size = None, start, 0
        for region in regions[bisect_left(starts, start) : bisect_left(starts, end)]:
            unknown = region.start - known
            size += unknown if unknown >= PADDING else 0
            known = region.start + region.length
            if region.start in firm:
                yield Gap(before, region.start, size)
                before, size = region.start, 0
        yield Gap(before, None, size + (end - known if end - known >= PADDING else 0))


def unknown_before(region: Region, previous: Region | None, archives: Container[Number]) -> int:
    """The bytes of code, more than padding, between two sections of the same one of ARCHIVES; 0 for others.

    Code that proves nothing may stand among the program's own: templates that it has in common with the library.
    """
    if previous is None or not (previous.telling and region.telling and (previous.is_firm or region.is_firm)):
        return 0
    both = _places(previous) & _places(region)
    gap = region.start - previous.start - previous.length
    return gap if gap >= PADDING and any(archive in archives for archive, _ in both) else 0


def _places(region: Region) -> set[tuple[Number, str]]:
    """The archives that hold the region's code, each with the group of sections that a linker puts it in."""
    return {
        (holder.archive, next((group for group in _GROUPS if holder.section.startswith(group)), ""))
        for holder in region.holders
    }

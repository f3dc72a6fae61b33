"""From code found in a file to the libraries that are linked into it: each byte is explained once.

What is found is settled in three steps, each time by the most evidence first. Among signatures that fit overlapping
bytes, the one that compares the most of them counts: a short function's code also stands inside longer ones. Among
libraries that hold the same code, it goes to the one of which most is there: a library that merely carries a copy of
another's sources is then not accused. Among the releases of a library, the one that explains most is the one linked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents.fingerprints import Archive
from linkscope.contents.matcher import Match, executable_ranges, matches
from linkscope.elf import constants as c
from linkscope.elf.machines import machine_name
from linkscope.elf.sections import read_sections
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.contents.known import Pack
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# Fixed bytes from which on a section tells one library from all others. Below that, equal code comes out of compilers
# for unrelated sources: accessors, wrappers, thunks.
_TELLING = 32
# Fixed bytes, in telling sections that no library with more evidence explains, which prove that a library is inside.
_PROOF = 96
_ANOTHER_RELEASE = 20  # a share of 1/20 that only another release explains: it is neither of the two


class LinkedArchive(msgspec.Struct, frozen=True):
    """An archive of which code was found. archive: what its pack says of it (without signatures).

    sections, members: how many of the archive's were found; size: the bytes in the file that they explain.
    """

    archive: Archive
    sections: int
    members: int
    size: int


class LinkedLibrary(msgspec.Struct, frozen=True):
    """A library that is linked in, once for each version of it.

    name: the upstream project; where no pack knows it, the package's or the archive's name. archives: those of the
    release that fits best, by the bytes found. version: that release's, None where others fit as well or it fits
    badly; fits: the versions that fit equally well, in the packs' order. size: the bytes in the file that it explains.
    """

    name: str
    version: str | None
    fits: tuple[str, ...]
    archives: tuple[LinkedArchive, ...]
    size: int


class Found(msgspec.Struct, frozen=True):
    """What the packs say of a file's code. size: its executable bytes. libraries: by how many of these they explain."""

    size: int
    libraries: tuple[LinkedLibrary, ...]

    @property
    def attributed(self) -> int:
        """How many bytes the libraries explain; each counts once."""
        return sum(library.size for library in self.libraries)


class _Holder(msgspec.Struct, frozen=True):
    """One archive that holds a piece of code. archive: (pack, its number there)."""

    archive: tuple[int, int]
    member: str
    section: str


class _Region(msgspec.Struct, frozen=True):
    """Bytes of the file that are known code, and who holds it. weight: how much of a proof they are, alone."""

    start: int
    length: int
    fixed: int
    weight: int
    holders: tuple[_Holder, ...]


def linked_in(reader: Reader, image: Image, packs: Sequence[Pack]) -> Found:
    """The libraries whose code is in the file's executable bytes, as far as the packs know them.

    Raises MalformedElf, FileUnreadable, and what the packs raise.
    """
    size = _executable_size(reader, image)
    found = _settled(matches(reader, image, packs))
    architecture = machine_name(image.machine)
    regions = _regions(found, architecture, packs)
    archives = _archives(regions, packs)
    libraries = []
    for name, own in _by_library(regions, archives):
        libraries += _releases(name, own, archives)
    return Found(size, tuple(sorted(libraries, key=lambda library: (-library.size, library.name))))


def _executable_size(reader: Reader, image: Image) -> int:
    """The bytes of the executable sections; without section headers, those of the executable segments."""
    segments = sum(end - start for start, end in executable_ranges(image))
    wanted = c.SHF_ALLOC | c.SHF_EXECINSTR
    try:
        sections = sum(
            s.size for s in read_sections(reader, image) if s.flags & wanted == wanted and s.type != c.SHT_NOBITS
        )
    except MalformedElf:
        return segments
    return sections if 0 < sections <= segments else segments


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


def _regions(settled: list[list[Match]], architecture: str, packs: Sequence[Pack]) -> list[_Region]:
    wanted = {(match.pack, match.code) for same in settled for match in same}
    holders: dict[tuple[int, int], list[_Holder]] = {}
    shared: set[tuple[int, int]] = set()
    for number, pack in enumerate(packs):
        for place in pack.places(architecture, sorted(code for one, code in wanted if one == number)):
            holder = _Holder((number, place.archive), place.member, place.section)
            holders.setdefault((number, place.code), []).append(holder)
            if place.shared:
                shared.add((number, place.code))
    regions = []
    for same in settled:
        codes = {(match.pack, match.code) for match in same}
        telling = same[0].fixed >= _TELLING and not codes & shared
        regions.append(
            _Region(
                start=same[0].start,
                length=same[0].length,
                fixed=same[0].fixed,
                weight=same[0].fixed if telling else 0,
                holders=tuple(dict.fromkeys(holder for code in sorted(codes) for holder in holders.get(code, ()))),
            )
        )
    return [region for region in regions if region.holders]


def _archives(regions: list[_Region], packs: Sequence[Pack]) -> dict[tuple[int, int], Archive]:
    wanted = sorted({holder.archive for region in regions for holder in region.holders})
    archives: dict[tuple[int, int], Archive] = {}
    for number, pack in enumerate(packs):
        numbers = [archive for one, archive in wanted if one == number]
        for archive, said in zip(numbers, pack.archives(numbers), strict=True):
            archives[number, archive] = said
    return archives


def _library(archive: Archive) -> str:
    return archive.library or archive.package or archive.name


def _by_library(
    regions: list[_Region], archives: dict[tuple[int, int], Archive]
) -> Iterable[tuple[str, list[_Region]]]:
    """Each library that is proven, with the regions that it explains and none before it does.

    Where two are proven by the same bytes, the smaller one is named: the other one carries a copy.
    """
    claims: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    for archive in archives.values():
        name = _library(archive)
        sizes[name] = max(sizes.get(name, 0), archive.size)
    for number, region in enumerate(regions):
        for name in {_library(archives[holder.archive]) for holder in region.holders}:
            claims.setdefault(name, []).append(number)
    left = set(range(len(regions)))
    while claims:
        weights = {name: sum(regions[n].weight for n in numbers if n in left) for name, numbers in claims.items()}
        best = max(weights, key=lambda name: (weights[name], -sizes[name], name))
        if weights[best] < _PROOF:
            return
        yield best, [regions[n] for n in claims[best] if n in left]
        left.difference_update(claims.pop(best))


_Release = tuple[str | None, str | None, str | None]


def _release(archive: Archive) -> _Release:
    return archive.version, archive.package_version, archive.distribution


def _releases(name: str, regions: list[_Region], archives: dict[tuple[int, int], Archive]) -> list[LinkedLibrary]:
    """The library in each version of it that is in the file; nearly always there is one."""
    mine = {number for number, archive in archives.items() if _library(archive) == name}
    claims: dict[_Release, set[int]] = {}
    for number, region in enumerate(regions):
        for holder in region.holders:
            if holder.archive in mine:
                claims.setdefault(_release(archives[holder.archive]), set()).add(number)
    left = set(range(len(regions)))
    found: list[tuple[_Release, set[int], tuple[str, ...]]] = []
    while left:
        fixed = {release: sum(regions[n].fixed for n in claimed & left) for release, claimed in claims.items()}
        best = max(fixed, key=lambda release: fixed[release])
        own = claims[best] & left
        if found and not _is_second_copy(regions, best, own, found, archives):
            break
        equal = (release[0] for release in fixed if fixed[release] == fixed[best])
        found.append((best, own, tuple(dict.fromkeys(version for version in equal if version))))
        left -= own
    inexact = sum(regions[n].weight for n in left) * _ANOTHER_RELEASE > sum(regions[n].weight for n in found[0][1])
    libraries = []
    for place, (release, own, fits) in enumerate(found):
        explained = own | left if place == 0 else own  # what only another release has is this library all the same
        libraries.append(
            LinkedLibrary(
                name=name,
                version=fits[0] if len(fits) == 1 and not (inexact and place == 0) else None,
                fits=fits,
                archives=_linked_archives(
                    [regions[n] for n in sorted(own)],
                    {number: archives[number] for number in mine if _release(archives[number]) == release},
                ),
                size=sum(regions[n].length for n in explained),
            )
        )
    return libraries


def _is_second_copy(
    regions: list[_Region],
    release: _Release,
    own: set[int],
    found: list[tuple[_Release, set[int], tuple[str, ...]]],
    archives: dict[tuple[int, int], Archive],
) -> bool:
    """Whether another release is in the file as well, and not just one that lies between the two.

    Then sections are there twice that a program has once: in this release's form, and in the one found before.
    """
    there = {
        _section(holder, archives)
        for before, numbers, _ in found
        for n in numbers
        for holder in regions[n].holders
        if _release(archives[holder.archive]) == before
    }
    twice = sum(
        regions[n].weight
        for n in own
        if any(
            _release(archives[holder.archive]) == release and _section(holder, archives) in there
            for holder in regions[n].holders
        )
    )
    return twice >= _PROOF


def _section(holder: _Holder, archives: dict[tuple[int, int], Archive]) -> tuple[str, str, str]:
    return archives[holder.archive].name, holder.member, holder.section


def _linked_archives(regions: list[_Region], archives: dict[tuple[int, int], Archive]) -> tuple[LinkedArchive, ...]:
    """The release's archives that explain code which no archive with more of it does, each with its part."""
    claims: dict[tuple[int, int], list[_Region]] = {}
    for region in regions:
        for number in {holder.archive for holder in region.holders if holder.archive in archives}:
            claims.setdefault(number, []).append(region)
    explained: set[int] = set()
    found: list[LinkedArchive] = []
    while claims:
        own = {number: [r for r in one if r.start not in explained] for number, one in claims.items()}
        best = max(own, key=lambda number: (sum(r.weight for r in own[number]), -archives[number].size))
        if not any(region.weight for region in own[best]):
            break
        found.append(_linked_archive(own[best], best, archives[best]))
        explained.update(region.start for region in own[best])
        del claims[best]
    return tuple(found)


def _linked_archive(regions: list[_Region], number: tuple[int, int], archive: Archive) -> LinkedArchive:
    """How much of the archive is there. Code that several of its sections share counts as often as it is there."""
    taken: set[_Holder] = set()
    for region in regions:
        own = [holder for holder in region.holders if holder.archive == number]
        taken.add(next((holder for holder in own if holder not in taken), own[0]))
    return LinkedArchive(
        archive=archive,
        sections=len(taken),
        members=len({holder.member for holder in taken}),
        size=sum(region.length for region in regions),
    )

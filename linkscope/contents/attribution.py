"""From code found in a file to the libraries that are linked into it: each byte is explained once.

What is found is settled in three steps, each time by the most evidence first. Among signatures that fit overlapping
bytes, the one that compares the most of them counts: a short function's code also stands inside longer ones. Among
libraries that hold the same code, it goes to the one of which most is there: a library that merely carries a copy of
another's sources is then not accused. Among the releases of a library, the one that explains most is the one linked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents.copied import is_copied
from linkscope.contents.fingerprints import Archive
from linkscope.contents.matcher import Match, executable_ranges, matches
from linkscope.contents.surroundings import COMMON, Gap, Holder, Region, Surroundings, unknown_before, unknown_code
from linkscope.elf import constants as c
from linkscope.elf.machines import machine_name
from linkscope.elf.sections import read_sections
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.contents.known import Pack
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# Of code longer than COMMON, as many fixed bytes as it is longer count as proof, once for the same code; so many of
# them prove that a library is inside. Measured over 2,300 programs and libraries of a Debian 12 against 290 archives
# that nearly none of them holds: what remains are copies.
_PROOF = 256
# The same for the archives of a library that is proven.
_TELLING = 32
_ARCHIVE = 96
# A release is not the one that is linked where only another one explains a share of 1/20 of what it does itself, or
# where code that nobody knows stands between its sections, which a linker puts one behind the other. In programs of an
# archive that is known, such code is 0.15 % of it; of the security update next to it, 7.5 % of OpenSSL, 14 % of xz and
# 32 % of libpng (Debian 12, measured). Assembly stands together, and may be the same in the release next to it.
_ANOTHER_RELEASE = 20
_UNKNOWN = 32
_MUCH = 1 << 14  # bytes of a library, nothing unknown between them, that another version would hardly have all the same
# Unknown code beside a library's may be the rest of it, in a version that nobody has learnt: the two or three sections
# that did not change between zlib 1.2.11 and 1.3.1 are 3 to 14 % of it. It may as well be the program's own, which says
# nothing against so much of a library, or such a share of an archive (1 in _SHARE), or so many functions of which each
# stands behind the next, that only one release has: of another one, what changed would stand between them.
_LARGE = 1 << 16
_SHARE = 3
_MANY = 16


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
    release that fits best, by the bytes found. version: that release's. None where others fit as well, or another one
    explains what this one does not, or code that is not known stands between its sections, or beside them and little
    else is there, or where no pack knows another one and so little is there that it may be of any.
    fits: the versions that fit equally well, in the packs' order. size: the bytes in the file that it explains.
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


def linked_in(reader: Reader, image: Image, packs: Sequence[Pack]) -> Found:
    """The libraries whose code is in the file's executable bytes, as far as the packs know them.

    Raises MalformedElf, FileUnreadable, and what the packs raise.
    """
    size = _executable_size(reader, image)
    found = _settled(matches(reader, image, packs))
    architecture = machine_name(image.machine)
    regions = _regions(found, architecture, packs)
    archives = _archives(regions, packs)
    proven = list(_by_library(regions, archives))
    versions = _versions(architecture, packs) if proven else {}
    before = {region.start: previous for previous, region in pairwise(regions)}
    firm = {region.start for _, own in proven for region in own if region.telling and region.fixed >= COMMON}
    around = Surroundings(before, tuple(unknown_code(regions, firm, executable_ranges(image))))
    libraries = [
        library for name, own in proven for library in _releases(name, own, archives, versions.get(name, set()), around)
    ]
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


def _regions(settled: list[list[Match]], architecture: str, packs: Sequence[Pack]) -> list[Region]:
    wanted = {(match.pack, match.code) for same in settled for match in same}
    holders: dict[tuple[int, int], list[Holder]] = {}
    shared: set[tuple[int, int]] = set()
    for number, pack in enumerate(packs):
        for place in pack.places(architecture, sorted(code for one, code in wanted if one == number)):
            holder = Holder((number, place.archive), place.member, place.section)
            holders.setdefault((number, place.code), []).append(holder)
            if place.shared:
                shared.add((number, place.code))
    regions = []
    for same in settled:
        codes = sorted({(match.pack, match.code) for match in same})
        there = dict.fromkeys(holder for code in codes for holder in holders.get(code, ()))
        regions.append(
            Region(
                start=same[0].start,
                length=same[0].length,
                fixed=same[0].fixed,
                code=codes[0],
                telling=shared.isdisjoint(codes) and not any(is_copied(holder.member) for holder in there),
                holders=tuple(there),
            )
        )
    return [region for region in regions if region.holders]


def _proof(regions: Iterable[Region], common: int = COMMON) -> int:
    """How much the regions prove together: their fixed bytes beyond COMMON in each, once for the same code."""
    return sum({r.code: r.fixed - common for r in regions if r.telling and r.fixed > common}.values())


def _archives(regions: list[Region], packs: Sequence[Pack]) -> dict[tuple[int, int], Archive]:
    wanted = sorted({holder.archive for region in regions for holder in region.holders})
    archives: dict[tuple[int, int], Archive] = {}
    for number, pack in enumerate(packs):
        numbers = [archive for one, archive in wanted if one == number]
        for archive, said in zip(numbers, pack.archives(numbers), strict=True):
            archives[number, archive] = said
    return archives


def _versions(architecture: str, packs: Sequence[Pack]) -> dict[str, set[str | None]]:
    """The versions of each library that the packs know."""
    versions: dict[str, set[str | None]] = {}
    for pack in packs:
        for filed in pack.filed():
            if filed.archive.architecture == architecture:
                versions.setdefault(_library(filed.archive), set()).add(filed.archive.version)
    return versions


def _library(archive: Archive) -> str:
    return archive.library or archive.package or archive.name


def _by_library(regions: list[Region], archives: dict[tuple[int, int], Archive]) -> Iterable[tuple[str, list[Region]]]:
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
        weights = {name: _proof(regions[n] for n in numbers if n in left) for name, numbers in claims.items()}
        best = max(weights, key=lambda name: (weights[name], -sizes[name], name))
        if weights[best] < _PROOF:
            return
        yield best, [regions[n] for n in claims[best] if n in left]
        left.difference_update(claims.pop(best))


_Release = tuple[str | None, str | None, str | None]


def _release(archive: Archive) -> _Release:
    return archive.version, archive.package_version, archive.distribution


class _Part(msgspec.Struct, frozen=True):
    """What one release of a library explains: the numbers of the regions. fits: the versions that explain as much."""

    release: _Release
    regions: set[int]
    fits: tuple[str, ...]


def _releases(
    name: str,
    regions: list[Region],
    archives: dict[tuple[int, int], Archive],
    versions: set[str | None],
    around: Surroundings,
) -> list[LinkedLibrary]:
    """The library in each version of it that is in the file; nearly always there is one.

    versions: all that are known. around: what stands beside the regions.
    What only a release explains that is not there itself is the library all the same, and counts to the first.
    """
    mine = {number: archive for number, archive in archives.items() if _library(archive) == name}
    parts, left = _parts(regions, mine)
    libraries = []
    for part in parts:
        own = [regions[number] for number in sorted(part.regions)]
        release = {number: archive for number, archive in mine.items() if _release(archive) == part.release}
        linked = _linked_archives(own, release)
        rest = [regions[number] for number in left] if part is parts[0] else []
        unknown = sum(unknown_before(region, around.before.get(region.start), release) for region in own)
        size = sum(region.length for region in own)
        exact = len(part.fits) == 1 and _proof(rest) * _ANOTHER_RELEASE <= _proof(own) and unknown * _UNKNOWN <= size
        whole = sum(one.archive.size for one in linked)
        telling = len(versions) > 1 or size >= _MUCH or 2 * size >= whole
        exact = exact and (_is_much(own, linked, around.gaps) or _is_most(own, around.gaps))
        libraries.append(
            LinkedLibrary(
                name=name,
                version=part.fits[0] if exact and telling else None,
                fits=part.fits,
                archives=linked,
                size=size + sum(region.length for region in rest),
            )
        )
    return libraries


def _is_much(regions: list[Region], linked: Iterable[LinkedArchive], gaps: Iterable[Gap]) -> bool:
    """Whether so much of a library is there that unknown code beside it is hardly the rest of another version."""
    size = sum(region.length for region in regions)
    starts = {region.start for region in regions}
    joints = sum(not gap.size and gap.before in starts and gap.behind in starts for gap in gaps)
    shares = (2 * one.size >= size and _SHARE * one.size >= one.archive.size for one in linked)
    return joints >= _MANY or size >= _LARGE or any(shares)


def _is_most(regions: list[Region], gaps: Iterable[Gap]) -> bool:
    """Whether the regions are most of what may be there of the library: twice as much as stands unknown beside them."""
    starts = {region.start for region in regions}
    beside = sum(gap.size for gap in gaps if gap.before in starts or gap.behind in starts)
    return 2 * beside <= sum(region.length for region in regions)


def _parts(regions: list[Region], archives: dict[tuple[int, int], Archive]) -> tuple[list[_Part], set[int]]:
    """The releases that are there, the one that explains most first, and the regions that none of them explains."""
    claims: dict[_Release, set[int]] = {}
    for number, region in enumerate(regions):
        for holder in region.holders:
            if holder.archive in archives:
                claims.setdefault(_release(archives[holder.archive]), set()).add(number)
    left = set(range(len(regions)))
    parts: list[_Part] = []
    while left:
        fixed = {release: sum(regions[n].fixed for n in claimed & left) for release, claimed in claims.items()}
        best = max(fixed, key=lambda release: fixed[release])
        equal = (release[0] for release in fixed if fixed[release] == fixed[best])
        part = _Part(best, claims[best] & left, tuple(dict.fromkeys(version for version in equal if version)))
        if parts and not _is_second_copy(regions, part, parts, archives):
            break
        parts.append(part)
        left -= part.regions
    return parts, left


def _is_second_copy(
    regions: list[Region], part: _Part, parts: list[_Part], archives: dict[tuple[int, int], Archive]
) -> bool:
    """Whether another release is in the file as well, and not just one that lies between the two.

    Then sections are there twice that a program has once: in this release's form, and in the one found before.
    """
    there = {section for one in parts for n in one.regions for section in _sections(regions[n], one.release, archives)}
    twice = (regions[n] for n in part.regions if not there.isdisjoint(_sections(regions[n], part.release, archives)))
    return _proof(twice) >= _PROOF


def _sections(
    region: Region, release: _Release, archives: dict[tuple[int, int], Archive]
) -> Iterator[tuple[str, str, str]]:
    """The names of archive, member and section under which a release has the region's code."""
    for holder in region.holders:
        archive = archives.get(holder.archive)
        if archive is not None and _release(archive) == release:
            yield archive.name, holder.member, holder.section


def _linked_archives(regions: list[Region], archives: dict[tuple[int, int], Archive]) -> tuple[LinkedArchive, ...]:
    """The release's archives that explain code which no archive with more of it does, each with its part."""
    claims: dict[tuple[int, int], list[Region]] = {}
    for region in regions:
        for number in {holder.archive for holder in region.holders if holder.archive in archives}:
            claims.setdefault(number, []).append(region)
    explained: set[int] = set()
    found: list[LinkedArchive] = []
    while claims:
        own = {number: [r for r in one if r.start not in explained] for number, one in claims.items()}
        proofs = {number: _proof((r for r in one if r.fixed >= _TELLING), 0) for number, one in own.items()}
        best = max(own, key=lambda number: (proofs[number], -archives[number].size))
        if proofs[best] < _ARCHIVE:
            break
        found.append(_linked_archive(own[best], best, archives[best]))
        explained.update(region.start for region in own[best])
        del claims[best]
    return tuple(found)


def _linked_archive(regions: list[Region], number: tuple[int, int], archive: Archive) -> LinkedArchive:
    """How much of the archive is there. Code that several of its sections share counts as often as it is there."""
    taken: set[Holder] = set()
    for region in regions:
        own = [holder for holder in region.holders if holder.archive == number]
        taken.add(next((holder for holder in own if holder not in taken), own[0]))
    return LinkedArchive(
        archive=archive,
        sections=len(taken),
        members=len({holder.member for holder in taken}),
        size=sum(region.length for region in regions),
    )

"""Which release of a library is linked into a file: the one that explains most, where nothing speaks against it."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

import msgspec

from linkscope.contents.claims import Claim
from linkscope.contents.fingerprints import Archive
from linkscope.contents.regions import PROOF, Holder, Number, Region, proof
from linkscope.contents.surroundings import Gap, Surroundings, unknown_before

# So many fixed bytes, in sections of so many, prove that an archive of a library is inside that is proven itself.
_ARCHIVE = 96
_TELLING = 32
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
_NEARLY = 0.9  # of the sections of an archive
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


_Release = tuple[str | None, str | None, str | None]


def _release(archive: Archive) -> _Release:
    return archive.version, archive.package_version, archive.distribution


class _Part(msgspec.Struct, frozen=True):
    """What one release of a library explains: the numbers of the regions. fits: the versions that explain as much."""

    release: _Release
    regions: set[int]
    fits: tuple[str, ...]


def releases(
    claim: Claim,
    archives: Mapping[Number, Archive],
    versions: Collection[str | None],
    around: Surroundings,
    *,
    shared: bool = False,
) -> list[LinkedLibrary]:
    """The library in each version of it that is in the file; nearly always there is one.

    versions: all that are known. around: what stands beside the regions. shared: the file is no program.
    What only a release explains that is not there itself is the library all the same, and counts to the first.
    """
    regions = claim.regions
    mine = {number: archive for number, archive in archives.items() if archive.called == claim.library}
    parts, left = _parts(regions, mine)
    libraries = []
    for part in parts:
        own = [regions[number] for number in sorted(part.regions)]
        rest = [regions[number] for number in left] if part is parts[0] else []
        release = {number: archive for number, archive in mine.items() if _release(archive) == part.release}
        linked = _linked_archives(own, release)
        exact = (
            len(part.fits) == 1
            and proof(rest) * _ANOTHER_RELEASE <= proof(own)
            and _is_whole(own, release, around)
            and not (shared and _is_another_point_release(linked))
            and (len(versions) > 1 or _is_telling(own, linked))
            and (_is_much(own, linked, around.gaps) or _is_most(own, around.gaps))
        )
        libraries.append(
            LinkedLibrary(
                name=claim.library,
                version=part.fits[0] if exact else None,
                fits=part.fits,
                archives=linked,
                size=_size(own) + _size(rest),
            )
        )
    return libraries


def _size(regions: Iterable[Region]) -> int:
    return sum(region.length for region in regions)


def _is_whole(regions: Sequence[Region], release: Container[Number], around: Surroundings) -> bool:
    """Whether hardly any code that nobody knows stands between sections of an archive of the RELEASE."""
    unknown = sum(unknown_before(region, around.before.get(region.start), release) for region in regions)
    return unknown * _UNKNOWN <= _size(regions)


def _is_another_point_release(linked: Iterable[LinkedArchive]) -> bool:
    """Whether an archive is there nearly whole, as a shared library has all of it, but for what must have changed.

    43 of the 46 sections of libssl.a are the same in OpenSSL 3.0.19 and 3.0.20 (Debian 12).
    """
    return any(_NEARLY * one.archive.sections <= one.sections < one.archive.sections for one in linked)


def _is_telling(regions: Sequence[Region], linked: Sequence[LinkedArchive]) -> bool:
    """Whether another version, of a library of which one is known, would hardly have all of this the same."""
    return _size(regions) >= _MUCH or 2 * _size(regions) >= sum(one.archive.size for one in linked)


def _is_much(regions: Sequence[Region], linked: Iterable[LinkedArchive], gaps: Iterable[Gap]) -> bool:
    """Whether so much of a library is there that unknown code beside it is hardly the rest of another version."""
    size = _size(regions)
    starts = {region.start for region in regions}
    joints = sum(not gap.size and gap.before in starts and gap.behind in starts for gap in gaps)
    shares = (2 * one.size >= size and _SHARE * one.size >= one.archive.size for one in linked)
    return joints >= _MANY or _size(region for region in regions if region.telling) >= _LARGE or any(shares)


def _is_most(regions: Sequence[Region], gaps: Iterable[Gap]) -> bool:
    """Whether the regions are most of what may be there of the library: twice as much as stands unknown beside them."""
    starts = {region.start for region in regions}
    beside = sum(gap.size for gap in gaps if gap.before in starts or gap.behind in starts)
    return 2 * beside <= _size(regions)


def _parts(regions: Sequence[Region], archives: Mapping[Number, Archive]) -> tuple[list[_Part], set[int]]:
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
    regions: Sequence[Region], part: _Part, parts: list[_Part], archives: Mapping[Number, Archive]
) -> bool:
    """Whether another release is in the file as well, and not just one that lies between the two.

    Then sections are there twice that a program has once: in this release's form, and in the one found before.
    """
    there = {section for one in parts for n in one.regions for section in _sections(regions[n], one.release, archives)}
    twice = (regions[n] for n in part.regions if not there.isdisjoint(_sections(regions[n], part.release, archives)))
    return proof(twice) >= PROOF


def _sections(region: Region, release: _Release, archives: Mapping[Number, Archive]) -> Iterator[tuple[str, str, str]]:
    """The names of archive, member and section under which a release has the region's code."""
    for holder in region.holders:
        archive = archives.get(holder.archive)
        if archive is not None and _release(archive) == release:
            yield archive.name, holder.member, holder.section


def _linked_archives(regions: Sequence[Region], archives: Mapping[Number, Archive]) -> tuple[LinkedArchive, ...]:
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
        size=_size(regions),
    )

"""Which release of a library is linked into a file: the one that explains most, where nothing speaks against it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from linkscope.contents import doubts
from linkscope.contents.claims import Claim
from linkscope.contents.fingerprints import Archive, Release
from linkscope.contents.linked import LinkedArchive, linked_archives, size_of
from linkscope.contents.regions import PROOF, Number, Region, proof
from linkscope.contents.surroundings import Surroundings


class LinkedLibrary(msgspec.Struct, frozen=True):
    """A library that is linked in, once for each version of it.

    name: the upstream project; where no pack knows it, the package's or the archive's name. archives: those of the
    release that fits best, by the bytes found. version: that release's; None where anything makes it doubtful. doubt:
    what that is, in words; None where nothing does. fits: the versions that fit equally well, in the packs' order.
    size: the bytes in the file that it explains.
    """

    name: str
    version: str | None
    fits: tuple[str, ...]
    archives: tuple[LinkedArchive, ...]
    size: int
    doubt: str | None = None


class _Part(msgspec.Struct, frozen=True):
    """What one release of a library explains: the numbers of the regions. fits: the versions that explain as much."""

    release: Release
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
        release = {number: archive for number, archive in mine.items() if archive.release == part.release}
        linked = linked_archives(own, release)
        case = doubts.Case(own, rest, part.fits, release, linked, versions, around, shared)
        doubt = doubts.first(case)
        libraries.append(
            LinkedLibrary(
                name=claim.library,
                version=part.fits[0] if doubt is None else None,
                fits=part.fits,
                archives=linked,
                size=size_of(own) + size_of(rest),
                doubt=doubt,
            )
        )
    return libraries


def _parts(regions: Sequence[Region], archives: Mapping[Number, Archive]) -> tuple[list[_Part], set[int]]:
    """The releases that are there, the one that explains most first, and the regions that none of them explains."""
    claims: dict[Release, set[int]] = {}
    for number, region in enumerate(regions):
        for holder in region.holders:
            if holder.archive in archives:
                claims.setdefault(archives[holder.archive].release, set()).add(number)
    left = set(range(len(regions)))
    parts: list[_Part] = []
    while left:
        fixed = {release: sum(regions[n].fixed for n in claimed & left) for release, claimed in claims.items()}
        best = max(fixed, key=lambda release: fixed[release])
        equal = (release.version for release in fixed if fixed[release] == fixed[best])
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


def _sections(region: Region, release: Release, archives: Mapping[Number, Archive]) -> Iterator[tuple[str, str, str]]:
    """The names of archive, member and section under which a release has the region's code."""
    for holder in region.holders:
        archive = archives.get(holder.archive)
        if archive is not None and archive.release == release:
            yield archive.name, holder.member, holder.section

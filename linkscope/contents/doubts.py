"""Why the release of a library that explains most of its code in a file need not be the one that is linked.

A pack knows some versions. Of any other one, the functions that did not change are the same: the version is named only
where none of these reasons to doubt it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Sequence

import msgspec

from linkscope.contents.linked import LinkedArchive, size_of
from linkscope.contents.regions import Number, Region, proof
from linkscope.contents.surroundings import Surroundings, unknown_before

NOT_SAID = "its archive was learnt without a version"
SEVERAL = "several versions have as much of this code"
ANOTHER = "another version has code that is here, and this one has not"
BETWEEN = "code that nobody knows stands between its functions"
NEARLY_WHOLE = "a few functions of an archive are not here, all others are: they may have changed"
ONLY_ONE = "no other version is known, and there is little of it here"
BESIDE = "there is little of it here, and code beside it that nobody knows"

# Another release explains so small a share, 1 in this number, of what this one does, where this one is linked.
_ANOTHER_SHARE = 20
# So small a share of a library is unknown code between its sections, which a linker puts one behind the other. In
# programs of an archive that is known, such code is 0.15 % of it; of the security update next to it, 7.5 % of OpenSSL,
# 14 % of xz and 32 % of libpng (Debian 12, measured). Assembly stands together, and may be the same in the release
# next to it.
_BETWEEN_SHARE = 32
# This part of an archive's sections, and not all, is in a shared library of another point release: such a library has
# all of an archive. 43 of the 46 sections of libssl.a are the same in OpenSSL 3.0.19 and 3.0.20 (Debian 12).
_NEARLY_WHOLE = 0.9
# Where one version alone is known: bytes that another one would hardly have all the same, with nothing unknown between.
_OF_NO_OTHER = 1 << 14
# Unknown code beside a library's may be the rest of it, in a version that nobody has learnt: the two or three sections
# that did not change between zlib 1.2.11 and 1.3.1 are 3 to 14 % of it. It may as well be the program's own, which says
# nothing against so many bytes of a library, or such a share of an archive (1 in this number), or so many functions of
# which each stands behind the next, that only one release has: of another one, what changed would stand between them.
_MUCH_OF_A_LIBRARY = 1 << 16
_MUCH_OF_AN_ARCHIVE = 3
_MANY_IN_A_ROW = 16
# Nor does less unknown code than this many times the library's.
_UNKNOWN_SHARE = 0.5


class Case(msgspec.Struct, frozen=True):
    """A release of a library, and all that speaks for and against it.

    regions: what it explains of the file, rest: what of the library it does not, but others do. fits: the versions that
    explain as much. release: its archives, linked: those of them that are there. versions: all of the library that are
    known. around: what stands beside the regions. shared: whether the file is no program.
    """

    regions: Sequence[Region]
    rest: Sequence[Region]
    fits: Sequence[str]
    release: Container[Number]
    linked: Sequence[LinkedArchive]
    versions: Collection[str | None]
    around: Surroundings
    shared: bool


def first(case: Case) -> str | None:
    """The first reason to doubt that the release is the one that is linked, as a sentence; None without any."""
    return next(_reasons(case), None)


def _reasons(case: Case) -> Iterator[str]:
    if not case.fits:
        yield NOT_SAID
    if len(case.fits) > 1:
        yield SEVERAL
    if proof(case.rest) * _ANOTHER_SHARE > proof(case.regions):
        yield ANOTHER
    if _unknown_between(case) * _BETWEEN_SHARE > size_of(case.regions):
        yield BETWEEN
    if case.shared and any(_NEARLY_WHOLE * a.archive.sections <= a.sections < a.archive.sections for a in case.linked):
        yield NEARLY_WHOLE
    if len(case.versions) <= 1 and not _is_of_no_other_version(case):
        yield ONLY_ONE
    if not (_is_much_of_the_library(case) or _unknown_beside(case) <= size_of(case.regions) * _UNKNOWN_SHARE):
        yield BESIDE


def _unknown_between(case: Case) -> int:
    """Bytes of code that nobody knows between sections of one archive of the release."""
    before = case.around.before
    return sum(unknown_before(region, before.get(region.start), case.release) for region in case.regions)


def _unknown_beside(case: Case) -> int:
    """Bytes of code that nobody knows next to the regions: what else of the library may be there."""
    starts = {region.start for region in case.regions}
    return sum(gap.size for gap in case.around.gaps if gap.before in starts or gap.behind in starts)


def _is_of_no_other_version(case: Case) -> bool:
    """Whether another version would hardly have all that is there the same."""
    size = size_of(case.regions)
    return size >= _OF_NO_OTHER or 2 * size >= sum(one.archive.size for one in case.linked)


def _is_much_of_the_library(case: Case) -> bool:
    """Whether so much of it is there that unknown code beside it is hardly the rest of another version."""
    if size_of(region for region in case.regions if region.telling) >= _MUCH_OF_A_LIBRARY:
        return True
    size = size_of(case.regions)
    if any(2 * one.size >= size and _MUCH_OF_AN_ARCHIVE * one.size >= one.archive.size for one in case.linked):
        return True
    return _joints(case) >= _MANY_IN_A_ROW


def _joints(case: Case) -> int:
    """How many of the regions stand right behind another one."""
    starts = {region.start for region in case.regions}
    return sum(not gap.size and gap.before in starts and gap.behind in starts for gap in case.around.gaps)

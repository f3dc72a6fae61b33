"""Symbol versions: what a file needs (DT_VERNEED) and what it defines (DT_VERDEF).

Layouts: LSB Core, Symbol Versioning (Elfxx_Verneed, Vernaux, Verdef, Verdaux), the same for both classes.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.segments import file_offset
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_MAX_ENTRIES = 8192
_MAX_AREA = 1 << 22  # bytes; each entry takes some 20
_MAX_DIGITS = 32
_STRUCTS = {
    order: (struct.Struct(order + "HHIII"), struct.Struct(order + "IHHII"), struct.Struct(order + "HHHHIII"))
    for order in "<>"
}


class NeededVersion(msgspec.Struct, frozen=True):
    """One Vernaux: a version that a file must define. other: the index that .gnu.version uses for it."""

    name: str
    hash: int
    flags: int
    other: int

    @property
    def weak(self) -> bool:
        """Whether its absence is only warned about."""
        return bool(self.flags & c.VER_FLG_WEAK)


class VersionNeed(msgspec.Struct, frozen=True):
    """One Verneed: the versions needed from `file`, a DT_NEEDED name."""

    file: str
    versions: tuple[NeededVersion, ...]


class VersionDefinition(msgspec.Struct, frozen=True):
    """One Verdef, with the first of its names. base: it names the file itself, not a version."""

    name: str
    hash: int
    index: int
    flags: int

    @property
    def base(self) -> bool:
        """Whether this is the entry of the file's own name (VER_FLG_BASE)."""
        return bool(self.flags & c.VER_FLG_BASE)


class _Area:
    """The bytes of one version section, from its start to the end of its segment, read in growing pieces."""

    def __init__(self, reader: Reader, image: Image, address: int) -> None:
        self._reader = reader
        self._path = image.path
        self._offset, self._available = file_offset(image.segments, address, image.path)
        self._data = reader.read(self._offset, min(1024, self._available))

    def unpack(self, layout: struct.Struct, at: int) -> tuple[int, ...]:
        """The fields of one structure AT bytes from the start of the section."""
        end = at + layout.size
        if at < 0 or end > min(self._available, _MAX_AREA):
            raise MalformedElf(self._path, "a version entry leaves its segment", self._offset + at)
        if end > len(self._data):
            self._data = self._reader.read(self._offset, min(self._available, end * 2))
        return layout.unpack_from(self._data, at)


def read_verneed(
    reader: Reader, image: Image, tags: Mapping[int, int], string: Callable[[int], str]
) -> tuple[VersionNeed, ...]:
    """What DT_VERNEED asks for, in order; () without the tag.

    The loaders follow vn_next and ignore DT_VERNEEDNUM (glibc elf/dl-version.c, _dl_check_map_versions).
    """
    if c.DT_VERNEED not in tags:
        return ()
    area = _Area(reader, image, tags[c.DT_VERNEED])
    verneed, vernaux, _ = _STRUCTS[image.layout.order]
    needs: list[VersionNeed] = []
    at = count = 0
    while True:
        _version, number, file, aux, following = area.unpack(verneed, at)
        wanted: list[NeededVersion] = []
        where = at + aux
        while number:
            hash_, flags, other, name, next_aux = area.unpack(vernaux, where)
            wanted.append(NeededVersion(string(name), hash_, flags, other))
            where += next_aux
            count += 1
            if not next_aux or count > _MAX_ENTRIES:
                break
        needs.append(VersionNeed(string(file), tuple(wanted)))
        at += following
        if not following:
            return tuple(needs)
        if count > _MAX_ENTRIES or len(needs) > _MAX_ENTRIES:
            raise MalformedElf(image.path, "DT_VERNEED has no end")


def read_verdef(
    reader: Reader, image: Image, tags: Mapping[int, int], string: Callable[[int], str]
) -> tuple[VersionDefinition, ...] | None:
    """The versions that a file defines, the base entry included; None where it has no DT_VERDEF."""
    if c.DT_VERDEF not in tags:
        return None
    area = _Area(reader, image, tags[c.DT_VERDEF])
    verdef = _STRUCTS[image.layout.order][2]
    verdaux = struct.Struct(image.layout.order + "II")
    defined: list[VersionDefinition] = []
    at = 0
    while True:
        _version, flags, index, _number, hash_, aux, following = area.unpack(verdef, at)
        name, _ = area.unpack(verdaux, at + aux)
        defined.append(VersionDefinition(string(name), hash_, index & 0x7FFF, flags))
        at += following
        if not following:
            return tuple(defined)
        if len(defined) > _MAX_ENTRIES:
            raise MalformedElf(image.path, "DT_VERDEF has no end")


@functools.lru_cache(maxsize=4096)  # every program of a system asks for the same few dozen
def version_number(name: str) -> tuple[str, tuple[int, ...]] | None:
    """("GLIBC", (2, 36)) for "GLIBC_2.36"; None for a name that is no FAMILY_N(.N)*, such as GLIBC_PRIVATE."""
    family, separator, number = name.rpartition("_")
    if not separator or not family or not number.isascii() or len(number) > _MAX_DIGITS:
        return None
    parts = number.split(".")
    if not all(part.isdigit() for part in parts):
        return None
    return family, tuple(int(part) for part in parts)


RELR_VERSION = "GLIBC_ABI_DT_RELR"
"""The version of libc.so.6 that stands for a loader which knows DT_RELR, as of 2.36; no symbol carries it."""
_IMPLIED = {RELR_VERSION: ("GLIBC", (2, 36))}


def number_of(name: str) -> tuple[str | None, tuple[int, ...]]:
    """As `version_number`, and what a name without a number stands for; (None, ()) where that is nothing."""
    return version_number(name) or _IMPLIED.get(name) or (None, ())


def highest_versions(verneed: tuple[VersionNeed, ...]) -> tuple[dict[str, str], list[str]]:
    """The highest version needed of each family, as text, and in order the names that are no family's number."""
    highest: dict[str, tuple[int, ...]] = {}
    other: dict[str, None] = {}
    for need in verneed:
        for version in need.versions:
            known = version_number(version.name)
            if known is None:
                other[version.name] = None
                known = _IMPLIED.get(version.name)
            if known is not None and known[1] > highest.get(known[0], ()):
                highest[known[0]] = known[1]
    return {family: ".".join(map(str, number)) for family, number in sorted(highest.items())}, sorted(other)

"""/etc/ld.so.cache: its formats, and the look-up as glibc really does it.

Layout (glibc sysdeps/generic/dl-cache.h), in the byte order of the machine that made it:

    old        "ld.so-1.7.0" pad nlibs, nlibs x (flags, key, value), strings
    new        "glibc-ld.so.cache1.1" nlibs len_strings flags pad[3] extension_offset pad[3 x 4],
               nlibs x (flags, key, value, osversion, hwcap), strings; key and value count from the file's start
    old + new  an old one whose string table begins with a new one (glibc 2.2 to 2.31 wrote this)

The extension (glibc 2.33) is a directory of sections; tag 1 lists the glibc-hwcaps names to which the low half of an
entry's hwcap points, where bit 62 of it is set.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

_MAGIC_OLD = b"ld.so-1.7.0"
_MAGIC_NEW = b"glibc-ld.so.cache1.1"
_EXTENSION_MAGIC = 0xEAA42174
_TAG_GLIBC_HWCAPS = 1
_HWCAP_EXTENSION = 1 << 62
_ISA_LEVEL_MASK = (1 << 10) - 1
# Real names (x86-64-v3) are some dozen characters long, and there are as many as folders below glibc-hwcaps.
_MAX_HWCAP_NAMES = 1024
_LONGEST_STRING = 1 << 15  # as in a file's own string table
_LONGEST_HWCAP_NAME = 255  # a folder cannot have a longer one
_OLD_HEADER, _OLD_ENTRY = 16, 12
_NEW_HEADER, _NEW_ENTRY = 48, 24
# cache_file_new.flags, the lowest two bits: 0 unset, 1 invalid, 2 little, 3 big.
_ENDIAN_UNSET, _ENDIAN_LITTLE, _ENDIAN_BIG = 0, 2, 3


class LdCache(msgspec.Struct, frozen=True):
    """A cache that could be read. Keys and values are offsets into `data` from `strings`, checked when used."""

    data: bytes
    order: str
    strings: int
    entries: Sequence[tuple[int, ...]]
    has_hwcaps: bool
    hwcap_names: tuple[str, ...]

    def string(self, at: int) -> bytes | None:
        """The string at an offset, no more than 32 KiB of it; None where the offset is outside the file."""
        start = self.strings + at
        if start >= len(self.data):
            return None
        end = self.data.find(b"\0", start, start + _LONGEST_STRING)
        return self.data[start : start + _LONGEST_STRING if end < 0 else end]


class Wanted(msgspec.Struct, frozen=True):
    """What a loader accepts from a cache.

    flags: the entry flags that it takes, the exact one first. hwcaps: its active glibc-hwcaps names, best first, or
    None for a loader that does not know them (before 2.33). legacy_mask: the hwcap bits that an entry may have in the
    older scheme; None from glibc 2.37 on, which ignores such entries. isa_level: of the CPU, 0 where there is none.
    """

    flags: tuple[int, ...]
    hwcaps: tuple[str, ...] | None
    legacy_mask: int | None
    isa_level: int


def parse(data: bytes) -> LdCache | None:
    """The cache in DATA; None for what glibc would not use (`_dl_load_cache_lookup`)."""
    if data.startswith(_MAGIC_NEW):
        return _parse_new(data, 0)
    if not data.startswith(_MAGIC_OLD) or len(data) <= _OLD_HEADER:
        return None
    for order in "<>":
        (count,) = struct.unpack_from(order + "I", data, 12)
        if count <= (len(data) - _OLD_HEADER) // _OLD_ENTRY:
            break
    else:
        return None
    end = _OLD_HEADER + count * _OLD_ENTRY
    new_at = (end + 7) & ~7  # ALIGN_CACHE: the alignment of the new header
    if data.startswith(_MAGIC_NEW, new_at):
        return _parse_new(data, new_at)
    entries = list(struct.Struct(order + "iII").iter_unpack(data[_OLD_HEADER:end]))
    return LdCache(data, order, end, entries, False, ())


def _parse_new(data: bytes, at: int) -> LdCache | None:
    if len(data) <= at + _NEW_HEADER:
        return None
    endian = data[at + 28] & 3
    if endian == _ENDIAN_UNSET:
        order = "<" if int.from_bytes(data[at + 20 : at + 24], "little") < 1 << 24 else ">"
    elif endian in (_ENDIAN_LITTLE, _ENDIAN_BIG):
        order = "<" if endian == _ENDIAN_LITTLE else ">"
    else:
        return None
    (count,) = struct.unpack_from(order + "I", data, at + 20)
    if count > (len(data) - at - _NEW_HEADER) // _NEW_ENTRY:
        return None
    table = memoryview(data)[at + _NEW_HEADER : at + _NEW_HEADER + count * _NEW_ENTRY]
    (extension,) = struct.unpack_from(order + "I", data, at + 32)
    names = _hwcap_names(data, at, extension, order)
    return LdCache(data, order, at, _Table(table, order + "iIIIQ"), True, names)


class _Table(Sequence[tuple[int, ...]]):
    """The entries, unpacked one by one: a look-up touches about a dozen of thousands."""

    def __init__(self, table: memoryview, layout: str) -> None:
        self._table = table
        self._layout = struct.Struct(layout)

    def __len__(self) -> int:
        return len(self._table) // self._layout.size

    def __getitem__(self, index: int) -> tuple[int, ...]:  # type: ignore[override]  # slices are not needed
        if index < 0:
            raise IndexError(index)
        return self._layout.unpack_from(self._table, index * self._layout.size)


def _hwcap_names(data: bytes, base: int, offset: int, order: str) -> tuple[str, ...]:
    """The glibc-hwcaps names of the extension, in the order in which entries point to them."""
    at = base + offset
    if not offset or offset & 3 or at + 8 > len(data):
        return ()
    magic, count = struct.unpack_from(order + "II", data, at)
    if magic != _EXTENSION_MAGIC or at + 8 + count * 16 > len(data):
        return ()
    for index in range(count):
        tag, _flags, start, size = struct.unpack_from(order + "IIII", data, at + 8 + index * 16)
        if tag == _TAG_GLIBC_HWCAPS and base + start + size <= len(data) and not size % 4:
            names = struct.unpack_from(f"{order}{min(size // 4, _MAX_HWCAP_NAMES)}I", data, base + start)
            return tuple(_text(data, base + name) for name in names)
    return ()


def _text(data: bytes, at: int) -> str:
    """The name at AT, "" (which no loader asks for) where it is outside the file or too long for any folder."""
    end = data.find(b"\0", at, at + _LONGEST_HWCAP_NAME + 1)
    return data[at:end].decode("utf-8", "surrogateescape") if end >= 0 else ""


def compare(left: bytes, right: bytes) -> int:
    """The order of names in a cache: runs of digits compare as numbers (glibc `_dl_cache_libcmp`).

    The numbers are C ints there, and wrap.
    """
    i = j = 0
    while i < len(left):
        a = left[i]
        b = right[j] if j < len(right) else 0
        if 48 <= a <= 57:
            if not 48 <= b <= 57:
                return 1
            first, i = _number(left, i)
            second, j = _number(right, j)
            if first != second:
                return first - second
        elif 48 <= b <= 57:
            return -1
        elif a != b:
            return _signed(a) - _signed(b)
        else:
            i += 1
            j += 1
    return -_signed(right[j]) if j < len(right) else 0


def _signed(byte: int) -> int:
    """A byte as the `char` of the machines with a cache; only the sign of a difference is used."""
    return byte - 256 if byte > 127 else byte


def _number(text: bytes, at: int) -> tuple[int, int]:
    value = 0
    while at < len(text) and 48 <= text[at] <= 57:
        value = value * 10 + text[at] - 48
        at += 1
    return (value + (1 << 31)) % (1 << 32) - (1 << 31), at


def lookup(cache: LdCache, name: str, wanted: Wanted) -> str | None:
    """The one file that the loader would take for NAME from the cache, whether it exists or not.

    glibc `search_cache`: a binary search, then all entries that compare equal; of these the best glibc-hwcaps one,
    else the first that fits. Nothing is tried after that one: an entry whose file is gone hides the others.
    """
    key = name.encode("utf-8", "surrogateescape")
    left, right = 0, len(cache.entries) - 1
    while left <= right:
        middle = (left + right) // 2
        found = cache.string(cache.entries[middle][1])
        if found is None:
            return None
        order = compare(key, found)
        if order == 0:
            return _best(cache, key, middle, right, wanted)
        if order < 0:
            left = middle + 1
        else:
            right = middle - 1
    return None


def _equal(cache: LdCache, index: int, key: bytes) -> bool:
    found = cache.string(cache.entries[index][1])
    return found is not None and compare(key, found) == 0


def _best(cache: LdCache, key: bytes, middle: int, right: int, wanted: Wanted) -> str | None:
    first = middle
    while first > 0 and _equal(cache, first - 1, key):
        first -= 1
    best: bytes | None = None
    best_priority = 0
    for index in range(first, right + 1):
        if index > middle and not _equal(cache, index, key):
            break
        entry = cache.entries[index]
        value = cache.string(entry[2])
        if entry[0] not in wanted.flags or value is None:
            continue
        hwcap = entry[4] if cache.has_hwcaps else 0
        if wanted.hwcaps is not None and _is_extension(hwcap):
            priority = _priority(cache, hwcap, wanted)
            if priority and (best is None or priority < best_priority):
                best, best_priority = value, priority
            continue
        if best is not None and cache.has_hwcaps:
            break  # the entries with a glibc-hwcaps name stand before all others
        if hwcap and (wanted.legacy_mask is None or hwcap & ~wanted.legacy_mask):
            continue
        best = value
        if entry[0] == wanted.flags[0]:
            break
    return None if best is None else best.decode("utf-8", "surrogateescape")


def _is_extension(hwcap: int) -> bool:
    return (hwcap >> 32) & ~_ISA_LEVEL_MASK == _HWCAP_EXTENSION >> 32


def _priority(cache: LdCache, hwcap: int, wanted: Wanted) -> int:
    """1 for the loader's best glibc-hwcaps name, 0 for one that does not fit this CPU."""
    if (hwcap >> 32) & _ISA_LEVEL_MASK > wanted.isa_level:
        return 0
    index = hwcap & 0xFFFFFFFF
    if index >= len(cache.hwcap_names) or wanted.hwcaps is None:
        return 0
    name = cache.hwcap_names[index]
    return wanted.hwcaps.index(name) + 1 if name in wanted.hwcaps else 0

"""What a program made by Nuitka in one file carries along: the payload that it unpacks when it starts.

    payload: KAX, or KAY: packed by zstd | as one stream, or for each file: name, NUL | flags: 2 is a link |
             of a link where it leads, NUL; else its size (8 bytes) | a checksum (4 bytes), if any |
             where each is packed by itself: its size so (4 bytes) | content; then NUL

It stands in the read-only data (4.3, observed), or is appended, and the last 8 bytes say where it begins. Source:
Nuitka nuitka/tools/onefile_compressor/OnefileCompressor.py and nuitka/build/static_src/OnefileBootstrap.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkscope.contents import spans, texts
from linkscope.contents.limits import Met, unheard
from linkscope.contents.texts import Area
from linkscope.contents.unloaded import end_of_elf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_MAGIC = re.compile(rb"KA[XY]")
_MAGIC_SIZE = 3
_STREAM = b"\x28\xb5\x2f\xfd"  # RFC 8878, Zstandard frames
_LAUNCHER = b"NUITKA_ONEFILE_PARENT"
_LINK, _MOST_FLAGS = 2, 3
_LONGEST_NAME = 4096
_NOT_IN_NAMES = re.compile(rb"[\x00-\x1f]")
_MOST_FILES = 1 << 15  # that are looked at, in all
_MOST_TRIES = 1 << 12


def contents(reader: Reader, image: Image, met: Met = unheard) -> Iterator[tuple[str, str]]:
    """The bundle's name with how it is packed, and then with each file where those are not packed together.

    met: is told of bounds.
    """
    budget = iter(range(_MOST_FILES))
    for area in (*_appended(reader, image), *_among_constants(reader, image, met)):
        data = reader.read(area.offset, min(_MAGIC_SIZE + len(_STREAM), area.size))
        if data[_MAGIC_SIZE:] == _STREAM and data.startswith(b"KAY"):
            yield "nuitka", f"Nuitka onefile: payload at {area.offset} (zstd)"
            return
        files = _files(reader, area, budget, packed=data.startswith(b"KAY")) if _MAGIC.match(data) else []
        if files:
            how = "zstd, each file" if data.startswith(b"KAY") else "not compressed"
            yield "nuitka", f"Nuitka onefile: payload at {area.offset} ({how}), {len(files)} files"
            for name in files:
                yield "nuitka", name
            return
    if next(budget, None) is None:
        met("bundles")


def _appended(reader: Reader, image: Image) -> Iterator[Area]:
    """Where the payload begins that is said to be behind the program."""
    after = end_of_elf(reader, image)
    if reader.size >= after + 8 + _MAGIC_SIZE:
        start = int.from_bytes(reader.read(reader.size - 8, 8), "little")
        if after <= start <= reader.size - 8 - _MAGIC_SIZE:
            yield Area(start, reader.size - 8 - start)


def _among_constants(reader: Reader, image: Image, met: Met) -> Iterator[Area]:
    """Where a payload may begin in the read-only data of Nuitka's launcher."""
    places = texts.areas(reader, image)
    if not texts.present(reader, places, [_LAUNCHER]):
        return
    tries = 0
    for area in places:
        for offset, data, size in spans.pieces(reader, [area], _MAGIC_SIZE):
            for match in _MAGIC.finditer(data):
                tries += 1
                if tries > _MOST_TRIES:
                    met("bundles")
                    return
                if match.start() < size:
                    start = offset + match.start()
                    yield Area(start, area.offset + area.size - start)


def _files(reader: Reader, area: Area, budget: Iterator[int], packed: bool) -> list[str]:
    """The names in a payload, which has a checksum of each file or has none; nothing where it fits neither way."""
    for checksum in (0, 4):
        names = list(_names(reader, area, budget, checksum, packed))
        if names and names[-1] == "":
            return names[:-1]
    return []


def _names(reader: Reader, area: Area, budget: Iterator[int], checksum: int, packed: bool) -> Iterator[str]:
    """The name of each file, and "" for the payload's end, up to what is no file, or to the end of BUDGET: all the
    payloads that a file seems to have are read within one.
    """
    at, end = area.offset + _MAGIC_SIZE, area.offset + area.size
    for _ in budget:
        head = reader.read(at, min(2 * _LONGEST_NAME, end - at))
        name, found, rest = head.partition(b"\0")
        if not found or not _is_name(name):
            return
        yield name.decode("utf-8", "replace")
        skipped = _skipped(rest, checksum, packed)
        if not name or skipped is None or at + len(name) + 1 + skipped >= end:
            return
        at += len(name) + 1 + skipped


def _is_name(name: bytes) -> bool:
    return len(name) <= _LONGEST_NAME and not name.startswith(b"/") and _NOT_IN_NAMES.search(name) is None


def _skipped(rest: bytes, checksum: int, packed: bool) -> int | None:
    """How many bytes stand between a name and the next one; None where the flags are none."""
    if not rest or rest[0] > _MOST_FLAGS:
        return None
    if rest[0] & _LINK:
        target = rest.find(b"\0", 1)
        return target + 1 if target > 0 else None
    size = int.from_bytes(rest[1:9], "little")
    if not packed:
        return 9 + checksum + size
    return 13 + checksum + int.from_bytes(rest[9 + checksum : 13 + checksum], "little")

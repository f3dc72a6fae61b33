"""What a program made by PyInstaller carries along: Python, and the files in the table of its archive.

    archive: files … | table | cookie: MEI\\014\\013\\012\\013\\016 | length of all | place, length of the table |
                                       Python (311) | name of its library, 64 bytes
    table:   for each: its own length | place, length, length unpacked | packed? | type | name, padded with NUL

All numbers are big-endian, places count from the archive's start. It stands in the section `pydata`, or is appended.
Source: PyInstaller bootloader/src/pyi_archive.h and PyInstaller/archive/writers.py, since 2.1.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents.carried import carried
from linkscope.contents.limits import Met, unheard
from linkscope.contents.unloaded import unloaded

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.model.inspect import Content

_MAGIC = b"MEI\x0c\x0b\x0a\x0b\x0e"
_COOKIE, _ENTRY = struct.Struct("!8sIIII64s"), struct.Struct("!IIIIBc")
_LONGEST_TABLE = 1 << 24
_PIECE = 1 << 22
_MOST_COOKIES = 16
_DISTRIBUTION = re.compile(
    r"(?:.*/)?([A-Za-z0-9][A-Za-z0-9._]*)-([0-9][^/-]*)(?:-py[0-9.]+)?\.(?:dist|egg)-info(?:/.*)?"
)


class Archive(msgspec.Struct, frozen=True):
    """The archive of one program. python: as 3.11; library: the file name of Python's; files: (type, name) each."""

    python: str
    library: str
    files: tuple[tuple[str, str], ...]


def archive(reader: Reader, image: Image, met: Met = unheard) -> Archive | None:
    """The archive of a program that PyInstaller made, None for every other, and where it is damaged.

    met: is told of bounds.
    """
    for area in unloaded(reader, image):
        for number, place in enumerate(_cookies(reader, area.offset, area.offset + area.size)):
            if number == _MOST_COOKIES:
                met("bundles")
                break
            found = _read(reader, place, area.offset)
            if found is not None:
                return found
    return None


def contents(reader: Reader, image: Image, met: Met = unheard) -> list[Content]:
    """The bundle with its shared libraries, Python, and the packages of which the metadata was taken along.

    met: is told of bounds.
    """
    found = archive(reader, image, met)
    if found is None:
        return []
    libraries = [name for kind, name in found.files if kind == "b"]
    parts = [
        carried("pyinstaller", [f"PyInstaller: CPython {found.python}, {len(found.files)} files", *libraries], met=met),
        carried("python", [f"PyInstaller: {found.library}"], version=found.python),
    ]
    for _, name in found.files:
        match = _DISTRIBUTION.fullmatch(name)
        if match is not None and (name.endswith(("/METADATA", "/PKG-INFO")) or "/" not in name):
            # PyPA, Name normalization
            parts.append(carried(re.sub(r"[-_.]+", "-", match[1]).lower(), [name], "pypi", match[2]))
    return parts


def _cookies(reader: Reader, start: int, end: int) -> Iterator[int]:
    """Where the magic stands in [START, END) of the file, the last one first, as the bootloader searches."""
    stop = end
    while stop > start:
        begin = max(start, stop - _PIECE)
        data = reader.read(begin, min(stop + len(_MAGIC) - 1, end) - begin)
        at = data.rfind(_MAGIC)
        while at >= 0:
            yield begin + at
            at = data.rfind(_MAGIC, 0, at + len(_MAGIC) - 1)
        stop = begin


def _read(reader: Reader, place: int, lowest: int) -> Archive | None:
    """The archive whose cookie stands at PLACE; None where it does not fit behind LOWEST."""
    end = place + _COOKIE.size
    if end > reader.size:
        return None
    _, length, at, size, python, library = _COOKIE.unpack(reader.read(place, _COOKIE.size))
    start = end - length
    if start < lowest or at + size > length or size > _LONGEST_TABLE:
        return None
    files = _files(reader.read(start + at, size))
    major, minor = divmod(python, 100 if python >= 100 else 10)  # of 2.7 it is 27, of 3.11 it is 311
    name = library.partition(b"\0")[0].decode("utf-8", "replace")
    return Archive(f"{major}.{minor}", name, tuple(files)) if files else None


def _files(table: bytes) -> list[tuple[str, str]]:
    """The type and name of each entry, up to the first one that is none."""
    found = []
    at = 0
    while at + _ENTRY.size < len(table):
        length, _, _, _, _, kind = _ENTRY.unpack_from(table, at)
        if not _ENTRY.size < length <= len(table) - at:
            break
        name = table[at + _ENTRY.size : at + length].partition(b"\0")[0]
        found.append((kind.decode("latin-1"), name.decode("utf-8", "replace")))
        at += length
    return found

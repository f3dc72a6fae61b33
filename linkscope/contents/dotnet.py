"""What a single-file program of .NET carries along: its files, the packages that they are of, and the runtime.

The launcher holds a signature, and before it the offset of the bundle's header; 0 says that there is none:

    header: major, minor, files (4 bytes each) | identity | from 2 on: places and lengths of NAME.deps.json and
            NAME.runtimeconfig.json, flags (8 bytes each) | for each file: place, length, from 6 on: length packed,
            type (1 byte), path. Texts stand behind their length, 7 bits in a byte.

Source: .NET runtime, src/native/corehost/bundle (header.cpp, file_entry.cpp, info.cpp) and
src/installer/managed/Microsoft.NET.HostModel/Bundle; docs/design/features/host-tracing and bundle designs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import spans
from linkscope.contents.carried import carried
from linkscope.contents.limits import Met, unheard
from linkscope.contents.texts import Area, merged
from linkscope.contents.unloaded import end_of_elf
from linkscope.elf import constants as c
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.model.inspect import Content

# SHA-256 of ".net core bundle" (bundle_marker.cpp)
_SIGNATURE = bytes.fromhex("8b1202b96a612038727b930214d7a03213f5b9e6efae3318ee3b2dce24b36aae")
_HEADER, _PLACES = struct.Struct("<III"), struct.Struct("<QQQQQ")
_MOST_SIGNATURES = 4
_MOST_FILES = 1 << 16
_LONGEST_HEADER = 1 << 24
_LONGEST_DEPS = 1 << 24
# .NET SDK DependencyContextBuilder.cs: others are parts of the program itself, or files that it refers to
_FROM_NUGET = ("package", "runtimepack")
_RUNTIME_PACK, _RUNTIME = "runtimepack.", "Microsoft.NETCore.App.Runtime."


class Bundle(msgspec.Struct, frozen=True):
    """A bundle. packages: (name, version, type) of each library in its list of dependencies."""

    version: str
    files: tuple[str, ...]
    packages: tuple[tuple[str, str, str], ...]


class _Library(msgspec.Struct, frozen=True):
    type: str = ""


class _Dependencies(msgspec.Struct, frozen=True):
    libraries: dict[str, _Library] = {}


def bundle(reader: Reader, image: Image, met: Met = unheard) -> Bundle | None:
    """The bundle of a single-file program, None where the file is none, or a damaged one. met: is told of bounds."""
    if reader.size <= end_of_elf(reader, image):
        return None
    loaded = [s for s in image.segments if s.type == c.PT_LOAD and 0 <= s.offset < reader.size]
    parts = merged([(s.offset, min(s.offset + s.filesz, reader.size)) for s in loaded])
    areas = [Area(start, end - start) for start, end in parts]
    for number, signature in enumerate(_signatures(reader, areas)):
        if number == _MOST_SIGNATURES:
            met("bundles")
            break
        place = int.from_bytes(reader.read(signature - 8, 8), "little") if signature >= 8 else 0
        found = _read(reader, place) if place else None
        if found is not None:
            return found
    return None


def _signatures(reader: Reader, areas: list[Area]) -> Iterator[int]:
    """Where the signature stands: besides the launcher's own, it may be in what reads bundles."""
    for offset, data, size in spans.pieces(reader, areas, len(_SIGNATURE)):
        at = data.find(_SIGNATURE)
        while 0 <= at < size:
            yield offset + at
            at = data.find(_SIGNATURE, at + 1)


def contents(reader: Reader, image: Image, met: Met = unheard) -> list[Content]:
    """The bundle with its files, and the NuGet packages; the runtime's version where that is inside as well.

    met: is told of bounds.
    """
    found = bundle(reader, image, met)
    if found is None:
        return []
    runtime = next((version for name, version, _ in found.packages if name.startswith(_RUNTIME_PACK + _RUNTIME)), None)
    texts = [f".NET single-file bundle {found.version}: {len(found.files)} files", *found.files]
    parts = [carried("dotnet", texts, version=runtime, met=met)]
    for name, version, kind in found.packages:
        if kind in _FROM_NUGET:
            proof = [f"{name}/{version} ({kind})"]
            parts.append(carried(name.removeprefix(_RUNTIME_PACK), proof, "nuget", version))
    return parts


def _read(reader: Reader, place: int) -> Bundle | None:
    try:
        return _Parser(reader.read(place, min(_LONGEST_HEADER, reader.size - place))).bundle(reader)
    except (MalformedElf, ValueError, struct.error):
        return None


class _Parser:
    """Reads the header from its first byte to its last; ValueError and struct.error where it is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def bundle(self, reader: Reader) -> Bundle:
        """The bundle that the header describes."""
        major, minor, count = self._fields(_HEADER)
        if not 1 <= major <= 99 or minor > 99 or count > _MOST_FILES:
            raise ValueError("no header of a bundle")
        self._text()
        deps, size, *_ = self._fields(_PLACES) if major >= 2 else (0, 0)
        entry = struct.Struct("<QQQB" if major >= 6 else "<QQB")
        files = []
        for _ in range(count):
            self._fields(entry)
            files.append(self._text())
        return Bundle(f"{major}.{minor}", tuple(files), _packages(reader, deps, size))

    def _fields(self, layout: struct.Struct) -> tuple[int, ...]:
        fields = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return fields

    def _text(self) -> str:
        length = shift = 0
        while True:
            (byte,) = self._fields(struct.Struct("B"))
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 28:
                raise ValueError("no length of a text")
        end = self._at + length
        if end > len(self._data):
            raise ValueError("a text that leaves the header")
        text = self._data[self._at : end].decode("utf-8", "replace")
        self._at = end
        return text


def _packages(reader: Reader, place: int, size: int) -> tuple[tuple[str, str, str], ...]:
    """What NAME.deps.json lists as `libraries`: keys are name/version."""
    if not 0 < size <= _LONGEST_DEPS:
        return ()
    try:
        listed = msgspec.json.decode(reader.read(place, size).removeprefix(b"\xef\xbb\xbf"), type=_Dependencies)
    except (MalformedElf, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    parted = ((key.partition("/"), library.type) for key, library in listed.libraries.items())
    return tuple((name, version, kind) for (name, _, version), kind in parted if name and version)

"""Programs that carry another program along: what kind of bundle it is, and the names of what it holds.

Only bundles with a mark that nothing else has; nothing is unpacked, and what is in a bundle is read where its own table
has it in plain. Packed programs are not here: of those nothing is known (elf/packing.py).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkscope.contents import dotnet, pyinstaller, spans
from linkscope.contents.unloaded import end_of_elf, unloaded
from linkscope.elf import constants as c
from linkscope.model.inspect import Content, Evidence

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# AppImage specification, Type 1 and 2: "AI" and the type at offset 8, in the padding of e_ident.
_APPIMAGE = b"AI"
_ISO_9660, _ISO_9660_AT = b"CD001", 0x8001  # ECMA-119: the first volume descriptor
_SQUASHFS, _SUPERBLOCK = b"hsqs", struct.Struct("<4sIIIIHHHHHH")  # Linux fs/squashfs/squashfs_fs.h
_COMPRESSORS = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}

# Node.js src/node_sea.cc: the note that postject puts in, and the first word of what stands in it; then flags, and the
# path of the script behind its length.
_NODE_SEA, _NODE_SEA_MAGIC, _NODE_SEA_HEADER = b"NODE_SEA_BLOB", 0x143DA20, struct.Struct("<IIQ")

# Bun src/StandaloneModuleGraph.zig: behind the modules, their offsets; then this and the size of all, or the end of
# the section `.bun`. The modules' names begin with the folder below.
_BUN, _BUN_SIZE, _BUN_SECTION = b"\n---- Bun! ----\n", 8, b".bun"
_BUN_NAME = re.compile(rb"/\$bunfs/root/[\x20-\x7e]{1,200}(?=\x00)")
_BUN_REACH = 1 << 16

# Deno cli/standalone/binary.rs and, since 2.0, libsui: what is appended begins, or ends, with it.
_DENO = b"d3n0l4nd"
# Nuitka build/static_src/OnefileBootstrap.c: the file ends in the offset of the payload, which begins so (Y: zstd).
_NUITKA = {b"KAX": "not compressed", b"KAY": "zstd"}
_LONGEST_PATH = 4096
_MOST_NOTES = 256
_LONGEST_OWNER = 64


def contents(reader: Reader, image: Image) -> list[Content]:
    """The bundle that the file is, with what it holds; nothing for nearly every file.

    Raises MalformedElf and FileUnreadable.
    """
    found: list[Content] = []
    for look in (_appimage, _node_sea, _bun, _deno, _nuitka):
        found += [_content(name, text) for name, text in look(reader, image)]
    return [*found, *pyinstaller.contents(reader, image), *dotnet.contents(reader, image)]


def _content(name: str, text: str) -> Content:
    return Content(name=name, ecosystem="generic", version=None, evidence=[Evidence(kind="bundle", text=text)])


def _appimage(reader: Reader, image: Image) -> Iterator[tuple[str, str]]:
    if reader.head[8:10] != _APPIMAGE:
        return
    if reader.head[10] == 2:
        at = end_of_elf(reader, image)
        if reader.size >= at + _SUPERBLOCK.size:
            magic, inodes, _, _, _, compressor, _, _, _, major, minor = _SUPERBLOCK.unpack(
                reader.read(at, _SUPERBLOCK.size)
            )
            if magic == _SQUASHFS:
                how = _COMPRESSORS.get(compressor, f"compressor {compressor}")
                yield (
                    "appimage",
                    f"AppImage type 2: squashfs {major}.{minor} ({how}) at {at}, {inodes} files and folders",
                )
    elif reader.head[10] == 1 and _holds(reader, _ISO_9660_AT, _ISO_9660):
        yield "appimage", "AppImage type 1: ISO 9660"


def _holds(reader: Reader, at: int, mark: bytes) -> bool:
    return reader.size >= at + len(mark) and reader.read(at, len(mark)) == mark


def _node_sea(reader: Reader, image: Image) -> Iterator[tuple[str, str]]:
    for data in _notes_of(reader, image, _NODE_SEA):
        if len(data) >= _NODE_SEA_HEADER.size:
            magic, _, length = _NODE_SEA_HEADER.unpack_from(data)
            if magic == _NODE_SEA_MAGIC and length <= _LONGEST_PATH:
                path = data[_NODE_SEA_HEADER.size :][:length].decode("utf-8", "replace")
                yield "node-sea", f"Node.js single executable application: {path}"


def _notes_of(reader: Reader, image: Image, owner: bytes) -> Iterator[bytes]:
    """How the descriptors of the notes of OWNER begin (gABI, Note Section); the whole may be very large."""
    layout = struct.Struct(image.layout.order + "III")
    for segment in image.segments:
        at, end = segment.offset, min(segment.offset + segment.filesz, reader.size)
        for _ in range(_MOST_NOTES if segment.type == c.PT_NOTE else 0):
            if at + layout.size > end:
                break
            name_size, size, _ = layout.unpack(reader.read(at, layout.size))
            start = at + layout.size + (name_size + 3 & ~3)
            if start + size > end:
                break
            if name_size <= _LONGEST_OWNER and reader.read(at + layout.size, name_size).rstrip(b"\0") == owner:
                yield reader.read(start, min(size, _NODE_SEA_HEADER.size + _LONGEST_PATH))
            at = start + (size + 3 & ~3)


def _bun(reader: Reader, image: Image) -> Iterator[tuple[str, str]]:
    end = reader.size - _BUN_SIZE
    start = max(end - _BUN_REACH, 0)
    data = reader.read(start, max(end - start, 0))
    if not data.endswith(_BUN):
        data = spans.section_end(reader, image, _BUN_SECTION, _BUN_REACH) or b""
        data = data[: data.rfind(_BUN) + len(_BUN)] if _BUN in data[-512:] else b""
    if data:
        names = dict.fromkeys(name.decode("ascii") for name in _BUN_NAME.findall(data))
        yield "bun", "bun build --compile: " + (", ".join([*names][:16]) or "names out of reach")


def _deno(reader: Reader, image: Image) -> Iterator[tuple[str, str]]:
    for offset, data, size in spans.pieces(reader, unloaded(reader, image), len(_DENO) - 1):
        if 0 <= data.find(_DENO) < size:
            yield "deno", f"deno compile: {_DENO.decode()} at {offset + data.find(_DENO)}"
            return


def _nuitka(reader: Reader, image: Image) -> Iterator[tuple[str, str]]:
    after = end_of_elf(reader, image)
    if reader.size < after + 11:
        return
    start = int.from_bytes(reader.read(reader.size - 8, 8), "little")
    if after <= start <= reader.size - 11:
        how = _NUITKA.get(reader.read(start, 3))
        if how is not None:
            yield "nuitka", f"Nuitka onefile: payload at {start} ({how})"

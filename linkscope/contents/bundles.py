"""Programs that carry another program along: what kind of bundle it is, and the names of what it holds.

Only bundles with a mark that nothing else has; nothing is unpacked, and what is in a bundle is read where its own table
has it in plain. Packed programs are not here: of those nothing is known (elf/packing.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkscope.contents import dotnet, javascript, nuitka, pyinstaller
from linkscope.contents.carried import carried
from linkscope.contents.limits import Met, unheard
from linkscope.contents.unloaded import end_of_elf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.model.inspect import Content

# AppImage specification, Type 1 and 2: "AI" and the type at offset 8, in the padding of e_ident.
_APPIMAGE = b"AI"
_ISO_9660, _ISO_9660_AT = b"CD001", 0x8001  # ECMA-119: the first volume descriptor
_SQUASHFS, _SUPERBLOCK = b"hsqs", struct.Struct("<4sIIIIHHHHHH")  # Linux fs/squashfs/squashfs_fs.h
_COMPRESSORS = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}


def contents(reader: Reader, image: Image, met: Met = unheard) -> list[Content]:
    """The bundle that the file is, with what it holds; nothing for nearly every file.

    met: is told of bounds. Raises MalformedElf and FileUnreadable.
    """
    found: dict[str, list[str]] = {}
    looks = (
        *(look(reader, image) for look in (_appimage, javascript.pkg, javascript.bun)),
        *(look(reader, image, met) for look in (javascript.node_sea, javascript.deno, nuitka.contents)),
    )
    for told in looks:
        for name, text in told:
            found.setdefault(name, []).append(text)
    made = [carried(name, texts, met=met) for name, texts in found.items()]
    return [*made, *pyinstaller.contents(reader, image, met), *dotnet.contents(reader, image, met)]


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

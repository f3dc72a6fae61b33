"""Whether a program is packed, so that what is inside cannot be seen without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.elf import constants as c

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_UPX = b"UPX!"
_CHECKSUM = 4  # UPX src/stub/src/include/linux.h, struct l_info: a checksum, the magic, …
_PACK_HEADER = 36  # UPX src/packhead.cpp: the file ends in the magic, 28 bytes about the packing, and a 4-byte offset


def packed(reader: Reader, image: Image) -> str | None:
    """The name of the packer (`UPX`), None for a file that is not packed by one that is known here.

    UPX writes its magic behind the program headers of a program, and at the end of every file.
    """
    if image.type not in (c.ET_EXEC, c.ET_DYN) or image.debug:
        return None
    head = image.layout.header.size + len(image.segments) * image.layout.segment.size + _CHECKSUM
    if reader.head[head : head + len(_UPX)] == _UPX:
        return "UPX"
    end = reader.size - _PACK_HEADER
    return "UPX" if end > head and reader.read(end, len(_UPX)) == _UPX else None

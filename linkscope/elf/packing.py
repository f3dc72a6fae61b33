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

    UPX writes its magic behind the program headers of a program, and at the end of every file; releases before 3.97 put
    the segments of a library that are not packed behind that end, and l_info in place of its code.
    """
    if image.type not in (c.ET_EXEC, c.ET_DYN) or image.debug:
        return None
    head = image.layout.header.size + len(image.segments) * image.layout.segment.size
    if reader.head[head + _CHECKSUM : head + _CHECKSUM + len(_UPX)] == _UPX:
        return "UPX"
    places = [reader.size - _PACK_HEADER]
    if image.dynamic is not None:
        code = [one for one in image.segments if one.type == c.PT_LOAD and one.flags & c.PF_X and one.offset]
        places += [one.offset + _CHECKSUM for one in code]
    return "UPX" if any(_stands(reader, place) for place in places if place > head) else None


def _stands(reader: Reader, place: int) -> bool:
    return place + len(_UPX) <= reader.size and reader.read(place, len(_UPX)) == _UPX

"""The bytes of parts of a file in pieces that overlap, and the texts of its sections: for marks that need no NUL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linkscope.elf import constants as c
from linkscope.elf.sections import sections_named
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.contents.texts import Area
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.sections import Section

_PIECE = 1 << 22
_LONGEST_COMMENT = 1 << 16  # bytes of .comment that are read


def pieces(reader: Reader, places: Iterable[Area], overlap: int) -> Iterator[tuple[int, bytes, int]]:
    """The bytes of PLACES: (offset in the file, bytes, how many of them are this piece's own).

    Behind these stand up to OVERLAP bytes of the next one.
    """
    for area in places:
        for at in range(0, area.size, _PIECE):
            size = min(_PIECE, area.size - at)
            yield area.offset + at, reader.read(area.offset + at, min(size + overlap, area.size - at)), size


def section_bytes(reader: Reader, image: Image, name: bytes, limit: int) -> bytes | None:
    """What a section holds, at most LIMIT bytes of it; None where the headers, or the section, are not in the file."""
    section = _section(reader, image, name)
    try:
        return reader.read(section.offset, min(section.size, limit)) if section else None
    except MalformedElf:
        return None


def section_end(reader: Reader, image: Image, name: bytes, limit: int) -> bytes | None:
    """The last bytes of a section, at most LIMIT of them; None as for `section_bytes`."""
    section = _section(reader, image, name)
    size = min(section.size, limit) if section else 0
    try:
        return reader.read(section.offset + section.size - size, size) if section else None
    except MalformedElf:
        return None


def _section(reader: Reader, image: Image, name: bytes) -> Section | None:
    try:
        section = sections_named(reader, image, frozenset((name,))).get(name)
    except MalformedElf:
        return None
    usable = section is not None and section.type != c.SHT_NOBITS and not section.flags & c.SHF_COMPRESSED
    return section if usable else None


def comments(reader: Reader, image: Image) -> list[str]:
    """What compilers and linkers signed in `.comment`, once each, in their order."""
    data = section_bytes(reader, image, b".comment", _LONGEST_COMMENT) or b""
    return list(dict.fromkeys(text.decode("utf-8", "replace") for text in data.split(b"\0") if text))

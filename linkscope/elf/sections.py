"""The few questions that only the section header table answers. The loaders never read it, and it may lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_LAYOUTS = {
    (order, word): struct.Struct(order + fields) for order in "<>" for word, fields in ((4, "10I"), (8, "IIQQQQIIQQ"))
}
_MAX_SECTIONS = 1 << 17
_MAX_NAMES = 1 << 24  # bytes; an object file of -ffunction-sections has some hundred thousand


class Section(msgspec.Struct, frozen=True):
    """One section header, under the gABI's names without `sh_`."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    addralign: int
    entsize: int


def extended_segment_count(reader: Reader, order: str, word: int, shoff: int) -> int:
    """The number of program headers where it does not fit e_phnum (gABI: sh_info of section 0)."""
    layout = _LAYOUTS[order, word]
    return int(layout.unpack(reader.read(shoff, layout.size))[7])


def read_sections(reader: Reader, image: Image) -> Iterator[Section]:
    """The section headers in order; nothing where the file has none. Raises MalformedElf where they are not there."""
    for fields in _raw_sections(reader, image):
        yield Section(*fields)


def _raw_sections(reader: Reader, image: Image) -> Iterator[tuple[int, ...]]:
    """The headers as tuples of the fields of Section."""
    header = image.layout.header.unpack_from(reader.head)
    shoff, shentsize, shnum = header[6], header[11], header[12]
    layout = _LAYOUTS[image.layout.order, image.layout.word]
    if not shoff:
        return iter(())
    if shentsize != layout.size:
        raise MalformedElf(image.path, f"section headers of {shentsize} bytes, {layout.size} expected", shoff)
    if not shnum:  # gABI: more than 0xfeff sections, the number stands in sh_size of section 0
        shnum = layout.unpack(reader.read(shoff, layout.size))[5]
    if shnum > _MAX_SECTIONS:
        raise MalformedElf(image.path, f"{shnum} sections", shoff)
    return layout.iter_unpack(reader.read(shoff, shnum * layout.size))


def sections_named(reader: Reader, image: Image, wanted: frozenset[bytes]) -> dict[bytes, Section]:
    """Those of the WANTED sections that there are, the first of each; none where the file has no section headers.

    Raises MalformedElf where the headers or the names are not in the file.
    """
    sections = list(_raw_sections(reader, image))
    names = _names(reader, image, sections)
    longest = max(map(len, wanted)) + 1
    found: dict[bytes, Section] = {}
    for fields in sections:
        end = names.find(b"\0", fields[0], fields[0] + longest)
        name = names[fields[0] : end] if end > fields[0] else b""
        if name in wanted and name not in found:
            found[name] = Section(*fields)
    return found


def _names(reader: Reader, image: Image, sections: list[tuple[int, ...]]) -> bytes:
    """The string table of the section names; no bytes where the file names none."""
    index = image.layout.header.unpack_from(reader.head)[13]
    if index == 0xFFFF and sections:  # gABI, SHN_XINDEX: it stands in sh_link of section 0
        index = sections[0][6]
    if not 0 < index < len(sections):
        return b""
    return reader.read(sections[index][4], min(sections[index][5], _MAX_NAMES))


def holds_no_program(reader: Reader, image: Image) -> bool:
    """Whether the sections say that all allocated code stays outside this file: a separate debug file."""
    try:
        code = [s for s in read_sections(reader, image) if s.flags & c.SHF_ALLOC and s.flags & c.SHF_EXECINSTR]
    except MalformedElf:
        return False
    return bool(code) and all(section.type == c.SHT_NOBITS for section in code)


def section_sizes(reader: Reader, image: Image) -> dict[str, int]:
    """The bytes that each named section takes in the file, in the order of the headers; equal names are added up.

    A section without bytes (.bss) counts with what it takes in memory, as `size` counts it. Nothing where the file has
    no section headers. Raises MalformedElf where the headers or the names are not in the file.
    """
    raw = list(_raw_sections(reader, image))
    names = _names(reader, image, raw)
    sizes: dict[str, int] = {}
    for section in [Section(*fields) for fields in raw]:
        end = names.find(b"\0", section.name)
        if section.type != c.SHT_NULL and end > section.name:
            name = names[section.name : end].decode("utf-8", "surrogateescape")
            sizes[name] = sizes.get(name, 0) + section.size
    return sizes

"""The machine code of one relocatable object: its executable sections, each with the places of its relocations.

Layouts: gABI, Sections, Relocation; the object is a member of an archive and so is all in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Container

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.machines import machine_name
from linkscope.elf.segments import LAYOUTS, Layout
from linkscope.errors import MalformedElf

_SHT_PROGBITS, _SHT_RELA, _SHT_REL, _SHT_GROUP = 1, 4, 9, 17
_GRP_COMDAT = 1
_SHN_XINDEX = 0xFFFF
_MOST_SECTIONS = 1 << 20
_LONGEST_NAME = 1 << 12
_BITCODE = (b"BC\xc0\xde", b"\xde\xc0\x17\x0b")  # LLVM: raw, and in its wrapper (LLVM Bitcode File Format)
_OPTIMISER_SECTIONS = (b".gnu.lto_", b".llvm.lto")  # gcc/lto-section-names.h; LLVM, Fat LTO


class Code(msgspec.Struct, frozen=True):
    """One executable section that is not empty.

    relocations: (r_offset, type) of each, by r_offset. shared: it is in a COMDAT group (or of its forerunner,
    `.gnu.linkonce`): code that every object has which uses it, and of which a linker keeps one.
    """

    name: str
    content: bytes
    relocations: list[tuple[int, int]]
    shared: bool


class Object(msgspec.Struct, frozen=True):
    """A relocatable object. architecture: the contract's `elf.machine`. code: its executable sections in their order.

    bitcode: it has what a link-time optimiser reads; where there is no code beside it, it has nothing else.
    """

    architecture: str
    code: list[Code]
    bitcode: bool


def is_bitcode(content: bytes) -> bool:
    """Whether a member is LLVM's bitcode, which is no ELF file."""
    return content.startswith(_BITCODE)


def read_object(content: bytes, name: str) -> Object | None:
    """The machine code in a relocatable ELF file; None for everything else. name: for messages.

    Raises MalformedElf where its headers contradict its bytes.
    """
    layout = LAYOUTS.get((content[4], content[5])) if content[:4] == b"\x7fELF" and len(content) > 6 else None
    if layout is None:
        return None
    try:
        header = layout.header.unpack_from(content)
        if header[1] != c.ET_REL:
            return None
        sections = _sections(content, layout, header, name)
        return _object(content, layout, machine_name(header[2]), sections, name)
    except struct.error as error:
        raise MalformedElf(name, f"truncated: {error}") from error


class _Section(msgspec.Struct, frozen=True):
    name: bytes
    type: int
    flags: int
    offset: int
    size: int
    info: int

    def content(self, whole: bytes, name: str) -> bytes:
        if self.offset + self.size > len(whole):
            raise MalformedElf(name, f"truncated: a section of {self.size} bytes", self.offset)
        return whole[self.offset : self.offset + self.size]


def _sections(content: bytes, layout: Layout, header: tuple[int, ...], name: str) -> list[_Section]:
    shoff, shentsize, shnum, shstrndx = header[6], header[11], header[12], header[13]
    fields = struct.Struct(layout.order + {4: "10I", 8: "IIQQQQIIQQ"}[layout.word])
    if not shoff:
        return []
    if shentsize != fields.size:
        raise MalformedElf(name, f"section headers of {shentsize} bytes, {fields.size} expected", shoff)
    if shoff + fields.size > len(content):
        raise MalformedElf(name, "truncated: no section headers", shoff)
    first = fields.unpack_from(content, shoff)
    count = shnum or first[5]
    if count > _MOST_SECTIONS or shoff + count * fields.size > len(content):
        raise MalformedElf(name, f"truncated: {count} section headers", shoff)
    raw = list(fields.iter_unpack(content[shoff : shoff + count * fields.size]))
    names = first[6] if shstrndx == _SHN_XINDEX else shstrndx
    at, size = (raw[names][4], raw[names][5]) if names < len(raw) else (0, 0)
    text = content[at : at + size]
    return [_Section(_text(text, s[0]), s[1], s[2], s[4], s[5], s[7]) for s in raw]


def _text(names: bytes, at: int) -> bytes:
    end = names.find(b"\0", at, at + _LONGEST_NAME)
    return names[at:end] if end >= 0 else b""


def _object(content: bytes, layout: Layout, architecture: str, sections: list[_Section], name: str) -> Object:
    wanted = c.SHF_ALLOC | c.SHF_EXECINSTR
    executable = {
        index
        for index, s in enumerate(sections)
        if s.type == _SHT_PROGBITS and s.flags & wanted == wanted and s.size and not s.flags & c.SHF_COMPRESSED
    }
    _refuse_overlaps(sections, executable, len(content), name)
    relocations: dict[int, list[tuple[int, int]]] = {}
    shared: set[int] = set()
    for section in sections:
        if section.type in (_SHT_RELA, _SHT_REL) and section.info in executable:
            found = _relocations(section.content(content, name), layout, section.type == _SHT_RELA)
            relocations.setdefault(section.info, []).extend(found)
        elif section.type == _SHT_GROUP:
            words = section.content(content, name)
            numbers = struct.unpack(f"{layout.order}{len(words) // 4}I", words[: len(words) // 4 * 4])
            if numbers and numbers[0] & _GRP_COMDAT:
                shared.update(numbers[1:])
    code = [
        Code(
            name=sections[index].name.decode("utf-8", "replace"),
            content=sections[index].content(content, name),
            relocations=sorted(relocations.get(index, ())),
            shared=index in shared or sections[index].name.startswith(b".gnu.linkonce."),
        )
        for index in sorted(executable)
    ]
    return Object(architecture, code, any(s.name.startswith(_OPTIMISER_SECTIONS) for s in sections))


def _refuse_overlaps(sections: list[_Section], executable: Container[int], size: int, name: str) -> None:
    """Raises MalformedElf where more is to be read than the object has bytes: the same ones a million times over."""
    wanted = sum(
        section.size
        for index, section in enumerate(sections)
        if index in executable
        or section.type == _SHT_GROUP
        or (section.type in (_SHT_RELA, _SHT_REL) and section.info in executable)
    )
    if wanted > size:
        raise MalformedElf(name, f"sections overlap: {wanted} bytes of them in {size}")


def _relocations(table: bytes, layout: Layout, with_addend: bool) -> list[tuple[int, int]]:
    """(r_offset, type) of each entry; the type is the lower part of r_info (gABI: 32 bits, 8 in a 32-bit file)."""
    word = {4: "I", 8: "Q"}[layout.word]
    entry = struct.Struct(layout.order + word * (3 if with_addend else 2))
    mask = 0xFFFFFFFF if layout.word == 8 else 0xFF
    return [
        (fields[0], fields[1] & mask) for fields in entry.iter_unpack(table[: len(table) // entry.size * entry.size])
    ]

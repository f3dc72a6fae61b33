"""What the bytes of a file are for: code, data, what the loader reads, symbols, what debuggers read.

Section headers tell; where they say nothing of what is loaded, the program headers and the dynamic section do.
Source: gABI, Sections (Special Sections), Program Header.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.sections import Section, read_sections
from linkscope.elf.segments import file_offset
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

BytesKind = Literal["code", "read-only-data", "data", "linking", "symbols", "debug", "other"]
KINDS: tuple[BytesKind, ...] = ("code", "read-only-data", "data", "linking", "symbols", "debug", "other")

_SHT_RELA, _SHT_HASH, _SHT_DYNAMIC, _SHT_REL, _SHT_DYNSYM, _SHT_SYMTAB_SHNDX, _SHT_RELR = 4, 5, 6, 9, 11, 18, 19
_SHT_GNU_HASH, _SHT_GNU_VERDEF, _SHT_GNU_VERNEED, _SHT_GNU_VERSYM = 0x6FFFFFF6, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_SHF_WRITE, _DT_RELRSZ = 1, 35
_MAX_NAMES = 1 << 24  # bytes
_FOR_THE_LOADER = frozenset(
    (
        _SHT_RELA,
        _SHT_REL,
        _SHT_RELR,
        _SHT_HASH,
        _SHT_GNU_HASH,
        _SHT_DYNAMIC,
        _SHT_DYNSYM,
        _SHT_GNU_VERDEF,
        _SHT_GNU_VERNEED,
        _SHT_GNU_VERSYM,
        c.SHT_STRTAB,  # where it is loaded: the names of the dynamic symbols
    )
)
_DEBUG = (".debug", ".zdebug", ".gnu_debug", ".gnu.debuglto", ".gdb_index", ".stab", ".line")
# The tables that DT_ tags name, each by the tag of its address and that of its size.
_TABLES = (
    (c.DT_STRTAB, c.DT_STRSZ),
    (c.DT_RELA, c.DT_RELASZ),
    (c.DT_REL, c.DT_RELSZ),
    (c.DT_JMPREL, c.DT_PLTRELSZ),
    (c.DT_RELR, _DT_RELRSZ),
)


class Span(msgspec.Struct, frozen=True):
    """Bytes of the file, [start, end), of one kind."""

    start: int
    end: int
    kind: BytesKind


def parts(reader: Reader, image: Image) -> dict[BytesKind, int]:
    """How many bytes of the file are of each kind. Their sum is its size, whatever the headers say.

    `code`: whoever's it is. `read-only-data`: tables for unwinding as well. `data`: what the program may write, with
    the global offset table. `linking`: what only a loader reads: dynamic section, symbols, relocations, versions.
    `other`: headers, notes, comments, and what fills up. A byte that two sections claim is the first one's.
    Where no section is loaded (no headers, or false ones), it is told by the segments: then code has its constants
    with it if both are in one segment.
    """
    sizes: dict[BytesKind, int] = dict.fromkeys(KINDS, 0)
    for span in _apart(_spans(reader, image), reader.size):
        sizes[span.kind] += span.end - span.start
    sizes["other"] += reader.size - sum(sizes.values())
    return sizes


def _spans(reader: Reader, image: Image) -> list[Span]:
    """What the headers claim, the stronger claims first."""
    try:
        sections = _named(reader, image, list(read_sections(reader, image)))
    except MalformedElf:
        sections = []
    strings = _symbol_strings(sections)
    spans = [
        Span(section.offset, section.offset + section.size, _kind(name, section, index in strings))
        for index, (name, section) in enumerate(sections)
        if section.type not in (c.SHT_NULL, c.SHT_NOBITS)
    ]
    loaded = any(s.flags & c.SHF_ALLOC and s.type not in (c.SHT_NULL, c.SHT_NOBITS) for _, s in sections)
    return spans if loaded or image.debug else [*spans, *_tables(reader, image), *_segments(image)]


def _named(reader: Reader, image: Image, sections: list[Section]) -> list[tuple[str, Section]]:
    """SECTIONS, each with its name; "" where it has none. Raises MalformedElf."""
    index = image.layout.header.unpack_from(reader.head)[13]
    if index == 0xFFFF and sections:  # gABI, SHN_XINDEX
        index = sections[0].link
    names = b""
    if 0 < index < len(sections):
        names = reader.read(sections[index].offset, min(sections[index].size, _MAX_NAMES))
    return [(names[s.name : names.find(b"\0", s.name)].decode("latin-1"), s) for s in sections]


def _symbol_strings(sections: Sequence[tuple[str, Section]]) -> set[int]:
    """The numbers of the sections that hold the names of .symtab."""
    return {section.link for _, section in sections if section.type == c.SHT_SYMTAB}


def _kind(name: str, section: Section, names_symbols: bool) -> BytesKind:
    """The debug sections by their names, as every tool tells them; all others by type and flags."""
    if name.startswith(_DEBUG):
        return "debug"
    if not section.flags & c.SHF_ALLOC:
        return "symbols" if names_symbols or section.type in (c.SHT_SYMTAB, _SHT_SYMTAB_SHNDX) else "other"
    if section.type in _FOR_THE_LOADER or name == ".interp":
        return "linking"
    if section.type == c.SHT_NOTE:
        return "other"
    return _by_access(bool(section.flags & c.SHF_EXECINSTR), bool(section.flags & _SHF_WRITE))


def _by_access(executable: bool, writable: bool) -> BytesKind:
    return "code" if executable else "data" if writable else "read-only-data"


def _tables(reader: Reader, image: Image) -> Iterator[Span]:
    """What only a loader reads, as far as tags and segments say where it begins and ends; and the notes."""
    tags = dict(image.dynamic or ())
    for address, size in _TABLES:
        if address in tags:
            try:
                offset, available = file_offset(image.segments, tags[address], image.path)
            except MalformedElf:
                continue
            yield Span(offset, offset + min(tags.get(size, 0), available), "linking")
    yield from _symbol_span(reader, image, tags)
    for segment in image.segments:
        if segment.type in (c.PT_DYNAMIC, c.PT_INTERP):
            yield Span(segment.offset, segment.offset + segment.filesz, "linking")
        elif segment.type == c.PT_NOTE:
            yield Span(segment.offset, segment.offset + segment.filesz, "other")


def _symbol_span(reader: Reader, image: Image, tags: dict[int, int]) -> Iterator[Span]:
    """The dynamic symbols, whose number is known by their hash table."""
    from linkscope.elf.symbols import dynamic_table

    try:
        table = dynamic_table(reader, image)
        if table is not None:
            offset, _ = file_offset(image.segments, tags[c.DT_SYMTAB], image.path)
            yield Span(offset, offset + len(table.records), "linking")
    except MalformedElf:
        return


def _segments(image: Image) -> Iterator[Span]:
    for segment in image.segments:
        if segment.type == c.PT_LOAD:
            kind = _by_access(bool(segment.flags & c.PF_X), bool(segment.flags & c.PF_W))
            yield Span(segment.offset, segment.offset + segment.filesz, kind)


def _apart(spans: Sequence[Span], size: int) -> Iterator[Span]:
    """SPANS without what they have in common, cut at the end of the file: a byte goes to the first that claims it."""
    waiting = sorted((span.start, rank, min(span.end, size)) for rank, span in enumerate(spans))
    open_: list[tuple[int, int]] = []  # (rank, end) of the claims on the byte at hand, the strongest first
    at = number = 0
    while number < len(waiting) or open_:
        if not open_:
            at = max(at, waiting[number][0])
        while number < len(waiting) and waiting[number][0] <= at:
            _, rank, end = waiting[number]
            heapq.heappush(open_, (rank, end))
            number += 1
        while open_ and open_[0][1] <= at:
            heapq.heappop(open_)
        if open_:
            rank, end = open_[0]
            until = min(end, waiting[number][0]) if number < len(waiting) else end
            yield Span(at, until, spans[rank].kind)
            at = until

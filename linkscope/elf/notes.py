"""Notes: build id, GNU properties, dlopen metadata. Layout: gABI, Note Section; names as in /usr/include/elf.h."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.sections import sections_named
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.segments import Layout, Segment

NT_GNU_ABI_TAG, NT_GNU_BUILD_ID, NT_GNU_PROPERTY_TYPE_0 = 1, 3, 5
GNU_PROPERTY_X86_ISA_1_NEEDED, GNU_PROPERTY_X86_FEATURE_1_AND = 0xC0008002, 0xC0000002
GNU_PROPERTY_AARCH64_FEATURE_1_AND = 0xC0000000
FDO_DLOPEN = 0x407C0C0A  # uapi-group.org, ELF dlopen() metadata; the owner is FDO
_BUILD_ID_SECTION = frozenset((b".note.gnu.build-id",))
_MAX_NOTES = 1 << 20  # bytes of one file that are looked at


def entries(data: bytes, order: str, align: int) -> Iterator[tuple[bytes, int, bytes]]:
    """The notes in DATA as (owner, type, descriptor); ends at the first one that does not fit.

    align: 4, or 8 for the property notes of 64-bit files (p_align of their segment).
    """
    header = struct.Struct(order + "III")
    at = 0
    while at + header.size <= len(data):
        namesz, descsz, kind = header.unpack_from(data, at)
        name_at = at + header.size
        desc_at = name_at + (namesz + 3 & ~3) if align == 4 else (name_at + namesz + align - 1) & -align
        if desc_at + descsz > len(data):
            return
        yield data[name_at : name_at + namesz].rstrip(b"\0"), kind, data[desc_at : desc_at + descsz]
        at = (desc_at + descsz + align - 1) & -align


def segment_notes(reader: Reader, image: Image) -> list[tuple[bytes, int, bytes]]:
    """Every note of every PT_NOTE segment. They are kept with the open file."""
    known = reader.memory.get("notes")
    if known is None:
        known = reader.memory["notes"] = list(_read_notes(reader, image))
    return cast("list[tuple[bytes, int, bytes]]", known)


def _read_notes(reader: Reader, image: Image) -> Iterator[tuple[bytes, int, bytes]]:
    left = _MAX_NOTES
    for segment in image.segments:
        if segment.type == c.PT_NOTE and 0 < segment.filesz <= left:
            left -= segment.filesz
            data = reader.read(segment.offset, segment.filesz)
            yield from entries(data, image.layout.order, 8 if segment.align == 8 else 4)


def build_id(reader: Reader, image: Image) -> str | None:
    """The GNU build id in hexadecimal, None without one.

    Object files have no segments, and Go's own linker (before 1.24) leaves this note out of PT_NOTE: then the section
    of that name is what debuggers go by.
    """
    for owner, kind, descriptor in segment_notes(reader, image):
        if owner == b"GNU" and kind == NT_GNU_BUILD_ID and descriptor:
            return descriptor.hex()
    try:
        section = sections_named(reader, image, _BUILD_ID_SECTION).get(b".note.gnu.build-id")
        if section is None or section.type != c.SHT_NOTE or section.size > _MAX_NOTES:
            return None
        found = entries(reader.read(section.offset, section.size), image.layout.order, 4)
    except MalformedElf:  # a file without an id may well have no sections either, or damaged ones
        return None
    return next((data.hex() for owner, kind, data in found if owner == b"GNU" and kind == NT_GNU_BUILD_ID), None)


def properties(descriptor: bytes, order: str, word: int) -> Iterator[tuple[int, bytes]]:
    """The (pr_type, data) pairs of a property note's descriptor. Source: psABI x86-64, Program Property."""
    at = 0
    while at + 8 <= len(descriptor):
        kind, size = struct.unpack_from(order + "II", descriptor, at)
        at += 8
        if at + size > len(descriptor):
            return
        yield kind, descriptor[at : at + size]
        at += (size + word - 1) & -word


def gnu_property(reader: Reader, layout: Layout, segments: tuple[Segment, ...], wanted: int) -> int:
    """The 32-bit value of one GNU property, 0 where it is absent.

    It stands where PT_GNU_PROPERTY says; linkers before binutils 2.32 wrote none, and then the loader looks through
    the PT_NOTE segments aligned to 8 bytes, in 32-bit files to 4 (glibc sysdeps/x86/dl-prop.h, _dl_process_pt_note).
    The loader begins with the last segment, and one that counts is enough (elf/dl-load.c, _dl_map_object_from_fd).
    """
    areas = [segment for segment in segments if segment.type == c.PT_GNU_PROPERTY][-1:]
    areas = areas or [s for s in segments if s.type == c.PT_NOTE and s.align == layout.word]
    left = _MAX_NOTES
    for area in areas:
        if not 0 < area.filesz <= left:
            continue
        left -= area.filesz
        for owner, kind, descriptor in entries(reader.read(area.offset, area.filesz), layout.order, layout.word):
            if owner == b"GNU" and kind == NT_GNU_PROPERTY_TYPE_0:
                for this, data in properties(descriptor, layout.order, layout.word):
                    if this == wanted and len(data) == 4:
                        return int(struct.unpack(layout.order + "I", data)[0])
    return 0


def x86_isa_needed(reader: Reader, layout: Layout, segments: tuple[Segment, ...]) -> int:
    """GNU_PROPERTY_X86_ISA_1_NEEDED: bit N set means x86-64 baseline (0), v2, v3, v4 is needed. 0 without."""
    return gnu_property(reader, layout, segments, GNU_PROPERTY_X86_ISA_1_NEEDED)


class DlopenEntry(msgspec.Struct, frozen=True):
    """One dependency that a file declares to open itself: `soname` lists alternatives, in order of preference."""

    soname: tuple[str, ...]
    feature: str | None = None
    description: str | None = None
    priority: str | None = None


def dlopen_entries(reader: Reader, image: Image) -> tuple[DlopenEntry, ...]:
    """What the file declares in `.note.dlopen`, in order; a note that is not what the specification says is no note."""
    found: list[DlopenEntry] = []
    for owner, kind, descriptor in segment_notes(reader, image):
        if owner == b"FDO" and kind == FDO_DLOPEN:
            try:
                found += msgspec.json.decode(descriptor.rstrip(b"\0"), type=tuple[DlopenEntry, ...])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
    return tuple(found)

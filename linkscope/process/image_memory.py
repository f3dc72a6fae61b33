"""What a process's memory shows of one ELF object: its program headers, where it lies, its dynamic section.

Memory is as hostile as a file: every count is bounded, and what cannot be read is None. Layouts: gABI, Program Header
and Dynamic Section.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.segments import LAYOUTS, Layout, Segment
from linkscope.process.mappings import Mapping
from linkscope.process.procfs import Memory

_MAX_SEGMENTS = 1 << 10
_MOST_LOADS = 1 << 5  # segments that have to fit; linkers make two to five
MAX_DYNAMIC = 1 << 16  # bytes, as in elf/image.py
_PIECE = 512
_LONGEST_NAME = 1 << 15


class Places:
    """The mappings of a process, to be asked for by address; in order of addresses, as the kernel lists them."""

    __slots__ = ("_starts", "mappings")

    def __init__(self, mappings: Iterable[Mapping]) -> None:
        self.mappings = sorted(mappings, key=lambda mapping: mapping.start)
        self._starts = [mapping.start for mapping in self.mappings]

    def at(self, address: int) -> Mapping | None:
        """The mapping that holds ADDRESS, None where nothing is mapped."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self.mappings[index].end:
            return None
        return self.mappings[index]


class Names(msgspec.Struct, frozen=True):
    """The strings of a dynamic section in memory; decoded as file names are. soname: None without the tag."""

    soname: str | None = None
    needed: tuple[str, ...] = ()


def segments_at(memory: Memory, address: int, count: int, layout: Layout) -> tuple[Segment, ...]:
    """The COUNT program headers that stand at ADDRESS; () where they cannot be read."""
    table = memory.read(address, count * layout.segment.size) if 0 < count <= _MAX_SEGMENTS else None
    if table is None:
        return ()
    if layout.word == 8:
        return tuple(Segment(t, f, o, v, fs, ms, a) for t, f, o, v, _, fs, ms, a in layout.segment.iter_unpack(table))
    return tuple(Segment(t, f, o, v, fs, ms, a) for t, o, v, _, fs, ms, f, a in layout.segment.iter_unpack(table))


def header_segments(memory: Memory, address: int, layout: Layout) -> tuple[Segment, ...]:
    """The program headers of the ELF file whose first bytes are mapped at ADDRESS; () where there is none."""
    head = memory.read(address, layout.header.size)
    if head is None or head[:4] != b"\x7fELF" or LAYOUTS.get((head[4], head[5])) is not layout:
        return ()
    fields = layout.header.unpack(head)
    phoff, phentsize, phnum = fields[5], fields[9], fields[10]
    return segments_at(memory, address + phoff, phnum, layout) if phentsize == layout.segment.size else ()


def load_addresses(segments: Sequence[Segment], mappings: Iterable[Mapping], word: int) -> list[int]:
    """Every address by which a file with these SEGMENTS was moved when it was mapped (l_addr): several after dlmopen.

    mappings: those of this one file. Each PT_LOAD segment has to begin where its bytes of the file are mapped.
    """
    places = Places(mappings)
    loads = _loads(segments)
    possible = possible_addresses(segments, places.mappings, word)
    mask = (1 << word * 8) - 1
    return [base for base in possible if all(_lies_at(s, base + s.vaddr & mask, places) for s in loads)]


def possible_addresses(segments: Sequence[Segment], mappings: Iterable[Mapping], word: int) -> list[int]:
    """Every such address by which some code is where it was mapped, wherever the other segments are."""
    code = [segment for segment in _loads(segments) if segment.flags & c.PF_X]
    found = {
        mapping.start - mapping.offset + segment.offset - segment.vaddr & (1 << word * 8) - 1: None
        for mapping in mappings
        if mapping.executable
        for segment in code
        if segment.offset < mapping.offset + mapping.size and mapping.offset < segment.offset + segment.filesz
    }
    return list(found)


def _loads(segments: Sequence[Segment]) -> list[Segment]:
    """What is mapped of the file, as far as that is looked at."""
    return [segment for segment in segments if segment.type == c.PT_LOAD and segment.filesz][:_MOST_LOADS]


def _lies_at(segment: Segment, address: int, places: Places) -> bool:
    mapping = places.at(address)
    return mapping is not None and mapping.offset + address - mapping.start == segment.offset


def read_dynamic(memory: Memory, address: int, layout: Layout) -> tuple[tuple[int, int], ...] | None:
    """The (tag, value) pairs of the dynamic section at ADDRESS, up to DT_NULL; None where it has no readable end."""
    size = layout.dynamic.size
    pairs: list[tuple[int, int]] = []
    while len(pairs) * size < MAX_DYNAMIC:
        at = address + len(pairs) * size
        # Not across a page: what follows may not be mapped.
        piece = memory.read(at, max((_PIECE - at % _PIECE) // size * size, size))
        if piece is None:
            return None
        for tag, value in layout.dynamic.iter_unpack(piece):
            if tag == c.DT_NULL:
                return tuple(pairs)
            pairs.append((tag, value))
    return None


def pointer(value: int, base: int, dynamic: int, places: Places, word: int) -> int:
    """The address that a d_ptr VALUE of the dynamic section at DYNAMIC means, in an object that was moved by BASE.

    glibc adds the base to them in memory; not in a read-only section (the vdso, since 2.35 every such one), nor on MIPS
    and RISC-V (elf/get-dynamic-info.h, ADJUST_DYN_INFO; DL_RO_DYN_SECTION); musl never does. So the one that leads into
    the object's own file counts.
    """
    moved = base + value & (1 << word * 8) - 1
    own = places.at(dynamic)
    for address in (value, moved):
        mapping = places.at(address)
        if own is not None and mapping is not None and _same_file(mapping, own):
            return address
    return value if value >= base else moved


def _same_file(one: Mapping, other: Mapping) -> bool:
    return one.identity == other.identity and one.name == other.name


def read_names(memory: Memory, dynamic: tuple[tuple[int, int], ...], strings: int, most: int) -> tuple[Names, int]:
    """What the DYNAMIC section names, its string table being at STRINGS; and how many bytes of MOST are then left.

    A string that cannot be read is left out, and costs as much as it might have been long.
    """
    last = dict(dynamic)
    size = last.get(c.DT_STRSZ, 1 << 31)
    left = most

    def string(offset: int) -> str | None:
        nonlocal left
        longest = min(size - offset, left, _LONGEST_NAME)
        text = memory.string(strings + offset, longest) if longest > 0 else None
        left -= max(longest, 0) if text is None else len(text) + 1
        return None if text is None else os.fsdecode(text)

    offsets = [value for tag, value in dynamic if tag == c.DT_NEEDED]
    names = Names(
        soname=string(last[c.DT_SONAME]) if c.DT_SONAME in last else None,
        needed=tuple(name for name in map(string, offsets) if name is not None),
    )
    return names, left

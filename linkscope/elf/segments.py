"""Program headers, how structures unpack, and the way from a virtual address to a place in the file.

Layouts: gABI, ELF Header, Program Header, Dynamic Section.
"""

from __future__ import annotations

import struct

import msgspec

from linkscope.elf import constants as c
from linkscope.errors import MalformedElf


class Layout(msgspec.Struct, frozen=True):
    """How the structures of one class and byte order unpack."""

    header: struct.Struct
    segment: struct.Struct
    dynamic: struct.Struct
    order: str
    word: int


class Segment(msgspec.Struct, frozen=True):
    """One program header, under the gABI's names without `p_`."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int
    align: int


def _layout(order: str, word: int) -> Layout:
    sizes = {4: ("16sHHIIIIIHHHHHH", "8I", "iI"), 8: ("16sHHIQQQIHHHHHH", "IIQQQQQQ", "qQ")}[word]
    header, segment, dynamic = (struct.Struct(order + fields) for fields in sizes)
    return Layout(header, segment, dynamic, order, word)


LAYOUTS = {(c_, d): _layout(order, word) for c_, word in ((1, 4), (2, 8)) for d, order in ((1, "<"), (2, ">"))}


def file_offset(segments: tuple[Segment, ...], address: int, path: str) -> tuple[int, int]:
    """Where the byte at a virtual address stands in the file, and how many file bytes follow it in its segment.

    Raises MalformedElf (for PATH) where no PT_LOAD maps the address from the file.
    """
    for segment in reversed(segments):  # where two overlap, the one that is mapped last is seen
        if segment.type == c.PT_LOAD:
            inside = address - segment.vaddr
            if 0 <= inside < segment.filesz:
                return segment.offset + inside, segment.filesz - inside
    raise MalformedElf(path, f"no PT_LOAD segment holds address {address:#x}")

"""What is different in a packed shared library, of which the loader reads the larger part before the stub runs.

    ELF header, program headers     the original ones, with other sizes and places of segments
    up to the first section of code, as it was
    l_info, p_info, blocks          as in a program, but of what lies behind that, without what is written to
    stub                            (0) | place of the first block | its own place | DT_INIT | where code begins |
                                    place of l_info; then its code, to which DT_INIT leads
    blocks, b_info                  as in a program
    segments that are written to    as they were, at places of their own

A library without DT_INIT has the stub as the first function of DT_INIT_ARRAY: the relocation of that is kept in the
first entry of .dynsym, which is otherwise zero, and its place in the DT_NULL that ends the dynamic section.

Source: UPX src/p_lx_elf.cpp (pack2, pack3, un_shlib_1, un_DT_INIT), since 3.97; 3.96 and before did not keep the
original program headers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.segments import Layout, Segment
from linkscope.packages.limits import Broken
from linkscope.packages.upx.extents import Extents
from linkscope.packages.upx.headers import L_INFO

_ANDROID = 1  # in the first word of the stub: packed with --android-shlib, and all addresses were moved


def fill(extents: Extents, first: int, loads: Sequence[Segment], packed: Sequence[Segment]) -> None:
    """The segments of a library. first: bytes of its headers; PACKED: the segments of the file as it is. Raises Broken.

    Their addresses are the same as before, so that each is found again by its own.
    """
    kept = extents.packing.start - L_INFO
    extents.place(first, extents.data[first:kept])
    for load in loads:
        if not load.flags & c.PF_W:
            begin = max(load.offset, kept if load.offset < kept else 0)
            extents.fill(begin, max(load.offset + load.filesz - begin, 0))
    places = {one.vaddr: one for one in packed if one.type == c.PT_LOAD}
    for load in loads:
        if load.flags & c.PF_W:
            moved = places.get(load.vaddr)
            if moved is None or moved.offset + load.filesz > len(extents.data):
                raise Broken(f"is damaged: the segment at address {load.vaddr:#x} is not there")
            extents.place(load.offset, extents.data[moved.offset : moved.offset + load.filesz])


def restore_start(extents: Extents, segments: Sequence[Segment], layout: Layout, stub: int) -> None:
    """Let the library begin as it did. stub: where the blocks before it end. Raises Broken."""
    order = layout.order
    words = struct.unpack_from(order + "6I", extents.data.ljust(stub + 28), stub + (-stub & 3))
    place, _, init, *_ = words if words[0] else words[1:]
    if place & _ANDROID:
        raise Broken("was packed with --android-shlib, which is not known here")
    dynamic = next((one for one in segments if one.type == c.PT_DYNAMIC), None)
    if dynamic is None:
        return
    content, entry = extents.content, layout.dynamic
    values: dict[int, int] = {}
    for at in range(dynamic.offset, min(dynamic.offset + dynamic.filesz, len(content)) - entry.size + 1, entry.size):
        tag, value = entry.unpack_from(content, at)
        values.setdefault(tag, value)
        if tag == c.DT_INIT:
            entry.pack_into(content, at, c.DT_INIT if init else c.DT_NULL, init)
        if tag == c.DT_NULL:
            if value:
                entry.pack_into(content, at, tag, 0)
                _restore_first(extents, segments, layout, _First(value, values.get(c.DT_SYMTAB, 0), init))
            break


class _First(msgspec.Struct, frozen=True):
    """Where the relocation of a library's first function is, and where it was kept; and the function's address."""

    place: int
    kept: int
    function: int


def _restore_first(extents: Extents, segments: Sequence[Segment], layout: Layout, first: _First) -> None:
    """Put back that relocation, the function in DT_INIT_ARRAY, and the zeros of the symbol table.

    With relocations that have no addend (32 bits) the function stands in the array; of others ld writes it there, too.
    """
    content, word = extents.content, layout.word
    relocation = struct.Struct(layout.order + ("QQQ" if word == 8 else "II"))  # gABI, Relocation
    size = relocation.size
    if max(first.place, first.kept) + size > len(content):
        return
    offset, *_ = relocation.unpack_from(content, first.place)
    relocation.pack_into(content, first.place, offset, *relocation.unpack_from(content, first.kept)[1:])
    content[first.kept : first.kept + size] = bytes(size)
    for load in segments:
        if load.type == c.PT_LOAD and 0 <= offset - load.vaddr <= load.filesz - word:
            at = offset - load.vaddr + load.offset
            content[at : at + word] = first.function.to_bytes(word, "little" if layout.order == "<" else "big")

"""Which dynamic symbols the loader looks up, and when: the dynamic relocations, sorted by table.

Layouts: gABI, Relocation. A symbol of DT_RELA or DT_REL (a data slot, GLOB_DAT, COPY) is looked up at start; one that
only DT_JMPREL names is a function that may wait for its first call. A symbol without any relocation is never looked up.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.segments import file_offset

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_MAX_TABLE = 1 << 28  # bytes; the largest in practice (Chromium, libLLVM) are a few megabytes
_CHUNK = 1 << 20
# The place of the symbol index: ELF32_R_SYM is r_info >> 8, ELF64_R_SYM r_info >> 32, that is one half of the word,
# so that unpacking it takes no arithmetic. Keyed by (byte order, word size).
_SYMBOL = {("<", 8): "12xI", (">", 8): "8xI4x", ("<", 4): "4xI", (">", 4): "4xI"}


class References(msgspec.Struct, frozen=True):
    """Indices of dynamic symbols: `data` are looked up when the object is loaded, `functions` may wait for a call.

    A symbol may stand in both (its address is taken, and it is called).
    """

    data: frozenset[int]
    functions: frozenset[int]


def symbol_references(reader: Reader, image: Image) -> References:
    """The dynamic symbols that relocations refer to, by table; empty sets for a file without PT_DYNAMIC.

    Relative relocations and DT_RELR name no symbol. On MIPS, symbols with a slot in the global GOT have no relocation:
    they are added by `symbols.read_references`, which knows the symbols themselves.
    Raises MalformedElf where a table is not in the file.
    """
    tags = dict(image.dynamic or ())
    data: set[int] = set()
    functions: set[int] = set()
    for address, length, count, kind in _tables(tags):
        _collect(reader, image, (tags[address], tags.get(length, 0)), tags.get(count, 0), kind, data)
    if c.DT_JMPREL in tags:
        place = (tags[c.DT_JMPREL], tags.get(c.DT_PLTRELSZ, 0))
        _collect(reader, image, place, 0, tags.get(c.DT_PLTREL, c.DT_RELA), functions)
    data.discard(0)
    functions.discard(0)
    return References(frozenset(data), frozenset(functions))


def _tables(tags: Mapping[int, int]) -> list[tuple[int, int, int, int]]:
    known = (
        (c.DT_RELA, c.DT_RELASZ, c.DT_RELACOUNT, c.DT_RELA),
        (c.DT_REL, c.DT_RELSZ, c.DT_RELCOUNT, c.DT_REL),
    )
    return [row for row in known if row[0] in tags]


def _collect(reader: Reader, image: Image, place: tuple[int, int], relative: int, kind: int, into: set[int]) -> None:
    """Add the symbol indices of one table. relative: how many relative relocations stand first, and need no look."""
    address, length = place
    word, order = image.layout.word, image.layout.order
    entry = word * (3 if kind == c.DT_RELA else 2)
    skip = min(relative * entry, length)
    length = min(length, _MAX_TABLE) - skip
    if length < entry:
        return
    offset, available = file_offset(image.segments, address + skip, image.path)
    length = min(length, available)
    fields = _SYMBOL[order, word]
    if image.machine == c.EM_MIPS and (order, word) == ("<", 8):
        fields = "8xI4x"  # MIPS ELF-64: r_sym is a word of its own, and stands first in both byte orders
    unpack = struct.Struct(order + fields + f"{entry - 2 * word}x")
    step = _CHUNK - _CHUNK % entry
    for at in range(0, length - length % entry, step):
        size = min(step, length - length % entry - at)
        found = {index for (index,) in unpack.iter_unpack(reader.read(offset + at, size))}
        into |= found if word == 8 else {info >> 8 for info in found}

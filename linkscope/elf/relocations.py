"""Which dynamic symbols the loader looks up, and when: the dynamic relocations, sorted by table.

Layouts: gABI, Relocation. A symbol of DT_RELA or DT_REL (a data slot, GLOB_DAT, COPY) is looked up at start; one that
only DT_JMPREL names is a function that may wait for its first call. A symbol without any relocation is never looked up.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.segments import file_offset
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_MAX_TABLE = 1 << 28  # bytes; the largest in practice are a few megabytes
_MAX_DISTINCT = 1 << 20  # pairs of a symbol and a type
_CHUNK = 1 << 20
# What stands before r_info in a record, and r_info as two halves: ELF64_R_SYM is the high one. Keyed by byte order.
_HALVES = {"<": (1, 0), ">": (0, 1)}
# R_*_COPY of each psABI: the loader looks the symbol up behind the program, and copies what it finds.
_COPY = {
    c.EM_386: 5,
    c.EM_MIPS: 126,
    c.EM_PPC: 19,
    c.EM_PPC64: 19,
    c.EM_S390: 9,
    c.EM_ARM: 20,
    c.EM_X86_64: 5,
    c.EM_AARCH64: 1024,
    c.EM_RISCV: 4,
    c.EM_LOONGARCH: 4,
}


class References(msgspec.Struct, frozen=True):
    """Indices of dynamic symbols: `data` are looked up when the object is loaded, `functions` may wait for a call.

    A symbol may stand in both (its address is taken, and it is called). copies: those of `data` that a program
    defines itself as a copy of a library's variable: they are looked up in the libraries only.
    """

    data: frozenset[int]
    functions: frozenset[int]
    copies: frozenset[int] = frozenset()


def relocation_references(reader: Reader, image: Image) -> References:
    """The dynamic symbols that relocations refer to, by table; empty sets for a file without any.

    Relative relocations and DT_RELR name no symbol. `symbols.read_references` adds what MIPS binds without relocations.
    Raises MalformedElf where a table is not in the file.
    """
    tags = dict(image.dynamic or ())
    lazy = (tags.get(c.DT_JMPREL, 0), tags.get(c.DT_PLTRELSZ, 0))
    data: set[tuple[int, int]] = set()
    for address, length, count in _TABLES:
        if address in tags:
            start, size = tags[address], tags.get(length, 0)
            if lazy[1] and start + size == sum(lazy):  # the table counts the lazy one at its end as well
                size -= min(size, lazy[1])
            data |= _read(reader, image, (start, size), tags.get(count, 0), address)
    functions = _read(reader, image, lazy, 0, tags.get(c.DT_PLTREL, c.DT_RELA)) if c.DT_JMPREL in tags else set()
    copy = _COPY.get(image.machine)
    return References(
        frozenset(index for index, _ in data if index),
        frozenset(index for index, _ in functions if index),
        frozenset(index for index, kind in data if kind == copy and index),
    )


# glibc elf/dynamic-link.h, _ELF_DYNAMIC_DO_RELOC: (table, its size in bytes, how many relative ones stand first).
_TABLES = ((c.DT_RELA, c.DT_RELASZ, c.DT_RELACOUNT), (c.DT_REL, c.DT_RELSZ, c.DT_RELCOUNT))


def _read(reader: Reader, image: Image, place: tuple[int, int], relative: int, table: int) -> set[tuple[int, int]]:
    """The distinct (symbol index, type) of one table. relative: how many relative ones stand first, not looked at."""
    word, order = image.layout.word, image.layout.order
    entry = word * (3 if table == c.DT_RELA else 2)
    skip = min(relative * entry, place[1])
    length = min(place[1], _MAX_TABLE) - skip
    if length < entry:
        return set()
    offset, available = file_offset(image.segments, place[0] + skip, image.path)
    length = min(length, available)
    length -= length % entry
    record = struct.Struct(f"{order}{word}x{'II' if word == 8 else 'I'}{entry - 2 * word}x")
    found: set[tuple[int, ...]] = set()
    step = _CHUNK - _CHUNK % entry
    for at in range(0, length, step):
        found.update(record.iter_unpack(reader.read(offset + at, min(step, length - at))))
        if len(found) > _MAX_DISTINCT:
            raise MalformedElf(image.path, "the relocations name more symbols than there can be", offset)
    if word == 4:
        return {(info >> 8, info & 0xFF) for (info,) in found}
    if image.machine == c.EM_MIPS:  # MIPS ELF-64: r_sym is a word of its own and stands first, the types are bytes
        return {(symbol, types >> 24 if order == "<" else types & 0xFF) for symbol, types in found}
    symbol, kind = _HALVES[order]
    return {(info[symbol], info[kind]) for info in found}

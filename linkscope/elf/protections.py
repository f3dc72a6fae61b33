"""What of a file can be written to: code, because of its segment or its relocations, and slots of functions.

Source: gABI, Program Header (p_flags) and Dynamic Section (DT_TEXTREL, DF_TEXTREL).
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkscope.elf import constants as c
from linkscope.elf.relocated import targets
from linkscope.elf.symbols import dynamic_table, section_table

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.segments import Segment
    from linkscope.elf.symbols import SymbolTable

_DT_TEXTREL, _DF_TEXTREL = 22, 4
_ENOUGH = 1 << 10  # relocations of code that are named
_LONGEST_NAME = 1 << 12
# gABI, Symbol Table: a record of each class, and where in it st_info, st_shndx, st_value and st_size stand.
_RECORD = {8: "IBBHQQ", 4: "IIIBBH"}
_FIELDS = {8: (1, 3, 4, 5), 4: (3, 5, 1, 2)}


def writable_code(image: Image) -> tuple[Segment, ...]:
    """The segments that are mapped both writable and executable, in order."""
    both = c.PF_W | c.PF_X
    return tuple(s for s in image.segments if s.type == c.PT_LOAD and s.memsz and s.flags & both == both)


def relocates_code(image: Image) -> bool:
    """Whether the loader is told to make the file's code writable while it relocates it.

    Either tag says so (glibc elf/get-dynamic-info.h and elf/dl-reloc.c; musl ldso/dynlink.c, map_library, knows the
    first alone).
    """
    return bool(image.dt_flags & _DF_TEXTREL) or image.value(_DT_TEXTREL) is not None


def has_slots(image: Image) -> bool:
    """Whether functions are called through slots of their own (DT_JMPREL), which may be filled at the first call.

    With -fno-plt there may be none, nor in Rust and Go. On MIPS they are a part of the global offset table.
    """
    return bool(image.value(c.DT_JMPREL) and image.value(c.DT_PLTRELSZ)) or image.value(c.DT_MIPS_GOTSYM) is not None


def relocated_places(reader: Reader, image: Image) -> list[int]:
    """The addresses in segments that are not writable to which the loader writes, in order, some 1000 at most.

    Raises MalformedElf where a table of relocations is not in the file.
    """
    fixed = [range(s.vaddr, s.vaddr + s.memsz) for s in image.segments if s.type == c.PT_LOAD and not s.flags & c.PF_W]
    found: list[int] = []
    for address, _ in targets(reader, image):
        if any(address in area for area in fixed):
            found.append(address)
            if len(found) == _ENOUGH:
                break
    return sorted(found)


def relocated_functions(reader: Reader, image: Image) -> list[str]:
    """What stands at the relocated places: the names of functions, once each, in the order of their addresses.

    A place that no symbol covers is its address, `0x1139`. Raises MalformedElf.
    """
    places = relocated_places(reader, image)
    if not places:
        return []
    tables = (section_table(reader, image), dynamic_table(reader, image))
    known = [one for table in tables if table is not None for one in _within(table, places)]
    names = [next((name for area, name in known if place in area), f"{place:#x}") for place in places]
    return list(dict.fromkeys(names))


def _within(table: SymbolTable, places: list[int]) -> Iterator[tuple[range, str]]:
    """The symbols of TABLE that cover some of PLACES, each with where it stands; one without a size has one byte."""
    for fields in struct.iter_unpack(table.order + _RECORD[table.word], table.records):
        info, shndx, value, size = (fields[i] for i in _FIELDS[table.word])
        area = range(value, value + max(size, 1))
        if shndx == c.SHN_UNDEF or info & 15 > c.STT_FUNC:
            continue
        first = bisect_left(places, area.start)
        if first < len(places) and places[first] in area:
            end = table.strings.find(b"\0", fields[0], fields[0] + _LONGEST_NAME)
            yield area, os.fsdecode(table.strings[fields[0] : max(end, fields[0])])

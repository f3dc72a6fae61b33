"""The link map as it stands in a process's memory: what the loader has loaded, by which names, in which order.

A debugger finds it the same way: DT_DEBUG of the program leads to r_debug, and that to the list of link maps. Nothing
is attached or stopped, so the list may change while it is read: `state` tells, and a list that breaks off says so.
Layouts: glibc elf/link.h, struct r_debug, r_debug_extended and link_map; musl include/link.h has the same.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Table
from typing import Literal

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.reader import Reader
from linkscope.elf.segments import Layout, Segment
from linkscope.elf.symbols import dynamic_table, section_table
from linkscope.errors import LinkScopeError
from linkscope.process import procfs
from linkscope.process.image_memory import (
    MAX_DYNAMIC,
    Names,
    Places,
    header_segments,
    load_addresses,
    pointer,
    read_dynamic,
    read_names,
    segments_at,
)
from linkscope.process.mappings import Mapping

State = Literal["consistent", "adding", "deleting"]
_STATES: tuple[State, ...] = ("consistent", "adding", "deleting")  # RT_CONSISTENT, RT_ADD, RT_DELETE
_PT_PHDR = 6  # gABI, Program Header
_MOST_ENTRIES = 1 << 14  # of all namespaces; a process may have 65530 mappings, and an object has several
_ALL_NAMES = 1 << 24  # bytes of all dynamic sections, and of the names in them
_MOST_NAMESPACES = 1 << 8  # glibc has 16
_MOST_HEADERS = 1 << 12  # beginnings of mapped files that are tried
_MOST_ADDRESSES = 1 << 6  # at which one file is tried; glibc has sixteen namespaces
_HIGHEST_VERSION = 1 << 8
# r_version, r_map, r_brk, r_state; r_next (r_version 2 and above) stands behind r_ldbase. By bytes of a word.
_DEBUG = {8: ("i4xQQi", 40), 4: ("iIIi", 20)}
_LINK = {8: "5Q", 4: "5I"}  # l_addr, l_name, l_ld, l_next, l_prev
# glibc and uClibc export r_debug itself, musl a pointer to it.
_SYMBOL, _POINTER_SYMBOL = b"_r_debug", b"_dl_debug_addr"


class Entry(msgspec.Struct, frozen=True):
    """One object in a link map.

    namespace: 0 is the base one; others, of dlmopen and of auditors, are counted in the order of the loader's list,
    which is glibc's own number (elf/dl-debug.c, _dl_debug_initialize). base: l_addr, by which the object was moved.
    name: l_name as the loader has it: "" of the program itself with glibc. dynamic: l_ld, 0 where it has none. names:
    from the dynamic section in memory.
    """

    namespace: int
    base: int
    name: str
    dynamic: int
    names: Names = Names()


class LinkMapMemory(msgspec.Struct, frozen=True):
    """The link maps of all namespaces that can be seen.

    version: r_version. 1: since glibc 2.35 there is only the base namespace; an older loader shows no others, be there
    any or not, and neither do other C libraries, which have none. state: what the loader was doing. broken: why the
    list ends where it does, None where it is whole.
    """

    entries: tuple[Entry, ...]
    version: int
    state: State
    broken: str | None = None


class NoLinkMap(msgspec.Struct, frozen=True):
    """There is no link map to read. early: the program has only just been started, and its loader makes one soon."""

    reason: str
    early: bool = False


class Carrier(msgspec.Struct, frozen=True):
    """A mapped file that may lead to the link map by its dynamic section or its symbols. base: l_addr."""

    base: int
    image: Image
    reader: Reader


def read_link_map(
    memory: procfs.Memory, mappings: Sequence[Mapping], vector: Table[int, int], layout: Layout
) -> LinkMapMemory | NoLinkMap:
    """The link map of a process, or why there is none.

    vector: `procfs.auxv`. layout: of its executable (`Image.layout`). Without a DT_DEBUG entry that leads to it,
    `read_by_carriers` may still find it.
    """
    places = Places(mappings)
    objects = _dynamic_objects(memory, places, vector, layout)
    addresses = (it for segments, base in objects for it in _debug_entries(memory, segments, base, layout))
    return _first_walked(memory, addresses, layout, places)


def read_by_carriers(
    memory: procfs.Memory, mappings: Sequence[Mapping], layout: Layout, carriers: Iterable[Carrier]
) -> LinkMapMemory | NoLinkMap:
    """The same where no DT_DEBUG entry in a mapped file led to it, by the CARRIERS' dynamic sections and symbols.

    They are the executable of a static program that has loaded something after all, and the loader of a dynamic one
    (that was linked without DT_DEBUG, or is a library and was started through the loader).
    """
    places = Places(mappings)
    return _first_walked(memory, _carried(memory, places, layout, tuple(carriers)), layout, places)


def _first_walked(
    memory: procfs.Memory, addresses: Iterable[int], layout: Layout, places: Places
) -> LinkMapMemory | NoLinkMap:
    """What the first r_debug with a list says. addresses: where one may be; 0 where a place for that is still empty."""
    early = False
    for address in addresses:
        if address == 0:
            early = True
            continue
        found = _walked(memory, address, layout, places)
        if found is not None:
            return found
        early = early or _is_blank(memory, address)
    if early:
        return NoLinkMap("the loader has not made its link map yet", early=True)
    return NoLinkMap("no dynamic section in memory leads to a link map")


def entry_mapping(entry: Entry, places: Places) -> Mapping | None:
    """The mapping of the entry's file that holds its dynamic section, else the one at its base; None without either."""
    found = places.at(entry.dynamic) if entry.dynamic else None
    if found is None and entry.base:
        found = places.at(entry.base)
    return found


def _carried(memory: procfs.Memory, places: Places, layout: Layout, carriers: Sequence[Carrier]) -> Iterator[int]:
    """Where r_debug may be, as the carriers say."""
    # A program whose headers are not mapped, or that was linked without DT_DEBUG.
    for carrier in carriers:
        yield from _debug_entries(memory, carrier.image.segments, carrier.base, layout)
    if len(_files_with_code(places)) > 1:  # a static program alone has not loaded anything
        for carrier in carriers:
            yield from _debug_symbols(memory, carrier, layout)


def _dynamic_objects(
    memory: procfs.Memory, places: Places, vector: Table[int, int], layout: Layout
) -> Iterator[tuple[tuple[Segment, ...], int]]:
    """Program headers in memory with their object's base: those that the kernel names, then those of mapped files.

    AT_PHDR is the loader's own where the program was started through it: `ld.so ./app`.
    """
    table = vector.get(procfs.AT_PHDR, 0)
    if table and vector.get(procfs.AT_PHENT) == layout.segment.size:
        segments = segments_at(memory, table, vector.get(procfs.AT_PHNUM, 0), layout)
        for segment in segments:
            if segment.type == _PT_PHDR:
                yield segments, table - segment.vaddr & _mask(layout)
                break
    for segments, own in _files(memory, places, layout):
        for base in load_addresses(segments, own, layout.word)[:_MOST_ADDRESSES]:
            yield segments, base


def _files(
    memory: procfs.Memory, places: Places, layout: Layout
) -> Iterator[tuple[tuple[Segment, ...], list[Mapping]]]:
    """Each mapped file that has code and a dynamic section: its program headers and all its mappings."""
    code = _files_with_code(places)
    by_file: dict[tuple[int, int], list[Mapping]] = {identity: [] for identity in code}
    for mapping in places.mappings:
        if mapping.identity in code:
            by_file[mapping.identity].append(mapping)
    heads = [mapping for mapping in places.mappings if mapping.offset == 0 and mapping.identity in code]
    done: set[tuple[int, int]] = set()
    for head in heads[:_MOST_HEADERS]:
        segments = header_segments(memory, head.start, layout) if head.identity not in done else ()
        if segments:
            done.add(head.identity)
        if any(segment.type == c.PT_DYNAMIC for segment in segments):
            yield segments, by_file[head.identity]


def _files_with_code(places: Places) -> set[tuple[int, int]]:
    return {mapping.identity for mapping in places.mappings if mapping.executable and mapping.is_file}


def _mask(layout: Layout) -> int:
    return (1 << layout.word * 8) - 1


def _debug_entries(memory: procfs.Memory, segments: tuple[Segment, ...], base: int, layout: Layout) -> Iterator[int]:
    """What DT_DEBUG and its likes hold, in the object with these program headers."""
    # Nobody fills in the entry of a static program, save glibc since 2.35; then it is no sign of a start.
    starts = any(segment.type == c.PT_INTERP for segment in segments)
    for segment in segments:
        if segment.type == c.PT_DYNAMIC:
            address = base + segment.vaddr & _mask(layout)
            for index, (tag, value) in enumerate(read_dynamic(memory, address, layout) or ()):
                if tag == c.DT_DEBUG and (value or starts):
                    yield value
                # On MIPS the dynamic section is read-only: it says where the address is, as such or seen from the
                # entry itself (glibc sysdeps/mips/ldsodefs.h and dl-debug.h, elf_setup_debug_entry).
                elif tag == c.DT_MIPS_RLD_MAP:
                    yield _word(memory, value, layout)
                elif tag == c.DT_MIPS_RLD_MAP_REL:
                    at = address + index * layout.dynamic.size
                    yield _word(memory, at + value & _mask(layout), layout)


def _word(memory: procfs.Memory, address: int, layout: Layout) -> int:
    data = memory.read(address, layout.word)
    return int.from_bytes(data, "little" if layout.order == "<" else "big") if data else 0


def _debug_symbols(memory: procfs.Memory, carrier: Carrier, layout: Layout) -> Iterator[int]:
    """Where the symbols of a carrier say that r_debug is."""
    try:
        tables = [dynamic_table(carrier.reader, carrier.image)]
        if carrier.image.dynamic is None or carrier.image.interpreter is None:
            tables.append(section_table(carrier.reader, carrier.image))
    except LinkScopeError:
        return
    for table in tables:
        if table is not None:
            for name in (_SYMBOL, _POINTER_SYMBOL):
                for value in sorted(table.addresses_of(frozenset((name,)))):
                    address = carrier.base + value & _mask(layout)
                    yield address if name == _SYMBOL else _word(memory, address, layout)


def _is_blank(memory: procfs.Memory, address: int) -> bool:
    """Whether r_debug is there but has not been filled in."""
    data = memory.read(address, 16)
    return data is not None and not any(data)


def _walked(memory: procfs.Memory, address: int, layout: Layout, places: Places) -> LinkMapMemory | None:
    """The link maps that r_debug at ADDRESS lists; None where it is no r_debug with a list."""
    fields, next_at = _DEBUG[layout.word]
    debug = struct.Struct(layout.order + fields)
    walk = _Walk(memory, layout, places)
    first: tuple[int, State] | None = None
    broken = None
    for namespace in range(_MOST_NAMESPACES):
        data = memory.read(address, debug.size) if address not in walk.seen else None
        if data is None:
            broken = broken or f"namespace {namespace} cannot be read"
            break
        walk.seen.add(address)
        version, head, _, state = debug.unpack(data)
        if first is None:
            if not 0 < version < _HIGHEST_VERSION or state not in range(len(_STATES)) or not head:
                return None
            first = version, _STATES[state]
        elif state in (1, 2):  # any namespace that changes makes the whole unsteady
            first = first[0], _STATES[state]
        broken = broken or walk.list(head, namespace)
        address = _word(memory, address + next_at, layout) if first[0] >= 2 else 0
        if not address:
            break
    if first is None or not walk.entries:
        return None
    return LinkMapMemory(tuple(walk.entries), *first, broken)


class _Walk:
    """The entries that were found so far, and what bounds the search for more."""

    __slots__ = ("_layout", "_left", "_link", "_memory", "_places", "entries", "seen")

    def __init__(self, memory: procfs.Memory, layout: Layout, places: Places) -> None:
        self._memory = memory
        self._layout = layout
        self._link = struct.Struct(layout.order + _LINK[layout.word])
        self._places = places
        self._left = _ALL_NAMES
        self.entries: list[Entry] = []
        self.seen: set[int] = set()

    def list(self, address: int, namespace: int) -> str | None:
        """Add the link maps of one list; why it breaks off, None where it ends as it should."""
        previous = 0
        address = self._head(address)
        while address:
            data = self._memory.read(address, self._link.size)
            if data is None or address in self.seen:
                return f"the list of namespace {namespace} breaks off after {len(self.entries)} objects"
            if len(self.entries) >= _MOST_ENTRIES:
                return f"more than {_MOST_ENTRIES} objects"
            self.seen.add(address)
            base, name_at, dynamic, following, before = self._link.unpack(data)
            name = self._memory.string(name_at) if name_at else b""
            if name is None or before != previous:
                return f"the list of namespace {namespace} contradicts itself after {len(self.entries)} objects"
            self.entries.append(Entry(namespace, base, os.fsdecode(name), dynamic, self._names(base, dynamic)))
            previous, address = address, following
        return None

    def _head(self, address: int) -> int:
        """The beginning of the list that ADDRESS is in: a filtee of the program stands before it, and r_map is its own.

        Source: glibc elf/dl-deps.c, _dl_map_object_deps; link_map's l_prev.
        """
        passed: set[int] = set()
        while address not in passed and len(passed) < _MOST_ENTRIES:
            passed.add(address)
            data = self._memory.read(address, self._link.size)
            before = self._link.unpack(data)[-1] if data is not None else 0
            if not before or self._memory.read(before, self._link.size) is None:
                return address
            address = before
        return address

    def _names(self, base: int, dynamic: int) -> Names:
        if not dynamic or self._left <= 0:
            return Names()
        pairs = read_dynamic(self._memory, dynamic, self._layout)
        self._left -= MAX_DYNAMIC if pairs is None else len(pairs) * self._layout.dynamic.size
        strings = dict(pairs).get(c.DT_STRTAB) if pairs else None
        if pairs is None or strings is None:
            return Names()
        place = pointer(strings, base, dynamic, self._places, self._layout.word)
        names, self._left = read_names(self._memory, pairs, place, self._left)
        return names

"""How many relocations of which kind a file has, and how many symbols are looked up for them.

Layouts: gABI, Relocation and Relative Relocation Table; the numbers of the types: the psABI of each machine.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.sections import read_sections
from linkscope.elf.segments import file_offset
from linkscope.elf.symbols import dynamic_table
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.segments import Segment

_SHT_RELA, _SHT_REL, _DT_RELRSZ, _DT_MIPS_LOCAL_GOTNO = 4, 9, 35, 0x7000000A
_LONGEST_TABLE = 1 << 28  # bytes; the largest in practice are a few megabytes
_CHUNK = 1 << 20
_LOCAL_VISIBILITIES = (c.STV_INTERNAL, c.STV_HIDDEN)


class Types(msgspec.Struct, frozen=True):
    """The numbers of the types that are told apart.

    relative: that add the load address, if they name no symbol. slot: R_*_JUMP_SLOT. address: R_*_GLOB_DAT, where
    glibc told it apart from others. descriptor, thread: of thread-local storage.
    """

    relative: frozenset[int]
    indirect: frozenset[int]
    copy: int
    slot: int
    address: int | None
    descriptor: int | None
    thread: frozenset[int]


def _types(
    relative: tuple[int, ...],
    indirect: tuple[int, ...],
    copy: int,
    slot: int,
    address: int | None,
    descriptor: int | None,
    *thread: int,
) -> Types:
    return Types(frozenset(relative), frozenset(indirect), copy, slot, address, descriptor, frozenset(thread))


_TYPES = {
    c.EM_X86_64: _types((8, 38), (37,), 5, 7, 6, 36, 16, 17, 18),
    c.EM_386: _types((8,), (42,), 5, 7, 6, 41, 14, 35, 36, 37),
    c.EM_AARCH64: _types((1027,), (1032,), 1024, 1026, 1025, 1031, 1028, 1029, 1030),
    c.EM_ARM: _types((23,), (160,), 20, 22, 21, 13, 17, 18, 19),
    c.EM_RISCV: _types((3,), (58,), 4, 5, None, 12, 6, 7, 8, 9, 10, 11),
    c.EM_LOONGARCH: _types((3,), (12,), 4, 5, None, 14, 6, 7, 8, 9, 10, 11),
    c.EM_PPC64: _types((22,), (248, 247), 19, 21, None, None, 68, 73, 78),
    c.EM_PPC: _types((22,), (248,), 19, 21, None, None, 68, 73, 78),
    c.EM_S390: _types((12,), (61,), 9, 11, None, None, 54, 55, 56),
    c.EM_MIPS: _types((3,), (128,), 126, 127, None, None, 38, 39, 40, 41, 47, 48),
}
# Of another machine only the tables tell: all but the functions' counts as `symbolic`.
_UNKNOWN = _types((), (), -1, -1, None, None)


class RelocationCounts(msgspec.Struct, frozen=True):
    """The relocations of one file. packed: of DT_RELR, `relative` like those of the tables.

    functions: those that may wait for a first call; symbolic: all others that are neither relative nor indirect, with
    the copies among them. bound, unbound: how many symbols glibc looks up by name for all of them, and for all but
    `functions`: twice in a row for the same one it does once, if it is for the same use. apart: how many more they
    are before glibc 2.36, where R_*_GLOB_DAT was a use of its own. searched: the look-ups of a loader that does not
    remember the last one.
    """

    relative: int = 0
    packed: int = 0
    symbolic: int = 0
    functions: int = 0
    indirect: int = 0
    copies: int = 0
    bound: int = 0
    unbound: int = 0
    apart: int = 0
    searched: int = 0


def relocation_counts(reader: Reader, image: Image) -> RelocationCounts:
    """What DT_RELA, DT_REL, DT_JMPREL and DT_RELR hold; nothing for a file without a dynamic section.

    As many as DT_RELACOUNT and DT_RELCOUNT say stand at the front and are relative: glibc takes their word for it
    (elf/do-rel.h). On MIPS the global offset table holds more than that: one for each entry (elf_machine_got_rel).
    Raises MalformedElf where a table is not in the file.
    """
    tags = dict(image.dynamic or ())
    tally = _Tally(reader, image)
    lazy = (tags.get(c.DT_JMPREL, 0), tags.get(c.DT_PLTRELSZ, 0) if c.DT_JMPREL in tags else 0)
    for address, length, count in _TABLES:
        if address in tags:
            start, size = tags[address], tags.get(length, 0)
            if lazy[1] and start + size == sum(lazy):  # the table counts the lazy one at its end as well
                size -= min(size, lazy[1])
            tally.read(start, size, address, tags.get(count, 0))
    if image.machine == c.EM_MIPS:
        tally.global_offset_table(tags)
    unbound = tally.looked_up
    tally.lazy = True
    tally.read(*lazy, tags.get(c.DT_PLTREL, c.DT_RELA))
    return RelocationCounts(
        relative=tally.relative,
        packed=_packed(reader, image),
        symbolic=tally.symbolic,
        functions=tally.functions,
        indirect=tally.indirect,
        copies=tally.copies,
        bound=tally.looked_up,
        unbound=unbound + tally.descriptors,
        apart=tally.apart,
        searched=tally.searched,
    )


# glibc elf/dynamic-link.h, _ELF_DYNAMIC_DO_RELOC: (table, its size in bytes, how many relative ones stand first).
_TABLES = ((c.DT_RELA, c.DT_RELASZ, c.DT_RELACOUNT), (c.DT_REL, c.DT_RELSZ, c.DT_RELCOUNT))


class _Tally:
    """Counts that grow table by table. lazy: the table at hand is that of the functions.

    descriptors: look-ups of thread-local symbols in that table, which do not wait (lookup.py says so as well).
    """

    def __init__(self, reader: Reader, image: Image) -> None:
        self.relative = self.symbolic = self.functions = self.indirect = self.copies = 0
        self.looked_up = self.apart = self.searched = self.descriptors = 0
        self.lazy = False
        self._reader = reader
        self._image = image
        self._types = _TYPES.get(image.machine, _UNKNOWN)
        self._local, self._hidden = _bound_locally(reader, image)
        self._last = (-1, False, False, False)

    def read(self, address: int, size: int, table: int, first: int = 0) -> None:
        """Count one table. FIRST of its records are relative, and not looked at."""
        entry = self._image.layout.word * (3 if table == c.DT_RELA else 2)
        size = min(size, _LONGEST_TABLE)
        size -= size % entry
        skipped = min(first * entry, size)
        self.relative += skipped // entry
        for symbol, kind in _records(self._reader, self._image, address + skipped, size - skipped, entry):
            if kind or symbol:  # R_*_NONE is 0 everywhere
                self._one(symbol, kind)

    def _one(self, symbol: int, kind: int) -> None:
        types = self._types
        if kind in types.relative and not symbol:
            self.relative += 1
            return
        if kind in types.indirect:
            self.indirect += 1
            return
        waits = self.lazy and kind != types.descriptor and kind not in types.thread
        if waits:
            self.functions += 1
        else:
            self.symbolic += 1
        self.copies += kind == types.copy
        self._look_up(symbol, kind, waits)

    def _look_up(self, symbol: int, kind: int, waits: bool) -> None:
        """glibc elf/dl-reloc.c, RESOLVE_MAP, and sysdeps/*/dl-machine.h, elf_machine_type_class; musl do_relocs."""
        if not symbol or symbol in self._local:
            return
        self.searched += 1
        if symbol in self._hidden:
            return
        types = self._types
        plt = kind in (types.slot, types.descriptor) or kind in types.thread
        wanted = symbol, plt, kind == types.copy, kind == types.address
        if wanted[:3] != self._last[:3]:
            self.looked_up += 1
            self.descriptors += self.lazy and not waits
        elif wanted != self._last:
            self.apart += 1
        self._last = wanted

    def global_offset_table(self, tags: dict[int, int]) -> None:
        """glibc sysdeps/mips/dl-machine.h, elf_machine_got_rel: two words are the loader's own."""
        own = max(0, tags.get(_DT_MIPS_LOCAL_GOTNO, 0) - 2)
        named = max(0, tags.get(c.DT_MIPS_SYMTABNO, 0) - tags.get(c.DT_MIPS_GOTSYM, 0))
        self.relative += own
        self.symbolic += named
        self.looked_up += named
        self.searched += named


def _bound_locally(reader: Reader, image: Image) -> tuple[frozenset[int], frozenset[int]]:
    """The symbols that are local, and those that nothing outside sees (glibc: dl_symbol_visibility_binds_local_p)."""
    table = dynamic_table(reader, image)
    if table is None:
        return frozenset(), frozenset()
    step, info, other = (24, 4, 5) if image.layout.word == 8 else (16, 12, 13)
    infos, others = table.records[info::step], table.records[other::step]
    return (
        frozenset(index for index, value in enumerate(infos) if value >> 4 == c.STB_LOCAL),
        frozenset(index for index, value in enumerate(others) if value & 3 in _LOCAL_VISIBILITIES),
    )


def _records(reader: Reader, image: Image, address: int, size: int, entry: int) -> Iterator[tuple[int, int]]:
    """The (symbol, type) of each record of a table, in order."""
    if size < entry:
        return
    word, order = image.layout.word, image.layout.order
    offset, available = file_offset(image.segments, address, image.path)
    size = min(size, available - available % entry)
    record = struct.Struct(f"{order}{word}x{'II' if word == 8 else 'I'}{entry - 2 * word}x")
    step = _CHUNK - _CHUNK % entry
    for at in range(0, size, step):
        data = reader.read(offset + at, min(step, size - at))
        if word == 4:
            yield from ((info >> 8, info & 0xFF) for (info,) in record.iter_unpack(data))
        elif image.machine == c.EM_MIPS:  # r_sym is a word of its own and stands first, the types are bytes
            of_type = 24 if order == "<" else 0
            yield from ((symbol, types >> of_type & 0xFF) for symbol, types in record.iter_unpack(data))
        elif order == "<":
            yield from ((symbol, kind) for kind, symbol in record.iter_unpack(data))
        else:
            yield from record.iter_unpack(data)


def _packed(reader: Reader, image: Image) -> int:
    """How many relocations DT_RELR packs: one for each address, and one for each bit of a map but the lowest."""
    tags = dict(image.dynamic or ())
    size = min(tags.get(_DT_RELRSZ, 0), _LONGEST_TABLE)
    if c.DT_RELR not in tags or not size:
        return 0
    word = image.layout.word
    offset, available = file_offset(image.segments, tags[c.DT_RELR], image.path)
    size = min(size, available)
    entries = struct.unpack(
        f"{image.layout.order}{size // word}{'Q' if word == 8 else 'I'}", reader.read(offset, size - size % word)
    )
    return sum(entry.bit_count() - 1 if entry & 1 else 1 for entry in entries)


def indirect_functions(reader: Reader, image: Image) -> int:
    """The IRELATIVE relocations of a static program without a dynamic section, which its own start code does.

    They stand between __rela_iplt_start and __rela_iplt_end (glibc csu/libc-start.c, apply_irel), in a section of
    their own. Without section headers they are told by what they are made of: an address that can be written, the
    type alone, and an address of code. (Machines with DT_REL keep the address of code elsewhere: 0 there.)
    """
    types = _TYPES.get(image.machine, _UNKNOWN).indirect
    try:
        tables = [s for s in read_sections(reader, image) if s.flags & c.SHF_ALLOC and s.type in (_SHT_RELA, _SHT_REL)]
        headers = any(s.flags & c.SHF_ALLOC for s in read_sections(reader, image))
    except MalformedElf:
        tables, headers = [], False
    if not headers:
        return sum(_shown_by_records(reader, image, types))
    words = {_SHT_RELA: 3, _SHT_REL: 2}
    try:
        return sum(
            kind in types
            for s in tables
            for _, kind in _records(
                reader, image, s.addr, min(s.size, _LONGEST_TABLE), image.layout.word * words[s.type]
            )
        )
    except MalformedElf:
        return sum(_shown_by_records(reader, image, types))


def _shown_by_records(reader: Reader, image: Image, types: frozenset[int]) -> Iterator[bool]:
    """Whether each place, word by word, of what is neither code nor written holds such a record."""
    word, order = image.layout.word, image.layout.order
    if word != 8:
        return
    loaded = [s for s in image.segments if s.type == c.PT_LOAD]
    written = [s for s in loaded if s.flags & c.PF_W]
    code = [s for s in loaded if s.flags & c.PF_X]
    for segment in loaded:
        if segment.flags & c.PF_W:
            continue
        size = min(segment.filesz, _LONGEST_TABLE, max(0, reader.size - segment.offset))
        for kind in types:
            mark = struct.pack(f"{order}Q", kind)
            data = reader.read(segment.offset, size)
            at = data.find(mark, word)
            while 0 <= at <= size - 2 * word:
                if at % word == 0:
                    place, _, target = struct.unpack_from(f"{order}QQQ", data, at - word)
                    yield _within(written, place) and _within(code, target)
                at = data.find(mark, at + 1)


def _within(segments: list[Segment], address: int) -> bool:
    return any(s.vaddr <= address < s.vaddr + s.memsz for s in segments)

"""The symbol tables of one file: the dynamic one, found as the loader finds it, and `.symtab`.

Layouts: gABI, Symbol Table and Hash Table; DT_GNU_HASH: glibc elf/dl-lookup.c, do_lookup_x, and elf/dl-setup_hash.c.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.relocations import References, relocation_references
from linkscope.elf.sections import read_sections
from linkscope.elf.segments import file_offset
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_MAX_SYMBOLS = 1 << 20  # of one dynamic table; the largest in practice (browsers in one piece) have some 200 000
_MAX_TABLE = 1 << 27  # bytes of one string table, or of .symtab, that are read
_TAKEN_APART = 1 << 23  # bytes of a string table of which every string is told apart
_LONGEST_ASKED = 64  # bytes of the names that are asked for
_CHUNK = 1 << 20
_CHAIN_PIECE = 256
_SHARED_TAILS = 16  # how often each byte of a string table is part of some symbol's name, on average, at the most
_ENTRY = {8: "IBBHQQ", 4: "IIIBBH"}
_RECORD_WORDS = {8: 6, 4: 4}  # a record of 24 or 16 bytes begins with its name, in 4-byte words
_NATIVE = "<" if sys.byteorder == "little" else ">"


class _Names:
    """The names of a table's symbols, told apart as cheaply as can be: most are strings of the table as they stand.

    strings: those, with the table's other strings among them. tails: the names that are the end of another string, as
    linkers let `printf` be the end of `fprintf`.
    """

    __slots__ = ("_offsets", "_text", "strings", "tails")

    def __init__(self, table: SymbolTable) -> None:
        text = self._text = table.strings
        self.strings = frozenset(text.split(b"\0"))
        fields = memoryview(table.records[: len(table.records) & ~3]).cast("I")[:: _RECORD_WORDS[table.word]]
        offsets = fields.tolist()
        if table.order != _NATIVE:
            offsets = [int.from_bytes(offset.to_bytes(4, "little"), "big") for offset in offsets]
        self._offsets = dict.fromkeys(offsets)  # once each, in order: the table is read from one end to the other
        last = len(text)
        tails = [at for at in self._offsets if 0 < at < last and text[at - 1]]
        ends = [text.find(b"\0", at, at + _LONGEST_ASKED) for at in tails]
        self.tails = frozenset(text[at:end] for at, end in zip(tails, ends, strict=True) if end > 0)

    def names(self, string: bytes) -> bool:
        """Whether one of `strings` is the name of a symbol."""
        if self._text.startswith(string + b"\0") and 0 in self._offsets:
            return True
        at = self._text.find(b"\0" + string + b"\0")
        while at >= 0 and at + 1 not in self._offsets:  # few linkers leave one string in a table twice
            at = self._text.find(b"\0" + string + b"\0", at + 1)
        return at >= 0


class SymbolTable:
    """One symbol table as it stands in the file: its records and its string table, taken apart when asked for."""

    __slots__ = ("_names", "order", "records", "strings", "word")

    def __init__(self, records: bytes, strings: bytes, order: str, word: int) -> None:
        self.records = records
        self.strings = strings
        self.order = order
        self.word = word
        self._names: _Names | None = None

    def names_among(self, wanted: frozenset[bytes]) -> set[bytes]:
        """Those of WANTED that are names of symbols here, defined or not.

        The string table alone does not tell: a string may be the tail of another one, or no symbol's name.
        """
        if len(self.strings) > _TAKEN_APART:
            return self._names_one_by_one(wanted)
        if self._names is None:
            self._names = _Names(self)
        return {name for name in wanted & self._names.strings if self._names.names(name)} | wanted & self._names.tails

    def _names_one_by_one(self, wanted: frozenset[bytes]) -> set[bytes]:
        """The same without a copy of every string, which is slower and takes no memory."""
        found: set[bytes] = set()
        for fields in struct.iter_unpack(self.order + _ENTRY[self.word], self.records):
            end = self.strings.find(b"\0", fields[0], fields[0] + _LONGEST_ASKED)
            if end > fields[0] and self.strings[fields[0] : end] in wanted:
                found.add(self.strings[fields[0] : end])
        return found

    def imports_anything(self) -> bool:
        """Whether some symbol (beside the first, which is nobody's) is undefined."""
        place = 3 if self.word == 8 else 5
        records = struct.iter_unpack(self.order + _ENTRY[self.word], self.records)
        return any(fields[place] == c.SHN_UNDEF and fields[0] for fields in records)

    def addresses_of(self, names: frozenset[bytes]) -> set[int]:
        """The values of the defined symbols of these NAMES."""
        return {start for start, _ in self.spans_of(names)}

    def spans_of(self, names: frozenset[bytes]) -> list[tuple[int, int]]:
        """From where to where (addresses, the end left out) the defined symbols of these NAMES reach."""
        found: list[tuple[int, int]] = []
        longest = max(map(len, names), default=0) + 1
        for fields in struct.iter_unpack(self.order + _ENTRY[self.word], self.records):
            at = fields[0]
            end = self.strings.find(b"\0", at, at + longest)
            if self.strings[at : max(end, at)] in names:
                shndx, value, size = fields[3:6] if self.word == 8 else (fields[5], *fields[1:3])
                if shndx != c.SHN_UNDEF:
                    found.append((value, value + size))
        return found


class Symbol(msgspec.Struct, frozen=True, gc=False):
    """One dynamic symbol, under the gABI's names without `st_`.

    version: the index that .gnu.version gives it, without its hidden bit: 0 local, 1 global (unversioned), others as
    in `Symbols.versions`. hidden: a definition that only a reference to that very version gets.
    """

    name: str
    info: int
    other: int
    shndx: int
    value: int
    version: int
    hidden: bool
    size: int

    @property
    def bind(self) -> int:
        """STB_LOCAL, STB_GLOBAL, STB_WEAK or STB_GNU_UNIQUE."""
        return self.info >> 4

    @property
    def type(self) -> int:
        """STT_NOTYPE, STT_OBJECT, STT_FUNC and so on."""
        return self.info & 15


class Version(msgspec.Struct, frozen=True):
    """A symbol version: `file` is the DT_NEEDED name that must define it, None for one that this file defines."""

    name: str
    hash: int
    file: str | None
    weak: bool


class Symbols(msgspec.Struct, frozen=True):
    """The dynamic symbols of one file by index (0 is the gABI's undefined symbol).

    versioned: the file has .gnu.version; without it every `version` is 1.
    """

    entries: tuple[Symbol, ...]
    versions: Mapping[int, Version]
    versioned: bool


def read_symbols(reader: Reader, image: Image) -> Symbols:
    """The dynamic symbols with their versions; no entries where the file has no DT_SYMTAB.

    Raises MalformedElf where the tables lead out of the file, or overlap so that their names would not fit in memory.
    """
    table = dynamic_table(reader, image)
    if table is None:
        return Symbols((), {}, False)
    records = struct.Struct(table.order + _ENTRY[table.word])
    count = len(table.records) // records.size
    columns = zip(*records.iter_unpack(table.records), strict=True) if count else ((),) * 6
    if table.word == 8:
        at, info, other, shndx, value, size = columns
    else:
        at, value, size, info, other, shndx = columns
    names = _names(table.strings, at, image.path)
    indices = _version_indices(reader, image, count)
    plain = [index & 0x7FFF for index in indices] if indices else [1] * count
    hidden = [index > 0x7FFF for index in indices] if indices else [False] * count
    entries = map(Symbol, names, info, other, shndx, value, plain, hidden, size)
    return Symbols(tuple(entries), _versions(image), indices is not None)


def read_references(reader: Reader, image: Image, symbols: Symbols) -> References:
    """Which of the symbols the loader looks up, and when.

    On MIPS the symbols from DT_MIPS_GOTSYM on have a slot in the GOT instead of a relocation: all are looked up at
    start, save functions with a stub for their first call (glibc sysdeps/mips/dl-machine.h, elf_machine_got_rel).
    """
    found = relocation_references(reader, image)
    first = image.value(c.DT_MIPS_GOTSYM) if image.machine == c.EM_MIPS else None
    if first is None:
        return found
    in_got = set(range(max(first, 1), len(symbols.entries)))
    stubs = {i for i in in_got if symbols.entries[i].type == c.STT_FUNC and symbols.entries[i].value}
    return References(found.data | in_got - stubs, found.functions | stubs, found.copies)


def _names(strings: bytes, offsets: tuple[int, ...], path: str) -> list[str]:
    """The strings at OFFSETS, decoded with surrogateescape; one that has no end is empty.

    Strings may share their tails, so that a table made to hurt could name far more than its size: that is refused.
    """
    budget = len(strings) * _SHARED_TAILS
    names: list[str] = []
    plain = strings.isascii()
    text = strings.decode("ascii" if plain else "latin-1")  # slices of which have the offsets of the bytes
    find = text.find
    for at in offsets:
        end = find("\0", at)
        budget -= end - at
        if budget < 0:
            raise MalformedElf(path, "the names of the dynamic symbols overlap without measure")
        names.append(text[at:end] if end > at else "")
    if not plain:
        names = [n if n.isascii() else n.encode("latin-1").decode("utf-8", "surrogateescape") for n in names]
    return names


def _version_indices(reader: Reader, image: Image, count: int) -> tuple[int, ...] | None:
    """.gnu.version, one index for each symbol; None without DT_VERSYM. Raises MalformedElf where it is too short."""
    address = image.value(c.DT_VERSYM)
    if address is None:
        return None
    offset, available = file_offset(image.segments, address, image.path)
    if available < count * 2:
        raise MalformedElf(image.path, f"{count} symbol versions leave their segment", offset)
    return struct.unpack(f"{image.layout.order}{count}H", reader.read(offset, count * 2))


def _versions(image: Image) -> dict[int, Version]:
    defined = {v.index: Version(v.name, v.hash, None, False) for v in image.verdef or () if not v.base}
    needed = {
        version.other & 0x7FFF: Version(version.name, version.hash, need.file, version.weak)
        for need in image.verneed
        for version in need.versions
    }
    return defined | needed


def dynamic_table(reader: Reader, image: Image) -> SymbolTable | None:
    """The dynamic symbol table, through PT_DYNAMIC and PT_LOAD; None where the file has none.

    It is kept with the open file. Raises MalformedElf where its tags lead out of the file.
    """
    if "dynamic table" not in reader.memory:
        reader.memory["dynamic table"] = _dynamic_table(reader, image)
    return cast("SymbolTable | None", reader.memory["dynamic table"])


def _dynamic_table(reader: Reader, image: Image) -> SymbolTable | None:
    tags = dict(image.dynamic or ())
    if c.DT_SYMTAB not in tags or c.DT_STRTAB not in tags:
        return None
    offset, available = file_offset(image.segments, tags[c.DT_SYMTAB], image.path)
    size = _record_size(image)
    count = min(_dynamic_count(reader, image, tags), available // size)
    if count > _MAX_SYMBOLS:
        raise MalformedElf(image.path, f"{count} dynamic symbols", offset)
    names, names_available = file_offset(image.segments, tags[c.DT_STRTAB], image.path)
    length = min(tags.get(c.DT_STRSZ, names_available), names_available, _MAX_TABLE)
    return SymbolTable(
        reader.read(offset, count * size), reader.read(names, length), image.layout.order, image.layout.word
    )


def section_table(reader: Reader, image: Image) -> SymbolTable | None:
    """`.symtab`, which no loader reads; None where it was stripped or cannot be read. It is kept with the open file.

    Section headers are no part of what runs: damaged ones only hide the names, as if they had been stripped.
    """
    if "section table" not in reader.memory:
        try:
            reader.memory["section table"] = _section_table(reader, image)
        except MalformedElf:
            reader.memory["section table"] = None
    return cast("SymbolTable | None", reader.memory["section table"])


def _section_table(reader: Reader, image: Image) -> SymbolTable | None:
    sections = list(read_sections(reader, image))
    for section in sections:
        if section.type == c.SHT_SYMTAB and section.link < len(sections):
            strings = sections[section.link]
            size = section.size - section.size % _record_size(image)
            if max(size, strings.size) > _MAX_TABLE or strings.type != c.SHT_STRTAB:
                return None
            return SymbolTable(
                reader.read(section.offset, size),
                reader.read(strings.offset, strings.size),
                image.layout.order,
                image.layout.word,
            )
    return None


def _record_size(image: Image) -> int:
    return struct.calcsize("=" + _ENTRY[image.layout.word])


def _dynamic_count(reader: Reader, image: Image, tags: dict[int, int]) -> int:
    """How many dynamic symbols there are. No tag says so; the hash tables, and the relocations, do.

    Without exported symbols a linker writes an empty DT_GNU_HASH that counts nothing: then the highest symbol that a
    relocation names is the last one that matters to a loader.
    """
    if image.machine == c.EM_MIPS and c.DT_MIPS_SYMTABNO in tags:
        return tags[c.DT_MIPS_SYMTABNO]
    if c.DT_GNU_HASH in tags:
        count = _gnu_hash_count(reader, image, tags[c.DT_GNU_HASH])
        if count:
            return count
    if c.DT_HASH in tags:
        return _hash_count(reader, image, tags[c.DT_HASH])
    references = relocation_references(reader, image)
    return max(references.data | references.functions, default=0) + 1


def _hash_count(reader: Reader, image: Image, address: int) -> int:
    """The number of symbols as DT_HASH has it, in nchain."""
    offset, available = file_offset(image.segments, address, image.path)
    # psABI s390x, Alpha: the words of the hash table have eight bytes there.
    wide = image.layout.word == 8 and image.machine in (c.EM_S390, c.EM_ALPHA)
    header = struct.Struct(image.layout.order + ("QQ" if wide else "II"))
    return int(header.unpack(reader.read(offset, header.size))[1]) if available >= header.size else 0


def _gnu_hash_count(reader: Reader, image: Image, address: int) -> int:
    """One more than the last symbol of the last chain; 0 where all buckets are empty."""
    order = image.layout.order
    offset, available = file_offset(image.segments, address, image.path)
    end = offset + available
    if available < 16:
        return 0
    buckets, first, bloom, _shift = struct.unpack(order + "4I", reader.read(offset, 16))
    at = offset + 16 + bloom * image.layout.word
    if not buckets or at + buckets * 4 > end or buckets > _MAX_SYMBOLS:
        return 0
    last = 0
    for start in range(0, buckets * 4, _CHUNK):
        piece = reader.read(at + start, min(_CHUNK, buckets * 4 - start))
        last = max(last, *struct.unpack(f"{order}{len(piece) // 4}I", piece))
    if last < first:
        return 0
    at += (buckets + last - first) * 4
    while at + 4 <= end and last <= _MAX_SYMBOLS:
        size = min(_CHAIN_PIECE, end - at & ~3)
        for (value,) in struct.iter_unpack(order + "I", reader.read(at, size)):
            last += 1
            if value & 1:  # the end of this chain
                return last
        at += size
    return last

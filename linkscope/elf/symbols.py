"""The symbol tables of one file: the dynamic one, found as the loader finds it, and `.symtab`.

Layouts: gABI, Symbol Table and Hash Table; DT_GNU_HASH: glibc elf/dl-lookup.c, do_lookup_x, and elf/dl-setup_hash.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.relocations import symbol_references
from linkscope.elf.sections import read_sections
from linkscope.elf.segments import file_offset

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_MAX_TABLE = 1 << 28  # bytes of one table that are read
_CHUNK = 1 << 20
_CHAIN_PIECE = 256
_ENTRY = {8: "IBBHQQ", 4: "IIIBBH"}
_NAME_ONLY = {8: "I20x", 4: "I12x"}


class SymbolTable(msgspec.Struct, frozen=True):
    """One symbol table as it stands in the file: its records and its string table, not yet taken apart."""

    records: bytes
    strings: bytes
    order: str
    word: int

    def names_among(self, wanted: frozenset[bytes]) -> set[bytes]:
        """Those of WANTED that are names of symbols here, defined or not.

        The string table alone does not tell: a string may be the tail of another one, or no symbol's name.
        """
        strings, found = self.strings, set()
        longest = max(map(len, wanted)) + 1
        for (at,) in struct.Struct(self.order + _NAME_ONLY[self.word]).iter_unpack(self.records):
            end = strings.find(b"\0", at, at + longest)
            if end > at and strings[at:end] in wanted:
                found.add(strings[at:end])
        return found


def dynamic_table(reader: Reader, image: Image) -> SymbolTable | None:
    """The dynamic symbol table, through PT_DYNAMIC and PT_LOAD; None where the file has none.

    Raises MalformedElf where its tags lead out of the file.
    """
    tags = dict(image.dynamic or ())
    if c.DT_SYMTAB not in tags or c.DT_STRTAB not in tags:
        return None
    offset, available = file_offset(image.segments, tags[c.DT_SYMTAB], image.path)
    size = _record_size(image)
    count = min(_dynamic_count(reader, image, tags), min(available, _MAX_TABLE) // size)
    names, names_available = file_offset(image.segments, tags[c.DT_STRTAB], image.path)
    length = min(tags.get(c.DT_STRSZ, names_available), names_available, _MAX_TABLE)
    return SymbolTable(
        reader.read(offset, count * size), reader.read(names, length), image.layout.order, image.layout.word
    )


def section_table(reader: Reader, image: Image) -> SymbolTable | None:
    """`.symtab`, which no loader reads; None where it was stripped or does not lie in the file."""
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
    references = symbol_references(reader, image)
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
    if not buckets or at + buckets * 4 > end or buckets * 4 > _MAX_TABLE:
        return 0
    last = 0
    for start in range(0, buckets * 4, _CHUNK):
        piece = reader.read(at + start, min(_CHUNK, buckets * 4 - start))
        last = max(last, *struct.unpack(f"{order}{len(piece) // 4}I", piece))
    if last < first:
        return 0
    at += (buckets + last - first) * 4
    while at + 4 <= end:
        size = min(_CHAIN_PIECE, end - at & ~3)
        for (value,) in struct.iter_unpack(order + "I", reader.read(at, size)):
            last += 1
            if value & 1:  # the end of this chain
                return last
        at += size
    return last

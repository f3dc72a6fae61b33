"""Where in a file's own addresses the loader writes when it relocates it. Layouts: gABI, Relocation.

`relocations.py` tells which symbols that takes; here it is only the places.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linkscope.elf import constants as c
from linkscope.elf.segments import file_offset

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_DT_RELRSZ = 35  # gABI, Dynamic Section
_WORD = {8: "Q", 4: "I"}
_CHUNK = 1 << 20
_LONGEST_TABLE = 1 << 28  # bytes; the largest in practice are a few megabytes
_LONGEST_PACKED = 1 << 18  # bytes of DT_RELR; a large browser's has some 100 000
# The types whose field is no word, by number, as the psABI of each machine has them. pyelftools takes the numbers of
# AArch64's TLS relocations from a draft (0.33).
_WIDTHS = {
    c.EM_X86_64: {1: 8, 2: 4, 10: 4, 11: 4, 12: 2, 13: 2, 14: 1, 15: 1, 21: 4, 23: 4, 32: 4, 36: 16, 38: 8},
    c.EM_386: {20: 2, 21: 2, 22: 1, 23: 1, 41: 8},
    c.EM_AARCH64: {258: 4, 259: 2, 261: 4, 262: 2, 1031: 16},
    c.EM_ARM: {5: 2, 8: 1, 13: 8},
}


def targets(reader: Reader, image: Image) -> Iterator[tuple[int, int]]:
    """The address and the width in bytes of every dynamic relocation, in the order of the tables.

    Of a machine that is not in the table above, all are as wide as a word. Raises MalformedElf where a table is not in
    the file.
    """
    tags = dict(image.dynamic or ())
    widths = _WIDTHS.get(image.machine, {})
    word = image.layout.word
    plt = tags.get(c.DT_PLTREL, c.DT_RELA)
    tables = ((c.DT_RELA, c.DT_RELASZ, c.DT_RELA), (c.DT_REL, c.DT_RELSZ, c.DT_REL), (c.DT_JMPREL, c.DT_PLTRELSZ, plt))
    for address, length, kind in tables:
        record = struct.Struct(f"{image.layout.order}{3 if kind == c.DT_RELA else 2}{_WORD[word]}")
        offset, size = _place(image, tags.get(address), min(tags.get(length, 0), _LONGEST_TABLE))
        step = _CHUNK - _CHUNK % record.size
        for at in range(0, size - size % record.size, step):
            data = reader.read(offset + at, min(step, size - size % record.size - at))
            for fields in record.iter_unpack(data):
                kind_of_record = fields[1] & (0xFFFFFFFF if word == 8 else 0xFF)
                yield fields[0], widths.get(kind_of_record, word)
    for target in _packed(reader, image):
        yield target, word


def some_relative(reader: Reader, image: Image, most: int) -> Iterator[tuple[int, int]]:
    """Some MOST (to twice as many) relative relocations of each table, evenly spread: address and addend.

    Linkers sort them to the front and count them in DT_RELACOUNT and DT_RELCOUNT; DT_RELR holds nothing else. Raises
    MalformedElf.
    """
    word = struct.Struct(image.layout.order + _WORD[image.layout.word])
    tags = dict(image.dynamic or ())
    for table, number, words in ((c.DT_RELA, c.DT_RELACOUNT, 3), (c.DT_REL, c.DT_RELCOUNT, 2)):
        record = struct.Struct(f"{image.layout.order}{words}{_WORD[word.size]}")
        offset, size = _place(image, tags.get(table), tags.get(number, 0) * record.size)
        count = size // record.size
        for index in range(0, count, max(1, count // most)):
            fields = record.unpack(reader.read(offset + index * record.size, record.size))
            yield fields[0], fields[2] if words == 3 else _in_place(reader, image, fields[0], word)
    packed = list(_packed(reader, image))
    for target in packed[:: max(1, len(packed) // most)]:
        yield target, _in_place(reader, image, target, word)


def _in_place(reader: Reader, image: Image, address: int, word: struct.Struct) -> int:
    offset, _ = file_offset(image.segments, address, image.path)
    return int(word.unpack(reader.read(offset, word.size))[0])


def _packed(reader: Reader, image: Image) -> Iterator[int]:
    """The addresses that DT_RELR holds."""
    tags = dict(image.dynamic or ())
    word = image.layout.word
    offset, size = _place(image, tags.get(c.DT_RELR), min(tags.get(_DT_RELRSZ, 0), _LONGEST_PACKED))
    words = struct.Struct(f"{image.layout.order}{size // word}{_WORD[word]}")
    return unpacked(words.unpack(reader.read(offset, words.size)), word)


def unpacked(entries: Iterable[int], word: int) -> Iterator[int]:
    """The addresses that the words of a DT_RELR table pack: an even one is one, an odd one a bitmap of those behind it.

    Source: gABI, Relative Relocation Table.
    """
    at = 0
    for entry in entries:
        if entry & 1 == 0:
            yield entry
            at = entry + word
            continue
        for bit in range(1, word * 8):
            if entry >> bit & 1:
                yield at + (bit - 1) * word
        at += (word * 8 - 1) * word


def _place(image: Image, address: int | None, size: int) -> tuple[int, int]:
    """Where a table stands in the file, and how much of it is there; (0, 0) for none."""
    if address is None or not size:
        return 0, 0
    offset, available = file_offset(image.segments, address, image.path)
    return offset, min(size, available)

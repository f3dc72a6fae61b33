"""Functions of a library that a file defines itself, in a symbol table that was not stripped: the library is inside it.

They are tables, `symbols/*.toml`, a file a group of libraries: whoever adds a library adds an entry there. Two at least
must be defined, not merely referred to: one name alone may be anybody's. What a file takes from a shared library it
only refers to; where it needs that library, its own definitions are wrappers around it and prove nothing.
"""

from __future__ import annotations

import os
import struct
from functools import cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from linkscope.contents import banners
from linkscope.contents.tables import all_tables
from linkscope.elf import constants as c
from linkscope.elf.symbols import dynamic_table, section_table
from linkscope.errors import MalformedElf
from linkscope.model.inspect import Content, Evidence

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.symbols import SymbolTable

_FOLDER = os.path.join(os.path.dirname(__file__), "symbols")
_ENTRY = {8: "IBBHQQ", 4: "IIIBBH"}  # gABI, Symbol Table: st_name, and st_info and st_shndx by the class
_FUNCTIONS = (c.STT_FUNC, c.STT_GNU_IFUNC)
_LARGE = 1 << 22  # bytes of a string table; the largest of a library in C have some hundred thousand
_PIECE = 1 << 20
_MOST_PLACES = 64  # of one name in a string table: as strings, or as ends of others
_FIRST_RESERVED = 0xFF00  # gABI, SHN_LORESERVE: from here on it is no section that the symbol is defined in
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]


class Library(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A library and functions that only its own code defines.

    name: as Repology lists it. sonames: expressions for the whole of its sonames; where the library has banners as
    well, they stand there. least: how many must be defined. without: functions of another library that has these as
    well, a fork of it. source: where the library declares them.
    """

    name: _Name
    sonames: tuple[str, ...] = ()
    symbols: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=2)]
    least: Annotated[int, msgspec.Meta(ge=2)] = 2
    without: tuple[_Name, ...] = ()
    source: Annotated[str, msgspec.Meta(min_length=1)]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    library: tuple[Library, ...]


def read_libraries(folder: str = _FOLDER) -> tuple[Library, ...]:
    """The libraries of all tables in FOLDER, by the tables' names. Raises as `all_tables` does."""
    return tuple([library for table in all_tables(folder, _File) for library in table.library])


@cache
def libraries() -> tuple[Library, ...]:
    """The libraries that LinkScope knows by their functions, read once."""
    return read_libraries()


def contents(reader: Reader, image: Image) -> list[Content]:
    """The libraries of which the file defines functions, by name; a library is found in itself, too."""
    wanted = frozenset(name.encode() for row in libraries() for name in (*row.symbols, *row.without))
    defined = {name.decode() for table in tables(reader, image) for name in defined_functions(table, wanted)}
    return [
        Content(name=row.name, ecosystem="generic", version=None, evidence=[_proof(row, defined)])
        for row in sorted(libraries(), key=lambda row: row.name)
        if len(defined.intersection(row.symbols)) >= row.least
        and not defined.intersection(row.without)
        and not _is_needed(row, image)
    ]


def defined_functions(table: SymbolTable, wanted: frozenset[bytes]) -> set[bytes]:
    """Those of the WANTED names that are functions which the file itself defines."""
    names = _places(table, wanted)
    if not names:
        return set()
    info, shndx = (1, 3) if table.word == 8 else (3, 5)
    records = struct.iter_unpack(table.order + _ENTRY[table.word], table.records)
    return {
        names[fields[0]]
        for fields in records
        if fields[0] in names and fields[info] & 15 in _FUNCTIONS and c.SHN_UNDEF < fields[shndx] < _FIRST_RESERVED
    }


def _places(table: SymbolTable, wanted: frozenset[bytes]) -> dict[int, bytes]:
    """The WANTED names by where they stand in the string table, as a string or as the end of one.

    Of a table that is too large to be told apart at once, the ends are left out: the other names tell.
    """
    if len(table.strings) > _LARGE:
        return _whole_strings(table.strings, wanted)
    places: dict[int, bytes] = {}
    for name in table.names_among(wanted):
        at = table.strings.find(name + b"\0")
        for _ in range(_MOST_PLACES):
            if at < 0:
                break
            places[at] = name
            at = table.strings.find(name + b"\0", at + 1)
    return places


def _whole_strings(strings: bytes, wanted: frozenset[bytes]) -> dict[int, bytes]:
    """The WANTED strings by their offsets, piece by piece of the table."""
    places: dict[int, bytes] = {}
    start = 0
    while start < len(strings):
        end = strings.find(b"\0", start + _PIECE) + 1 or len(strings)
        piece = strings[start:end]
        for name in wanted.intersection(piece.split(b"\0")):
            at = 0 if piece.startswith(name + b"\0") else piece.find(b"\0" + name + b"\0") + 1
            places[start + at] = name
        start = end
    return places


def tables(reader: Reader, image: Image) -> list[SymbolTable]:
    """The symbol tables that the file has and that can be read."""
    try:
        dynamic = dynamic_table(reader, image)
    except MalformedElf:
        dynamic = None
    return [table for table in (section_table(reader, image), dynamic) if table is not None]


def _proof(row: Library, defined: set[str]) -> Evidence:
    return Evidence(kind="symbol", text=", ".join(name for name in row.symbols if name in defined))


@cache
def _banner_libraries() -> dict[str, banners.Library]:
    return {library.name: library for library in banners.libraries()}


def sonames_of(row: Library) -> tuple[str, ...]:
    """The expressions for a library's sonames, from its own entry or from that of its banners."""
    known = _banner_libraries().get(row.name)
    return row.sonames or (known.sonames if known else ())


def _is_needed(row: Library, image: Image) -> bool:
    return banners.is_needed(banners.Library(name=row.name, sonames=sonames_of(row)), image)

"""Symbol look-up between two objects: what one wants, what another offers, and whether the one is served by the other.

Sources: glibc elf/dl-lookup.c (check_match, do_lookup_x), elf/dl-reloc.c (resolve_map), elf/dl-version.c; musl
ldso/dynlink.c (find_sym2, do_relocs). Only what a relocation refers to is ever looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.symbols import Symbol, Symbols, read_references, read_symbols

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

Kind = Literal["function", "data", "copy"]

# One definition is a number: its version index, the hidden bit as in .gnu.version, and a bit of ours.
_INDEX, _HIDDEN, _UNDEFINED = 0x7FFF, 0x8000, 0x10000
_BINDINGS = frozenset((c.STB_GLOBAL, c.STB_WEAK, c.STB_GNU_UNIQUE))
_FIRST_CHOSEN_VERSION = 3  # glibc: an unversioned reference takes the first version of a file (2) as the old default


class Dialect(msgspec.Struct, frozen=True):
    """How the look-up of one loader differs. types: those of the definitions that count.

    absolute_zero: an absolute symbol of value 0 is a definition. by_version: versions are compared; otherwise only
    hidden definitions are passed over. lazy: functions may wait for their first call.
    """

    name: str
    types: frozenset[int]
    absolute_zero: bool
    by_version: bool
    lazy: bool


_TYPES = frozenset((c.STT_NOTYPE, c.STT_OBJECT, c.STT_FUNC, c.STT_COMMON, c.STT_TLS))
GLIBC = Dialect("glibc", _TYPES | {c.STT_GNU_IFUNC}, absolute_zero=True, by_version=True, lazy=True)
MUSL = Dialect("musl", _TYPES, absolute_zero=False, by_version=False, lazy=False)


class WantedVersion(msgspec.Struct, frozen=True):
    """The version of a reference. key: its hash and name. hidden: no unversioned definition will do.

    file: the DT_NEEDED name that should define it, None where the file itself defines it.
    """

    key: tuple[int, str]
    hidden: bool
    file: str | None

    @property
    def name(self) -> str:
        """Its name, as in `GLIBC_2.34`."""
        return self.key[1]


class Reference(msgspec.Struct, frozen=True):
    """A symbol to look up. kind: `function` may wait for its first call, `copy` is not looked for in the program."""

    symbol: str
    version: WantedVersion | None
    kind: Kind
    weak: bool


class Exports(msgspec.Struct, frozen=True):
    """What an object offers. names: each name's definitions. versions: by index; None for an unversioned object."""

    names: dict[str, tuple[int, ...]]
    versions: dict[int, tuple[int, str]] | None


class Tables:
    """An object's references that it does not serve itself, and its exports.

    by_name: the numbers of the references to each name. strong: those whose failure counts.
    served_by: identities of objects that are known to serve all the strong ones together, where that was seen.
    fault: why the file's tables cannot be read; it then wants and offers nothing.
    """

    __slots__ = ("by_name", "exports", "fault", "references", "served_by", "strong")

    def __init__(self, references: tuple[Reference, ...], exports: Exports, fault: str | None = None) -> None:
        self.fault = fault
        self.references = references
        self.exports = exports
        self.by_name: dict[str, list[int]] = {}
        for number, reference in enumerate(references):
            self.by_name.setdefault(reference.symbol, []).append(number)
        self.strong = frozenset(number for number, reference in enumerate(references) if not reference.weak)
        self.served_by: frozenset[tuple[int, int]] | None = None


def without_tables(reason: str) -> Tables:
    """What stands for a file whose tables cannot be read."""
    return Tables((), Exports({}, None), reason)


def read_tables(reader: Reader, image: Image, dialect: Dialect) -> Tables:
    """The tables of one file. Raises MalformedElf.

    Every object stands in its own scope, so what serves itself need not be looked at again. DT_SYMBOLIC and protected
    symbols change only which of two definitions is taken, never whether there is one.
    """
    references, exports = _read(reader, image, dialect)
    names, versions = exports.names, exports.versions
    others = (
        one
        for one in references
        if one.kind == "copy" or not accepts(one, names.get(one.symbol, ()), versions, dialect)
    )
    return Tables(tuple(others), exports)


def read_all_references(reader: Reader, image: Image, dialect: Dialect) -> Tables:
    """The tables of one file with the references that it serves itself as well. Raises MalformedElf."""
    return Tables(*_read(reader, image, dialect))


def _read(reader: Reader, image: Image, dialect: Dialect) -> tuple[tuple[Reference, ...], Exports]:
    symbols = read_symbols(reader, image)
    versions = _versions(image) if symbols.versioned else {}
    names = _offered(symbols, dialect)
    exports = Exports(names, {index: one.key for index, one in versions.items()} if versions else None)
    return tuple(_referred(reader, image, symbols, versions, dialect)), exports


def _versions(image: Image) -> dict[int, WantedVersion]:
    """_dl_check_map_versions: what each version index stands for; a file's own versions overwrite those it needs."""
    versions = {
        one.other & _INDEX: WantedVersion((one.hash, one.name), bool(one.other & _HIDDEN), need.file)
        for need in image.verneed
        for one in need.versions
    }
    for own in image.verdef or ():
        if not own.base:
            versions[own.index] = WantedVersion((own.hash, own.name), False, None)
    return versions


def _offered(symbols: Symbols, dialect: Dialect) -> dict[str, tuple[int, ...]]:
    """The definitions by name.

    An undefined symbol with a value is one as well, for data: the program's PLT entry, as the address of a function.
    """
    offered: dict[str, tuple[int, ...]] = {}
    for symbol in symbols.entries:
        type_, undefined = symbol.info & 15, symbol.shndx == c.SHN_UNDEF
        if type_ == c.STT_TLS:
            if undefined:
                continue
        elif not symbol.value and not (dialect.absolute_zero and symbol.shndx == c.SHN_ABS):
            continue
        if type_ not in dialect.types or symbol.info >> 4 not in _BINDINGS or _binds_locally(symbol, dialect):
            continue
        definition = symbol.version | symbol.hidden << 15 | undefined << 16
        name = symbol.name
        offered[name] = (*offered[name], definition) if name in offered else _SINGLE.get(definition) or (definition,)
    return offered


_SINGLE = {number: (number,) for number in range(256)}  # one tuple for all definitions that look the same


def _binds_locally(symbol: Symbol, dialect: Dialect) -> bool:
    """glibc: dl_symbol_visibility_binds_local_p; musl does not look at the visibility."""
    return dialect.by_version and symbol.other & 3 in (c.STV_HIDDEN, c.STV_INTERNAL)


def _referred(
    reader: Reader, image: Image, symbols: Symbols, versions: dict[int, WantedVersion], dialect: Dialect
) -> list[Reference]:
    found = read_references(reader, image, symbols)
    kinds: list[tuple[int, Kind]] = [(index, "function") for index in sorted(found.functions)]
    kinds += [(index, "copy" if index in found.copies else "data") for index in sorted(found.data)]
    references: list[Reference] = []
    for index, kind in kinds:
        if index >= len(symbols.entries):
            continue
        symbol = symbols.entries[index]
        if symbol.bind == c.STB_LOCAL or _binds_locally(symbol, dialect):
            continue
        if symbol.type == c.STT_TLS:
            kind = "data"  # a TLS descriptor among the PLT's relocations does not wait
        weak = symbol.bind == c.STB_WEAK and (dialect.by_version or symbol.shndx == c.SHN_UNDEF)
        version = versions.get(symbol.version) if dialect.by_version else None
        references.append(Reference(symbol.name, version, kind, weak))
    return references


def served(wants: Tables, provider: Exports, dialect: Dialect) -> frozenset[int]:
    """The numbers of the references of WANTS that PROVIDER serves."""
    return frozenset(
        number
        for name in wants.by_name.keys() & provider.names.keys()
        for number in wants.by_name[name]
        if accepts(wants.references[number], provider.names[name], provider.versions, dialect)
    )


def musl_defines(symbols: Symbols, name: str) -> bool:
    """Whether musl's find_sym, asked for a definition, finds NAME in a file with these SYMBOLS alone."""
    definitions = _offered(symbols, MUSL).get(name, ())
    return accepts(Reference(name, None, "function", weak=False), definitions, None, MUSL)


def accepts(
    reference: Reference, definitions: tuple[int, ...], versions: dict[int, tuple[int, str]] | None, dialect: Dialect
) -> bool:
    """Whether one of an object's definitions of the name will do. versions: the object's, as in Exports."""
    if reference.kind == "function":
        definitions = tuple(one for one in definitions if not one & _UNDEFINED)
    if not dialect.by_version:
        return any(not one & _HIDDEN for one in definitions)
    if versions is None:
        return bool(definitions)
    wanted = reference.version
    if wanted is None:
        return _accepts_any_version(definitions)
    for one in definitions:
        version = versions.get(one & _INDEX)
        if version == wanted.key or (version is None and not wanted.hidden and not one & _HIDDEN):
            return True
    return False


def _accepts_any_version(definitions: tuple[int, ...]) -> bool:
    """A reference without version gets the base version, the file's first one, or the only default there is."""
    if any(one & _INDEX < _FIRST_CHOSEN_VERSION for one in definitions):
        return True
    return sum(not one & _HIDDEN for one in definitions) == 1

"""What a library offers to others: its exported symbols with their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.symbols import read_symbols

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_BINDINGS = frozenset((c.STB_GLOBAL, c.STB_WEAK, c.STB_GNU_UNIQUE))
_INVISIBLE = frozenset((c.STV_HIDDEN, c.STV_INTERNAL))
_LOCAL = 0  # the version index of a symbol that a version script keeps inside
# What start files and linkers put into every library, and no other one is linked against (gABI, Initialization and
# Termination Functions; GNU ld's default script).
_NOBODYS = frozenset(("_init", "_fini", "__bss_start", "_edata", "_end", "_GLOBAL_OFFSET_TABLE_", "_DYNAMIC"))


class Export(msgspec.Struct, frozen=True):
    """A symbol that other objects can be bound to.

    versions: as `objdump -T` and `nm -D` write them: `@@V` is the version that a link step takes today, `@V` one kept
    for programs that were linked before, "" a symbol without version. size: the bytes of a variable, which a program
    may have copied into itself (R_*_COPY); 0 for a function.
    """

    versions: frozenset[str]
    size: int


def exports(reader: Reader, image: Image) -> dict[str, Export]:
    """The exported symbols by name.

    The version symbols themselves (absolute, named as the version) are no interface, and left out, as is what every
    link step adds. Source: LSB Core, Symbol Versioning; binutils nm.
    """
    symbols = read_symbols(reader, image)
    versions: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}
    for symbol in symbols.entries:
        if symbol.shndx == c.SHN_UNDEF or symbol.bind not in _BINDINGS or symbol.other & 3 in _INVISIBLE:
            continue
        version = symbols.versions.get(symbol.version)
        if (version is None and symbol.version == _LOCAL) or (version is not None and version.file is not None):
            continue
        if symbol.name in _NOBODYS or (symbol.shndx == c.SHN_ABS and version and version.name == symbol.name):
            continue
        mark = "" if version is None else f"{'@' if symbol.hidden else '@@'}{version.name}"
        versions.setdefault(symbol.name, set()).add(mark)
        if symbol.type == c.STT_OBJECT and not symbol.hidden:
            sizes[symbol.name] = symbol.size
    return {name: Export(frozenset(marks), sizes.get(name, 0)) for name, marks in versions.items()}

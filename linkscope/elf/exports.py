"""What a library offers to others: its exported symbols with their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.elf import constants as c
from linkscope.elf.symbols import read_symbols

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_BINDINGS = frozenset((c.STB_GLOBAL, c.STB_WEAK, c.STB_GNU_UNIQUE))
_INVISIBLE = frozenset((c.STV_HIDDEN, c.STV_INTERNAL))
_LOCAL = 0  # the version index of a symbol that a version script keeps inside


def exports(reader: Reader, image: Image) -> dict[str, frozenset[str]]:
    """The symbols that other objects can be bound to, each with its versions as `objdump -T` and `nm -D` write them.

    `@@V` is the version that a link step takes today, `@V` one kept for programs that were linked before, "" a symbol
    without version. The version symbols themselves (absolute, named as the version) are no interface, and left out.
    Source: LSB Core, Symbol Versioning; binutils nm.
    """
    symbols = read_symbols(reader, image)
    found: dict[str, set[str]] = {}
    for symbol in symbols.entries:
        if symbol.shndx == c.SHN_UNDEF or symbol.bind not in _BINDINGS or symbol.other & 3 in _INVISIBLE:
            continue
        version = symbols.versions.get(symbol.version)
        if (version is None and symbol.version == _LOCAL) or (version is not None and version.file is not None):
            continue
        if symbol.shndx == c.SHN_ABS and version is not None and version.name == symbol.name:
            continue
        mark = "" if version is None else f"{'@' if symbol.hidden else '@@'}{version.name}"
        found.setdefault(symbol.name, set()).add(mark)
    return {name: frozenset(marks) for name, marks in found.items()}

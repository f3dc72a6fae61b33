"""What one ELF file of the writer says, as a value that prints short: only what differs from the plain case."""

from typing import Literal

import msgspec

from tests.oracle.elfformat import ET_DYN


class Symbol(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A dynamic symbol. version: one of the file's verdef where it defines it, of its verneed where it asks for it."""

    name: str
    version: str | None = None
    kind: Literal["function", "object"] = "function"
    weak: bool = False
    hidden: bool = False


class Recipe(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """What one ELF file says. Strings are written as they are, surrogate escapes as the bytes that they stand for.

    dynamic_order: (tag name, text) pairs written before everything else, to mix NEEDED, AUXILIARY and FILTER freely;
    `needed`, `auxiliary` and `filter` follow, in this order. verneed: (file, ((version, vna_flags), …)) each.
    isa_needed: the bits of GNU_PROPERTY_X86_ISA_1_NEEDED. undefined: each is referred to by a relocation, a function by
    a lazy one. entry: whether the file has code to be started (an executable).
    """

    soname: str | None = None
    needed: tuple[str, ...] = ()
    auxiliary: tuple[str, ...] = ()
    filter: tuple[str, ...] = ()
    dynamic_order: tuple[tuple[str, str], ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    audit: str | None = None
    depaudit: str | None = None
    flags: int = 0
    flags_1: int = 0
    extra_dynamic: tuple[tuple[int, int | str], ...] = ()
    elf_class: Literal[32, 64] = 64
    endian: Literal["little", "big"] = "little"
    machine: int = 62
    e_type: int = ET_DYN
    e_flags: int = 0
    osabi: int = 0
    abiversion: int = 0
    interp: str | None = None
    entry: bool = False
    verneed: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    verdef: tuple[str, ...] = ()
    symbols: tuple[Symbol, ...] = ()
    undefined: tuple[Symbol, ...] = ()
    hash_style: Literal["sysv", "gnu", "both"] = "sysv"
    notes: tuple[tuple[str, int, bytes], ...] = ()
    build_id: bytes | None = None
    isa_needed: int | None = None
    execstack: bool = False
    sections: bool = False

"""The numbers and record layouts of ELF that the writer needs, for both classes and byte orders.

Sources: gABI chapters 4 and 5; binutils include/elf/common.h for the GNU tags; psABIs of x86-64, i386 and AArch64 for
the relocation types.
"""

import functools
import struct
from typing import Final

# Dynamic tags by the name that a recipe's `dynamic_order` and the writer use.
DT: Final = {
    "null": 0,
    "needed": 1,
    "pltrelsz": 2,
    "pltgot": 3,
    "hash": 4,
    "strtab": 5,
    "symtab": 6,
    "rela": 7,
    "relasz": 8,
    "relaent": 9,
    "strsz": 10,
    "syment": 11,
    "soname": 14,
    "rpath": 15,
    "rel": 17,
    "relsz": 18,
    "relent": 19,
    "pltrel": 20,
    "debug": 21,
    "jmprel": 23,
    "runpath": 29,
    "flags": 30,
    "gnu_hash": 0x6FFFFEF5,
    "depaudit": 0x6FFFFEFB,
    "audit": 0x6FFFFEFC,
    "versym": 0x6FFFFFF0,
    "flags_1": 0x6FFFFFFB,
    "verdef": 0x6FFFFFFC,
    "verdefnum": 0x6FFFFFFD,
    "verneed": 0x6FFFFFFE,
    "verneednum": 0x6FFFFFFF,
    "auxiliary": 0x7FFFFFFD,
    "filter": 0x7FFFFFFF,
}

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_PHDR = 1, 2, 3, 4, 6
PT_GNU_STACK, PT_GNU_PROPERTY = 0x6474E551, 0x6474E553
PF_X, PF_W, PF_R = 1, 2, 4
ET_EXEC, ET_DYN = 2, 3
DF_1_NOW, DF_1_NODEFLIB, DF_1_PIE = 0x1, 0x800, 0x08000000
STT = {"object": 1, "function": 2}
STB_GLOBAL, STB_WEAK = 1, 2
NT_GNU_BUILD_ID, NT_GNU_PROPERTY_TYPE_0 = 3, 5
GNU_PROPERTY_X86_ISA_1_NEEDED = 0xC0008002

# e_machine: (type that fills a data slot of the GOT, type of a function's lazy slot).
RELOCATIONS: Final = {62: (6, 7), 3: (6, 7), 183: (1025, 1026)}
# Machines whose psABI has no addends in relocation records: i386 and ARM.
WITHOUT_ADDEND: Final = frozenset({3, 40})
# Machines whose DT_HASH has words of their class, and not of 4 bytes: s390x and Alpha.
WIDE_HASH: Final = frozenset({22, 0x9026})
# The largest page of each machine, which keeps its two segments apart; 64 KiB where not named.
PAGE: Final = {62: 0x1000, 3: 0x1000}


class Records:
    """The records of one class and byte order, each a packer of plain fields in one order for both classes."""

    def __init__(self, elf_class: int, endian: str) -> None:
        order = "<" if endian == "little" else ">"
        self.wide = elf_class == 64
        self.word = 8 if self.wide else 4
        self.header = struct.Struct(order + ("16sHHIQQQIHHHHHH" if self.wide else "16sHHIIIIIHHHHHH"))
        self.segment = struct.Struct(order + ("IIQQQQQQ" if self.wide else "IIIIIIII"))
        self.section = struct.Struct(order + ("IIQQQQIIQQ" if self.wide else "IIIIIIIIII"))
        self.dynamic = struct.Struct(order + ("QQ" if self.wide else "II"))
        self.pointer = struct.Struct(order + ("Q" if self.wide else "I"))
        self.symbol = struct.Struct(order + ("IBBHQQ" if self.wide else "IIIBBH"))
        self.rela = struct.Struct(order + ("QQq" if self.wide else "IIi"))
        self.rel = struct.Struct(order + ("QQ" if self.wide else "II"))
        self.int32 = struct.Struct(order + "I")
        self.half = struct.Struct(order + "H")
        self.verdef = struct.Struct(order + "HHHHIII")
        self.verdaux = struct.Struct(order + "II")
        self.verneed = struct.Struct(order + "HHIII")
        self.vernaux = struct.Struct(order + "IHHII")

    def program_header(self, kind: int, flags: int, offset: int, address: int, size: int, align: int) -> bytes:
        """One Elf_Phdr, with p_paddr as p_vaddr and p_memsz as p_filesz."""
        if self.wide:
            return self.segment.pack(kind, flags, offset, address, address, size, size, align)
        return self.segment.pack(kind, offset, address, address, size, size, flags, align)

    def symbol_entry(self, name: int, info: int, section: int, value: int, size: int) -> bytes:
        """One Elf_Sym of default visibility."""
        if self.wide:
            return self.symbol.pack(name, info, 0, section, value, size)
        return self.symbol.pack(name, value, size, info, 0, section)

    def relocation(self, machine: int, offset: int, symbol: int, kind: int) -> bytes:
        """One Elf_Rel or Elf_Rela without addend, as the machine has them."""
        info = symbol << 32 | kind if self.wide else symbol << 8 | kind
        return self.rel.pack(offset, info) if machine in WITHOUT_ADDEND else self.rela.pack(offset, info, 0)

    def relocation_size(self, machine: int) -> int:
        """The size of what `relocation` gives, in bytes."""
        return self.rel.size if machine in WITHOUT_ADDEND else self.rela.size

    def note(self, owner: bytes, kind: int, content: bytes, align: int) -> bytes:
        """One note record, padded to `align` bytes."""
        name = owner + b"\0"
        head = self.int32.pack(len(name)) + self.int32.pack(len(content)) + self.int32.pack(kind)
        return padded(head + padded(name, 4), align) + padded(content, align)


@functools.cache
def records(elf_class: int, endian: str) -> Records:
    """The records of one class (32 or 64) and byte order ("little" or "big")."""
    return Records(elf_class, endian)


def padded(data: bytes, align: int) -> bytes:
    """The data, with zeros up to a multiple of `align`."""
    return data + bytes(-len(data) % align)


def sysv_hash(name: bytes) -> int:
    """The gABI's hash of a symbol name, which version records carry too."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ value >> 24 & 0xF0) & 0x0FFFFFFF
    return value


def gnu_hash(name: bytes) -> int:
    """The hash of DT_GNU_HASH: Bernstein's, times 33 from 5381 on."""
    value = 5381
    for byte in name:
        value = value * 33 + byte & 0xFFFFFFFF
    return value

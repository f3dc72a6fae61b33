"""Whether glibc takes a candidate, passes over it, or gives up at it.

Source: glibc elf/dl-load.c, open_verify (the header) and _dl_map_object_from_fd (the segments), in their order.
"""

from __future__ import annotations

import stat
import struct
from typing import Literal

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.loader.system import Candidate

Verdict = Literal["take", "wrong-class", "wrong-machine", "refuse"]

# The bits of e_flags that tell ABIs of one machine apart (glibc sysdeps/*/dl-machine.h, elf_machine_matches_host).
_ABI_FLAGS = {c.EM_RISCV: 0x6, c.EM_PPC64: 0x3}
_EF_ARM_FLOAT = 0x600
_PAGE = 4096


class Target(msgspec.Struct, frozen=True):
    """What the loader at work accepts: its own class, byte order, machine and e_flags.

    machine_first: it passes over a file of another machine before it looks at the byte order (Debian's loaders).
    """

    elf_class: int
    order: str
    machine: int
    flags: int
    machine_first: bool


class Judgement(msgspec.Struct, frozen=True):
    """A verdict, and for a refusal the loader's own words."""

    verdict: Verdict
    reason: str = ""


_TAKE = Judgement("take")
_WRONG_CLASS = Judgement("wrong-class")
_WRONG_MACHINE = Judgement("wrong-machine")


def judge(candidate: Candidate, target: Target) -> Judgement:
    """What the loader makes of a candidate that could be opened."""
    header = judge_header(candidate, target)
    if header.verdict != "take":
        return header
    if candidate.image is None:
        return _refuse(candidate.fault.reason if candidate.fault else "cannot read file data")
    return judge_segments(candidate.image)


def _refuse(reason: str) -> Judgement:
    return Judgement("refuse", reason)


def judge_header(candidate: Candidate, target: Target) -> Judgement:
    """The checks of open_verify."""
    head = candidate.head
    if stat.S_ISDIR(candidate.mode):
        return _refuse("cannot read file data: Is a directory")
    if not stat.S_ISREG(candidate.mode):
        return _refuse("is no regular file")
    if len(head) < (64 if target.elf_class == 64 else 52):
        return _refuse("file too short")
    if head[:4] != b"\x7fELF":
        return _refuse("invalid ELF header")
    return _judge_ident(head, target) or _judge_type(head, target)


def _judge_ident(head: bytes, target: Target) -> Judgement | None:
    if head[4] != target.elf_class // 32:
        return _WRONG_CLASS
    wanted_data = 1 if target.order == "<" else 2
    osabi, abiversion = head[7], head[8]
    accepted = (
        head[5] == wanted_data
        and head[6] == 1
        and osabi in (c.ELFOSABI_SYSV, c.ELFOSABI_GNU)
        and (abiversion == 0 or (osabi == c.ELFOSABI_GNU and abiversion < _LIBC_ABI_MAX))
        and not any(head[9:16])
    )
    if accepted:
        return None
    if target.machine_first and not _machine_matches(head, target):
        return _WRONG_MACHINE
    if head[5] != wanted_data:
        return _refuse(f"ELF file data encoding not {'little' if wanted_data == 1 else 'big'}-endian")
    if head[6] != 1:
        return _refuse("ELF file version ident does not match current one")
    if osabi not in (c.ELFOSABI_SYSV, c.ELFOSABI_GNU):
        return _refuse("ELF file OS ABI invalid")
    if abiversion and not any(head[9:16]):
        return _refuse("ELF file ABI version invalid")
    return _refuse("ELF file ABI version invalid" if abiversion else "nonzero padding in e_ident")


# libc-abis: UNIQUE, IFUNC, ABSOLUTE and the like; the number has grown with releases, and no linker writes it.
_LIBC_ABI_MAX = 4


def _machine_matches(head: bytes, target: Target) -> bool:
    """Whether e_machine and the ABI bits of e_flags, read in the loader's own byte order, are the loader's."""
    (machine,) = struct.unpack_from(target.order + "H", head, 18)
    if machine != target.machine:
        return False
    (flags,) = struct.unpack_from(target.order + "I", head, 48 if target.elf_class == 64 else 36)
    if machine == c.EM_ARM:
        return not (flags & _EF_ARM_FLOAT and target.flags & _EF_ARM_FLOAT and (flags ^ target.flags) & _EF_ARM_FLOAT)
    return not (flags ^ target.flags) & _ABI_FLAGS.get(machine, 0)


def _judge_type(head: bytes, target: Target) -> Judgement:
    type_, _machine, version = struct.unpack_from(target.order + "HHI", head, 16)
    if version != 1:
        return _refuse("ELF file version does not match current one")
    if not _machine_matches(head, target):
        return _WRONG_MACHINE
    if type_ not in (c.ET_DYN, c.ET_EXEC):
        return _refuse("only ET_DYN and ET_EXEC can be loaded")
    (phentsize,) = struct.unpack_from(target.order + "H", head, 54 if target.elf_class == 64 else 42)
    if phentsize != (56 if target.elf_class == 64 else 32):
        return _refuse("ELF file's phentsize not the expected size")
    return _TAKE


def judge_segments(image: Image) -> Judgement:
    """The checks of _dl_map_object_from_fd that a file can fail before it is mapped, and the one on PIE behind them."""
    loads = [segment for segment in image.segments if segment.type == c.PT_LOAD]
    if any((segment.vaddr - segment.offset) & (_PAGE - 1) for segment in loads):
        return _refuse("ELF load command address/offset not page-aligned")
    if not loads:
        return _refuse("object file has no loadable segments")
    if image.type != c.ET_DYN:
        return _refuse("cannot dynamically load executable")
    dynamic = [segment for segment in image.segments if segment.type == c.PT_DYNAMIC]
    if not dynamic or image.debug or any(segment.filesz == 0 for segment in dynamic):
        return _refuse("object file has no dynamic section")
    if image.dt_flags_1 & c.DF_1_PIE:
        return _refuse("cannot dynamically load position-independent executable")
    return _TAKE

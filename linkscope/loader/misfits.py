"""What a file is that the loader does not take, in words that a person can search for."""

from __future__ import annotations

from linkscope.elf.image import Image
from linkscope.elf.machines import machine_name
from linkscope.loader.system import Candidate

_MACHINE = slice(18, 20)  # e_machine, in the byte order of the file


def of_another_kind(candidate: Candidate, program: Image) -> str:
    """Which class and machine the file is for, and which the program; for another class with glibc's word for it.

    Source: glibc elf/dl-load.c, open_verify; the file's header alone counts, whatever follows it.
    """
    head = candidate.head
    machine = int.from_bytes(head[_MACHINE], "big" if head[5] == 2 else "little")
    bits = 64 if head[4] == 2 else 32
    kinds = (
        f"{bits}-bit {machine_name(machine)}, the program is {program.elf_class}-bit {machine_name(program.machine)}"
    )
    return kinds if bits == program.elf_class else f"{kinds} (wrong ELF class: ELFCLASS{bits})"


def is_text(candidate: Candidate) -> bool:
    """Whether the file begins as text does, as a linker script does."""
    return bool(candidate.head) and all(byte >= 0x20 or byte in b"\t\n\r" for byte in candidate.head)

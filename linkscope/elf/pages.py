"""How much memory the segments of a file take when they are mapped, in whole pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.elf import constants as c

if TYPE_CHECKING:
    from linkscope.elf.image import Image

# Linux arch/*/include/asm/page.h, and what distributions configure where there is a choice. AArch64 may have pages of
# 16 or 64 KiB as well: its files are aligned for all three, and most kernels have 4 KiB.
_USUAL_PAGE = 4096
_BITS = {8: 56, 4: 32}  # of addresses that any kernel gives to programs: what lies beyond is never mapped
_PAGE = {c.EM_PPC64: 65536, c.EM_LOONGARCH: 16384, c.EM_SPARCV9: 8192, c.EM_ALPHA: 8192}


def page_size(machine: int) -> int:
    """The usual size of a page on computers of this e_machine, in bytes."""
    return _PAGE.get(machine, _USUAL_PAGE)


def mapped_size(image: Image) -> int:
    """The bytes of the pages that the PT_LOAD segments reach into, with .bss; a page that two share counts once.

    What lies between the segments (in files that are aligned for larger pages) is not counted: the kernel leaves it
    free, and glibc's loader reserves it without any access (elf/dl-map-segments.h), so that it never takes memory.
    """
    page, most = page_size(image.machine), 1 << _BITS[image.layout.word]
    loaded = [(s.vaddr, min(s.vaddr + s.memsz, most)) for s in image.segments if s.type == c.PT_LOAD and s.memsz]
    size = reached = 0
    for start, end in sorted((start // page, -(-end // page)) for start, end in loaded):
        size += max(0, end - max(start, reached))
        reached = max(reached, end)
    return size * page

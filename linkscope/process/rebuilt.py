"""A mapped file put together again out of a process's memory, where its own bytes cannot be had any more.

Of a deleted file the kernel keeps the bytes, and gives them (/proc/PID/map_files) to a privileged caller alone. The
process's own user may read its memory, where the constants are as they were in the file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from linkscope.elf import constants as c
from linkscope.elf.reader import Reader
from linkscope.elf.segments import LAYOUTS
from linkscope.errors import LinkScopeError
from linkscope.process.image_memory import MAX_DYNAMIC, header_segments
from linkscope.process.mappings import Mapping
from linkscope.process.procfs import Memory

_IDENT = 16
_PIECE = 1 << 20
_MOST = 1 << 28  # bytes of one file


def from_memory(pid: int, mappings: Sequence[Mapping], path: str) -> Reader | None:
    """An open file that has what MAPPINGS (of one file of process PID) show of it, each at its place; holes are zeros.

    Data that was relocated is as the loader changed it, but for the dynamic section. None where the memory may not be
    read, or the file's beginning is not mapped.
    """
    if not any(mapping.offset == 0 and mapping.readable for mapping in mappings):
        return None
    try:
        descriptor = os.memfd_create("linkscope", os.MFD_CLOEXEC)
    except OSError:
        return None
    try:
        with Memory(pid) as memory:
            for mapping in mappings:
                _copy(memory, mapping, descriptor)
            _restore_dynamic(memory, mappings, descriptor)
        return Reader(descriptor, path)
    except (OSError, LinkScopeError):
        os.close(descriptor)
        return None


def _copy(memory: Memory, mapping: Mapping, descriptor: int) -> None:
    """What of MAPPING can be read; beyond the end of the file nothing can."""
    if not mapping.readable or mapping.offset + mapping.size > _MOST:
        return
    for at in range(0, mapping.size, _PIECE):
        data = memory.read(mapping.start + at, min(_PIECE, mapping.size - at))
        if data is None:
            return
        os.pwrite(descriptor, data, mapping.offset + at)


def _restore_dynamic(memory: Memory, mappings: Sequence[Mapping], descriptor: int) -> None:
    """The dynamic section with its addresses as they are in the file.

    glibc adds the load address to them where it has mapped the section (elf/get-dynamic-info.h, ADJUST_DYN_INFO);
    no size or number in there is as large as where libraries lie.
    """
    first = next(mapping for mapping in mappings if mapping.offset == 0)
    head = memory.read(first.start, _IDENT)
    layout = LAYOUTS.get((head[4], head[5])) if head else None
    if layout is None:
        return
    segments = header_segments(memory, first.start, layout)
    base = next((first.start - s.vaddr for s in segments if s.type == c.PT_LOAD and s.offset == 0), 0)
    end = max(mapping.end for mapping in mappings)
    for segment in segments:
        data = memory.read(base + segment.vaddr, segment.filesz) if segment.filesz <= MAX_DYNAMIC else None
        if segment.type != c.PT_DYNAMIC or base <= 0 or data is None or segment.offset > _MOST:
            continue
        entries = layout.dynamic.iter_unpack(data[: len(data) - len(data) % layout.dynamic.size])
        plain = [(tag, value - base if base <= value < end else value) for tag, value in entries]
        os.pwrite(descriptor, b"".join(layout.dynamic.pack(*entry) for entry in plain), segment.offset)

"""A mapped file put together again out of a process's memory, where its own bytes cannot be had any more.

Of a deleted file the kernel keeps the bytes, and gives them (/proc/PID/map_files) to a privileged caller alone. The
process's own user may read its memory, where the constants are as they were in the file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from linkscope.elf.reader import Reader
from linkscope.errors import LinkScopeError
from linkscope.process.mappings import Mapping
from linkscope.process.procfs import Memory

_PIECE = 1 << 20
_MOST = 1 << 28  # bytes of one file


def from_memory(pid: int, mappings: Sequence[Mapping], path: str) -> Reader | None:
    """An open file that has what MAPPINGS (of one file of process PID) show of it, each at its place; holes are zeros.

    What the loader has changed (relocated data) is as it changed it. None where the memory may not be read, or the
    file's beginning is not mapped.
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

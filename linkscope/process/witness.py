"""The build id in memory, as a second witness where the numbers of a mapped file cannot be had.

On btrfs and overlayfs maps shows other numbers than stat(2), and only root may follow the links in map_files. A file
that was copied up into the upper layer of an overlay has another content than what a process goes on seeing of the
lower one, and the same numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from linkscope.elf import constants as c
from linkscope.elf import notes
from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.elf.segments import LAYOUTS
from linkscope.errors import LinkScopeError
from linkscope.process import procfs
from linkscope.process.contradiction import contradicts
from linkscope.process.disk import Standing
from linkscope.process.image_memory import header_segments, load_addresses
from linkscope.process.mappings import Mapping

_LONGEST_NOTES = 1 << 16


def asked(pid: int, mappings: Sequence[Mapping], standing: Standing) -> Standing:
    """A doubtful STANDING after memory was compared with the file which stands at the path now.

    mappings: all of the one file. The same build id makes it the same file, be it another copy of it.
    """
    if not standing.doubtful or standing.location is None:
        return standing
    try:
        with procfs.Memory(pid) as memory, open_reader(standing.location, standing.path) as reader:
            image = read_image(reader)
            seen, there = build_id(memory, mappings), notes.build_id(reader, image)
            is_same = seen == there if seen and there else None
            if is_same is None and contradicts(memory, None, image, reader, mappings):
                is_same = False
            status = os.stat(standing.location)
    except (LinkScopeError, OSError):
        return standing
    return standing if is_same is None else _settled(standing, is_same, status, mappings)


def _settled(standing: Standing, is_same: bool, status: os.stat_result, mappings: Sequence[Mapping]) -> Standing:
    """The STANDING once it is known whether memory fits the file with this STATUS.

    The device in maps is another one, but the inode's number is right: only a file of another subvolume or layer that
    was mounted over it can have the same.
    """
    settled = msgspec.structs.replace(standing, reason=None, doubtful=False)
    if is_same:
        return msgspec.structs.replace(settled, disk="same", status=status)
    if status.st_ino == mappings[0].identity[1]:
        return msgspec.structs.replace(settled, disk="overwritten", status=status)
    return msgspec.structs.replace(settled, disk="replaced", location=None)


def build_id(memory: procfs.Memory, mappings: Sequence[Mapping]) -> str | None:
    """The build id of the object that these MAPPINGS of one file make up, in hexadecimal; None without one."""
    for owner, kind, descriptor in _notes(memory, mappings):
        if owner == b"GNU" and kind == notes.NT_GNU_BUILD_ID and descriptor:
            return descriptor.hex()
    return None


def _notes(memory: procfs.Memory, mappings: Sequence[Mapping]) -> Iterator[tuple[bytes, int, bytes]]:
    for head in mappings:
        ident = memory.read(head.start, 6) if head.offset == 0 and head.readable else None
        layout = LAYOUTS.get((ident[4], ident[5])) if ident and ident[:4] == b"\x7fELF" else None
        if layout is None:
            continue
        segments = header_segments(memory, head.start, layout)
        areas = [s for s in segments if s.type == c.PT_NOTE and 0 < s.filesz <= _LONGEST_NOTES]
        for base in load_addresses(segments, mappings, layout.word):
            for area in areas:
                data = memory.read(base + area.vaddr & (1 << layout.word * 8) - 1, area.filesz)
                yield from notes.entries(data or b"", layout.order, 8 if area.align == 8 else 4)

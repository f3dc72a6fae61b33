"""/proc/PID/maps and smaps as values: one mapping a line, with the file behind it and what it costs.

Source: proc_pid_maps(5), proc_pid_smaps(5); Linux fs/proc/task_mmu.c, show_map_vma and show_smap.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import msgspec

from linkscope.process import procfs

_LINE = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])([ps]) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)$", re.MULTILINE
)
_DELETED = " (deleted)"
_KIB = 1024
# The rows of smaps that are summed, in the order of the fields of Cost.
_ROWS = (
    b"Rss:",
    b"Pss:",
    b"Shared_Clean:",
    b"Shared_Dirty:",
    b"Private_Clean:",
    b"Private_Dirty:",
    b"Anonymous:",
    b"Swap:",
)
_VALUE = slice(15, -3)  # of a row: "Rss:            %8lu kB" (Linux fs/proc/task_mmu.c, __show_smap)


class Mapping(msgspec.Struct, frozen=True):
    """One line of maps. name: the file's, with ` (deleted)` behind it where maps has that, or `[heap]`, or "".

    The kernel writes a newline in a name as `\\012`, and leaves a backslash as it is: `name` has the newline.
    identity: device and inode as maps shows them, which on btrfs and overlayfs are not those of stat(2).
    """

    start: int
    end: int
    readable: bool
    writable: bool
    executable: bool
    shared: bool
    offset: int
    identity: tuple[int, int]
    name: str

    @property
    def is_file(self) -> bool:
        """Whether a file stands behind it (a memfd and shared anonymous memory are files of the kernel's own)."""
        return self.identity != (0, 0)  # System V shared memory may have the inode 0

    @property
    def size(self) -> int:
        """Bytes of address space."""
        return self.end - self.start

    @property
    def map_file(self) -> str:
        """Its name below /proc/PID: the magic link to the very file that is mapped."""
        return f"map_files/{self.start:x}-{self.end:x}"


class Cost(msgspec.Struct, frozen=True):
    """What smaps says of one mapping, in bytes. anonymous: pages that are no longer (or never were) those of a file."""

    rss: int = 0
    pss: int = 0
    shared_clean: int = 0
    shared_dirty: int = 0
    private_clean: int = 0
    private_dirty: int = 0
    anonymous: int = 0
    swap: int = 0

    def plus(self, other: Cost) -> Cost:
        """The sum of both, row by row."""
        return Cost(
            *[a + b for a, b in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)]
        )


def read_maps(pid: int) -> list[Mapping]:
    """Every mapping, in the order of addresses; [] of a kernel thread or a zombie. Raises as `procfs.read` does."""
    return parse(procfs.read(pid, "maps"))


def parse(data: bytes) -> list[Mapping]:
    """The mappings that DATA, the text of maps or smaps, names."""
    return [_mapping(match) for match in _LINE.finditer(data)]


def _mapping(match: re.Match[bytes]) -> Mapping:
    start, end, r, w, x, s, offset, major, minor, inode, name = match.groups()
    return Mapping(
        int(start, 16),
        int(end, 16),
        r == b"r",
        w == b"w",
        x == b"x",
        s == b"s",
        int(offset, 16),
        (os.makedev(int(major, 16), int(minor, 16)), int(inode)),
        os.fsdecode(name.replace(b"\\012", b"\n")),
    )


def read_smaps(pid: int) -> list[tuple[Mapping, Cost]]:
    """Every mapping with what it costs. Raises as `procfs.read` does."""
    return list(_costs(procfs.read(pid, "smaps")))


def _costs(data: bytes) -> Iterator[tuple[Mapping, Cost]]:
    lines = data.removesuffix(b"\n").split(b"\n")  # a name may hold other ends of line, which are left as they are
    # Rows begin with a capital letter, the line of a mapping with a digit of its address, which has small ones.
    heads = [at for at, line in enumerate(lines) if not line[:1].isupper()]
    layouts: dict[int, list[int]] = {}  # where the rows stand in a block of so many lines
    for head, end in zip(heads, [*heads[1:], len(lines)], strict=False):
        match = _LINE.match(lines[head])
        if match is None:
            continue
        rows = layouts.get(end - head)
        if rows is None:
            rows = layouts[end - head] = _layout(lines[head:end])
        try:
            cost = Cost(*[int(lines[head + row][_VALUE]) * _KIB for row in rows])
        except ValueError:  # the text breaks off within a row
            cost = Cost()
        yield _mapping(match), cost


def _layout(block: list[bytes]) -> list[int]:
    """Where the rows that are summed stand in the lines of one mapping; [] where it does not have them all.

    A kernel writes the same rows for every mapping, in the same order.
    """
    names = [line.split(b" ", 1)[0] for line in block]
    return [names.index(row) for row in _ROWS] if set(_ROWS) <= set(names) else []


def without_mark(name: str) -> str:
    """NAME without the ` (deleted)` that the kernel puts behind the name of an unlinked file.

    A file may really be called so: whoever asks compares inodes (see `disk`).
    """
    return name.removesuffix(_DELETED)

"""What some processes cost together, as /proc says it at this moment: sums, in bytes.

Source: Linux Documentation/filesystems/proc.rst (smaps_rollup, VmPTE). Rss counts a page for every process that has it
mapped, Pss counts it once, in equal parts. smaps_rollup adds up what smaps says of every mapping, and rounds Pss once,
not for each mapping (Linux fs/proc/task_mmu.c, show_smaps_rollup). Huge pages of hugetlbfs are in none of the sums.
Since Linux 5.3 it says what of Pss is anonymous, of files, and shared memory (ABI/testing/procfs-smaps_rollup); smaps
does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from linkscope.errors import ProcessGone
from linkscope.process import procfs
from linkscope.process.family.census import is_dead

_ROW = re.compile(rb"^(Rss|Pss|Pss_Anon|Private_Clean|Private_Dirty): +(\d+) kB$", re.MULTILINE)
_ALWAYS = {b"Rss", b"Pss", b"Private_Clean", b"Private_Dirty"}
_KIB = 1024


class Memory(msgspec.Struct, frozen=True):
    """Bytes. private: of pages that no other process has. page_tables: what the kernel keeps for the mappings.

    anonymous: what of pss is of no file, so that the kernel cannot give it back but by swapping; None before Linux 5.3.
    """

    rss: int = 0
    pss: int = 0
    private: int = 0
    page_tables: int = 0
    anonymous: int | None = 0

    def plus(self, other: Memory) -> Memory:
        """The sum of both; what one of them does not tell has none."""
        told = None not in (self.anonymous, other.anonymous)
        return Memory(
            self.rss + other.rss,
            self.pss + other.pss,
            self.private + other.private,
            self.page_tables + other.page_tables,
            (self.anonymous or 0) + (other.anonymous or 0) if told else None,
        )


def memory_of(pid: int) -> Memory:
    """The memory of a process, also where its first thread has ended. Raises as `procfs.read` does."""
    status = procfs.stat(pid)
    if is_dead(status):
        raise ProcessGone(pid)
    tid = procfs.living_thread(status)
    rows = {name: int(value) * _KIB for name, value in _ROW.findall(procfs.read(tid, "smaps_rollup"))}
    if not rows.keys() >= _ALWAYS:
        raise ProcessGone(pid)
    return Memory(
        rss=rows[b"Rss"],
        pss=rows[b"Pss"],
        private=rows[b"Private_Clean"] + rows[b"Private_Dirty"],
        page_tables=int(procfs.status_fields(tid).get(b"VmPTE", b"0 kB").split()[0]) * _KIB,
        anonymous=rows.get(b"Pss_Anon"),
    )


def memory_of_all(pids: Iterable[int]) -> Memory:
    """The sum over processes; who has ended meanwhile counts nothing. Raises NotPermitted where one may not be read."""
    whole = Memory()
    for pid in pids:
        try:
            whole = whole.plus(memory_of(pid))
        except ProcessGone:
            continue
    return whole


def available() -> int | None:
    """Bytes that may be taken without swapping; None where the kernel does not say. Source: proc_meminfo(5)."""
    try:
        with open(f"{procfs.PROC}/meminfo", "rb") as meminfo:
            match = re.search(rb"^MemAvailable: +(\d+) kB$", meminfo.read(), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) * _KIB if match else None

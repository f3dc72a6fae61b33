"""What some processes cost together, as /proc says it at this moment, in bytes; and what there is to take.

Source: Linux Documentation/filesystems/proc.rst (smaps_rollup, VmPTE). Rss counts a page for every process that has it
mapped, Pss counts it once, in equal parts. smaps_rollup adds up what smaps says of every mapping, and rounds Pss once,
not for each mapping (Linux fs/proc/task_mmu.c, show_smaps_rollup). Huge pages of hugetlbfs are in none of the sums.
Since Linux 5.3 it says what of Pss is anonymous, of files, and shared memory (ABI/testing/procfs-smaps_rollup); smaps
does not. Where there is no smaps_rollup (before Linux 4.14, and gVisor has none), the rows of smaps are added up here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator

import msgspec

from linkscope.errors import NotPermitted, ProcessGone, ProcessUnreadable
from linkscope.process import procfs
from linkscope.process.family.census import is_dead

_ROW = re.compile(rb"^(Rss|Pss|Pss_Anon|Private_Clean|Private_Dirty): +(\d+) kB$", re.MULTILINE)
_ALWAYS = {b"Rss", b"Pss", b"Private_Clean", b"Private_Dirty"}
_KIB = 1024
_CHILDRENS_FAULTS = 8  # in /proc/PID/stat, of the fields behind the name: the eleventh of all (proc_pid_stat(5))
_GROUPS = "/sys/fs/cgroup"


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
    rows: dict[bytes, int] = {}
    for name, value in _ROW.findall(_told_of_memory(pid, tid)):
        rows[name] = rows.get(name, 0) + int(value) * _KIB
    if not rows.keys() >= _ALWAYS:
        raise ProcessGone(pid)
    return Memory(
        rss=rows[b"Rss"],
        pss=rows[b"Pss"],
        private=rows[b"Private_Clean"] + rows[b"Private_Dirty"],
        page_tables=_kibibytes(procfs.status_fields(tid), b"VmPTE"),
        anonymous=rows.get(b"Pss_Anon"),
    )


def _told_of_memory(pid: int, tid: int) -> bytes:
    """The rows of thread TID of process PID, all of them once, or for each mapping.

    A process that starts a program (execve(2)) after the file was opened has another memory then, and the file tells
    of the old one, which is gone (ESRCH): so it is opened again. One that has none after all is about to end.
    """
    trouble: ProcessUnreadable = ProcessGone(pid)
    for name in ("smaps_rollup", "smaps_rollup", "smaps"):
        try:
            return procfs.read(tid, name)
        except (ProcessGone, NotPermitted):
            raise
        except ProcessUnreadable as error:
            trouble = error
    cause = trouble.__cause__
    raise ProcessGone(pid) if isinstance(cause, OSError) and cause.errno == errno.ESRCH else trouble


def memory_of_all(pids: Iterable[int]) -> Memory:
    """The sum over processes; who has ended meanwhile counts nothing. Raises NotPermitted where one may not be read."""
    whole = Memory()
    for pid in pids:
        try:
            whole = whole.plus(memory_of(pid))
        except ProcessGone:
            continue
    return whole


class Past(msgspec.Struct, frozen=True):
    """What is known of the past of a process. peak: bytes, the most that was ever resident (VmHWM, proc_pid_status(5)).

    had_children: whether it has waited for the end of processes that it had started.
    """

    peak: int
    had_children: bool


def past_of(pid: int) -> Past:
    """What /proc still tells of what was. Raises as `procfs.read` does.

    Page faults of children that were waited for are added to those of the parent (proc_pid_stat(5), cminflt), and there
    is no process without one. Of children that it does not wait for (SIGCHLD ignored) nothing is kept.
    """
    status = procfs.status_fields(procfs.living_thread(procfs.stat(pid)))
    fields = procfs.read(pid, "stat").rpartition(b")")[2].split()
    return Past(_kibibytes(status, b"VmHWM"), len(fields) > _CHILDRENS_FAULTS and int(fields[_CHILDRENS_FAULTS]) > 0)


def peak_of_all(pids: Iterable[int]) -> int:
    """The sum of the most that each had; who has ended meanwhile counts nothing. Raises as `memory_of_all` does."""
    whole = 0
    for pid in pids:
        with contextlib.suppress(ProcessGone):
            whole += past_of(pid).peak
    return whole


def _kibibytes(status: dict[bytes, bytes], name: bytes) -> int:
    """One row of /proc/PID/status in bytes; 0 where it is not there."""
    return int(status.get(name, b"0 kB").split()[0]) * _KIB


# --- What there is ----------------------------------------------------------------------------------------------------


def available() -> int | None:
    """Bytes that may be taken without swapping; None where the kernel does not say.

    The least of what the machine has (proc_meminfo(5), MemAvailable) and what is left to the control group of this
    process and to each one above it. In a container that is the group which limits it.
    """
    return min((left for left in (_of_machine(), *_of_groups()) if left is not None), default=None)


def _of_machine() -> int | None:
    found = re.search(rb"^MemAvailable: +(\d+) kB$", _content(f"{procfs.PROC}/meminfo"), re.MULTILINE)
    return int(found[1]) * _KIB if found else None


def _of_groups() -> Iterator[int | None]:
    """What is left to each control group that this process is in. Source: cgroups(7), /proc/PID/cgroup."""
    for line in _content(f"{procfs.PROC}/self/cgroup").splitlines():
        number, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if number == b"0" and not controllers:
            yield from _left_along(_GROUPS, path, ("memory.max", "memory.current", b"inactive_file"))
        elif b"memory" in controllers.split(b","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file")
            yield from _left_along(f"{_GROUPS}/memory", path, names)


def _left_along(mounted: str, path: bytes, names: tuple[str, str, bytes]) -> Iterator[int | None]:
    """What is left to the group at PATH and to all above it; of those that are not to be seen here, nothing."""
    words = [] if b".." in path.split(b"/") else [os.fsdecode(word) for word in path.split(b"/") if word]
    for depth in range(len(words), -1, -1):
        yield _left_in("/".join([mounted, *words[:depth]]), *names)


def _left_in(folder: str, limit: str, usage: str, reclaimable: bytes) -> int | None:
    """What is left to one group; None where it has no limit.

    Pages of files that were not used for a while count as used, and are given back before anything else is refused.
    Source: Linux Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.stat), cgroup-v1/memory.rst.
    """
    most, used = (_content(f"{folder}/{name}").strip() for name in (limit, usage))
    if not (most.isdigit() and used.isdigit()):  # "max", or no such file: the root has none
        return None
    found = re.search(rb"^%s (\d+)$" % reclaimable, _content(f"{folder}/memory.stat"), re.MULTILINE)
    return max(0, int(most) - int(used) + (int(found[1]) if found else 0))


def _content(path: str) -> bytes:
    """What the file holds; nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""

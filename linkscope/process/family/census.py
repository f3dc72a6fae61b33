"""Who descends from whom: every process's /proc/PID/stat in one pass, and the line through one of them.

Source: proc_pid_stat(5). A parent is never younger than its child: a process is adopted by an ancestor only (Linux
kernel/exit.c, find_new_reaper). So a "parent" that started later is somebody else who was given the number again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.model.document import text
from linkscope.model.inspect import Linkage
from linkscope.model.pid import CopyOnWrite, Relative
from linkscope.process import procfs
from linkscope.process.procfs import Stat

_PF_FORKNOEXEC = 0x00000040  # Linux include/linux/sched.h


class Census(msgspec.Struct, frozen=True):
    """All processes that could be seen at one time. children: by their parent, the eldest first, dead ones included."""

    stats: dict[int, Stat]
    children: dict[int, list[Stat]]


class Placed(msgspec.Struct, frozen=True):
    """A member of a family. depth: 0 for the eldest."""

    stat: Stat
    depth: int


class Measured(msgspec.Struct, frozen=True):
    """What a family tree says of a process beyond its stat; whatever cannot be told is None."""

    cmdline: list[str]
    linkage: Linkage | None = None
    role: str | None = None
    orphan: bool | None = None
    pss: int | None = None
    copy_on_write: CopyOnWrite | None = None


def census() -> Census:
    """Every process that can be seen now.

    While the others are read, a parent may end and its children get another: those whose parent is missing are read
    once more.
    """
    stats = dict(_stats(procfs.pids()))
    astray = [child.pid for child in stats.values() if child.ppid and not _is_parent(stats.get(child.ppid), child)]
    for pid in astray:
        del stats[pid]
    stats.update(_stats(iter(astray)))
    return arranged(stats)


def _stats(pids: Iterator[int]) -> Iterator[tuple[int, Stat]]:
    for pid in pids:
        try:
            yield pid, procfs.stat(pid)
        except ProcessUnreadable:
            continue


def arranged(stats: Mapping[int, Stat]) -> Census:
    """The same with each one's children, in the order in which they were started (then of their numbers)."""
    children: dict[int, list[Stat]] = {}
    for child in sorted(stats.values(), key=lambda stat: (stat.starttime, stat.pid)):
        if _is_parent(stats.get(child.ppid), child):
            children.setdefault(child.ppid, []).append(child)
    return Census(dict(stats), children)


def census_with(people: Census, stat: Stat) -> Census:
    """The same where it knows this very process; else one in which it has the place of another with its number."""
    known = people.stats.get(stat.pid)
    if known is not None and known.starttime == stat.starttime:
        return people
    return arranged({**people.stats, stat.pid: stat})


def _is_parent(parent: Stat | None, child: Stat) -> bool:
    return parent is not None and parent.pid != child.pid and parent.starttime <= child.starttime


def parent_of(pid: int, people: Census) -> Stat | None:
    """The parent; None for the first process, and where it cannot be seen (hidepid, another pid namespace)."""
    child = people.stats.get(pid)
    parent = people.stats.get(child.ppid) if child else None
    return parent if child and _is_parent(parent, child) else None


def is_dead(stat: Stat) -> bool:
    """Whether it only waits to be reaped.

    Where the main thread alone has ended, the process is shown as a zombie too, but has threads that run on (Linux
    fs/proc/array.c, do_task_stat takes the state of the leader).
    """
    return stat.state in ("zombie", "dead") and stat.threads <= 1


def is_copy(stat: Stat) -> bool:
    """Whether it has not started a program since it was forked."""
    return bool(stat.flags & _PF_FORKNOEXEC)


def program_of(pid: int) -> tuple[int, int] | None:
    """Device and inode of the file that it runs; None where that may not be seen."""
    try:
        return procfs.identity(pid, "exe")
    except ProcessUnreadable:
        return None


def cmdline_of(pid: int) -> list[str]:
    """Its arguments as they stand in memory; [] where that may not be read, too."""
    try:
        return procfs.cmdline(pid)
    except ProcessUnreadable:
        return []


def children_of(pid: int, people: Census) -> list[int]:
    """Its living children, the eldest first."""
    return [child.pid for child in people.children.get(pid, []) if not is_dead(child)]


def zombies_of(pid: int, people: Census) -> list[int]:
    """Its dead children that it has not waited for, the eldest first."""
    return [child.pid for child in people.children.get(pid, []) if is_dead(child)]


def ancestors_of(pid: int, people: Census) -> list[Stat]:
    """Its parent, that one's parent and so on."""
    found: list[Stat] = []
    parent = parent_of(pid, people)
    while parent is not None and parent not in found:
        found.append(parent)
        parent = parent_of(parent.pid, people)
    return found


def descendants_of(pid: int, people: Census) -> Iterator[tuple[Stat, int]]:
    """Its children, each followed by its own, with their distance from PID: 1 for a child."""
    pending = [(child, 1) for child in reversed(people.children.get(pid, []))]
    seen = {pid}
    while pending:
        stat, distance = pending.pop()
        if stat.pid not in seen:
            seen.add(stat.pid)
            yield stat, distance
            pending += [(child, distance + 1) for child in reversed(people.children.get(stat.pid, []))]


def family_of(pid: int, people: Census) -> list[Placed]:
    """Its ancestors from the eldest on, itself, and its descendants, each below its parent; [] where it is gone."""
    own = people.stats.get(pid)
    if own is None:
        return []
    line = [*reversed(ancestors_of(pid, people)), own]
    depth = len(line) - 1
    below = [Placed(stat, depth + distance) for stat, distance in descendants_of(pid, people)]
    return [Placed(stat, at) for at, stat in enumerate(line)] + below


def relatives(
    members: list[Placed], measure: Callable[[Stat], Measured], booted: float, seen_dead: Mapping[int, float]
) -> list[Relative]:
    """The members as the document has them.

    measure: asked once for each. booted: `procfs.boot_time`. seen_dead: when zombies were first seen as such, by pid;
    of the others it is only known that they cannot be dead for longer than since their start.
    """
    return [_relative(member, measure(member.stat), booted, seen_dead) for member in members]


def _relative(member: Placed, measured: Measured, booted: float, seen_dead: Mapping[int, float]) -> Relative:
    stat = member.stat
    started = procfs.start_time(stat, booted)
    return Relative(
        pid=stat.pid,
        ppid=stat.ppid,
        depth=member.depth,
        name=text(stat.name),
        cmdline=measured.cmdline,
        state=stat.state,
        threads=stat.threads,
        linkage=measured.linkage,
        role=measured.role,
        orphan=measured.orphan,
        pss=measured.pss,
        copy_on_write=measured.copy_on_write,
        started=started,
        since=seen_dead.get(stat.pid, started) if is_dead(stat) else None,
    )

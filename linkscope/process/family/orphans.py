"""Whether a process's parent is the one that forked it, or one that adopted it after that one had ended.

The kernel does not record the first parent. Some adoptions leave a contradiction behind, and are certain; some
parents cannot be told apart from an adopter, and the answer is None; every other parent is taken for the one that
forked. A child subreaper that is not in adopters.toml, has no child that was surely adopted, and whose adopted child
started a program of its own in the same session is not seen to be one: nothing in /proc shows the attribute.

Source: Linux kernel/exit.c (forget_original_parent, find_new_reaper, reparent_leader), kernel/fork.c (copy_process).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.process import procfs
from linkscope.process.family.census import Census, is_copy, parent_of
from linkscope.process.procfs import Stat
from linkscope.process.tables import read_table

# No number of a process has more digits (Linux include/linux/threads.h, PID_MAX_LIMIT).
_NUMBER = re.compile(r"[1-9][0-9]{0,6}")
# proc_pid_stat(5), fields 10 and 12, counted from the state: page faults, of a process those of ended threads too.
_MINFLT, _MAJFLT, _STARTTIME = 7, 9, 19


class Verdict(msgspec.Struct, frozen=True):
    """orphan: None where it cannot be told. reason: one sentence without its full stop."""

    orphan: bool | None
    reason: str


class Adopter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that is known to adopt; source says where its code does so."""

    name: str
    source: str


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    adopter: list[Adopter]


class Entry(msgspec.Struct, frozen=True):
    """Where a parent has a child: the thread that has it, and the youngest of those before it that are younger."""

    thread: int
    after: Stat | None


class Witnesses:
    """What was read for verdicts on one census, each file once; and what was found out about each child."""

    def __init__(self, people: Census) -> None:
        self.people = people
        self.proofs: dict[int, Verdict | None] = {}
        self._entries: dict[int, dict[int, Entry]] = {}
        self._vectors: dict[int, bytes] = {}
        self._first: dict[int, bool] = {}

    def entries(self, pid: int) -> dict[int, Entry]:
        """The children in the lists of the parent's threads; {} where the kernel keeps none for the reader."""
        if pid not in self._entries:
            self._entries[pid] = dict(_entries(pid, self.people))
        return self._entries[pid]

    def vector(self, pid: int) -> bytes:
        """The auxiliary vector; b"" where it cannot be read.

        With the addresses in it, two processes have the same one only where both run since the same execve, one of them
        as a copy (unless address space layout randomization is off).
        """
        if pid not in self._vectors:
            self._vectors[pid] = _read(pid, "auxv")
        return self._vectors[pid]

    def is_first(self, pid: int) -> bool:
        """Whether it is the first process of a pid namespace, to whom all orphans in it go."""
        if pid not in self._first:
            self._first[pid] = pid == 1 or _numbers(pid, b"NSpid")[-1:] == [1]
        return self._first[pid]


def _read(pid: int, name: str) -> bytes:
    try:
        return procfs.read(pid, name)
    except ProcessUnreadable:
        return b""


def _entries(pid: int, people: Census) -> Iterator[tuple[int, Entry]]:
    for thread in _threads(pid):
        youngest: Stat | None = None
        for child in map(int, _read(pid, f"task/{thread}/children").split()):
            stat = people.stats.get(child)
            if stat is None:
                continue
            yield child, Entry(thread, youngest if youngest and youngest.starttime > stat.starttime else None)
            if youngest is None or stat.starttime > youngest.starttime:
                youngest = stat


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in procfs.names_in(pid, "task")]
    except ProcessUnreadable:
        return []


def _numbers(pid: int, row: bytes) -> list[int]:
    """A row of /proc/PID/status with a number for each pid namespace, from the reader's one inwards."""
    try:
        return [int(word) for word in procfs.status_fields(pid).get(row, b"").split()]
    except ProcessUnreadable:
        return []


def verdict(pid: int, witnesses: Witnesses) -> Verdict:
    """Whether process PID of the census is an orphan."""
    child = witnesses.people.stats.get(pid)
    if child is None:
        return Verdict(None, "the process is gone")
    parent = parent_of(pid, witnesses.people)
    if parent is None:
        return _without_parent(child)
    if child.is_kernel_thread or parent.is_kernel_thread:
        return Verdict(False, "the kernel started it")
    return _proof(child, parent, witnesses) or _habit(parent, witnesses)


def _without_parent(child: Stat) -> Verdict:
    if child.ppid:
        return Verdict(None, f"its parent {child.ppid} cannot be seen")
    if child.pid == 1 or child.is_kernel_thread:
        return Verdict(False, "the kernel started it, or it is the first process of its pid namespace")
    return Verdict(None, "its parent lies outside the pid namespace")


Witness = Callable[[Stat, Stat, Witnesses], Verdict | None]


def _proof(child: Stat, parent: Stat, witnesses: Witnesses) -> Verdict | None:
    """What the first witness says that is sure; else the first doubt; None where none has anything to say."""
    if child.pid not in witnesses.proofs:
        witnesses.proofs[child.pid] = _heard(child, parent, witnesses)
    return witnesses.proofs[child.pid]


def _heard(child: Stat, parent: Stat, witnesses: Witnesses) -> Verdict | None:
    # What they read costs more from one to the next.
    rules: tuple[Witness, ...] = (by_session, by_thread, by_manager, by_order, by_program)
    doubt: Verdict | None = None
    for rule in rules:
        found = rule(child, parent, witnesses)
        if found and found.orphan is not None:
            return found
        doubt = doubt or found
    return doubt


def by_session(child: Stat, parent: Stat, witnesses: Witnesses) -> Verdict | None:
    """An orphan where it was born in a session in which its parent has never been.

    A process is in the session of the one that forked it, until it makes its own by setsid(2), which has its own
    number. The number of a session is given to nobody else as long as it has a member (Linux kernel/pid.c).
    """
    session = child.session
    if session in (child.pid, parent.session) or session < 0 or child.state == "dead":
        return None
    never = f"it was born in session {session}, in which its parent {parent.pid} has never been"
    if parent.session != parent.pid:
        return Verdict(True, never)
    # The parent made a session of its own, and may have been in the other one before.
    leader = witnesses.people.stats.get(session)
    if (leader and leader.starttime > parent.starttime) or _is_younger_than_its_namespace(child, parent, witnesses):
        return Verdict(True, never)
    return Verdict(
        None, f"its parent {parent.pid} may have been in session {session}, in which it is, and have left it"
    )


def _is_younger_than_its_namespace(child: Stat, parent: Stat, witnesses: Witnesses) -> bool:
    """Whether the child's session was made inside the pid namespace in which the parent was the first process."""
    if parent.pid == 1:
        return child.session > 0
    if not witnesses.is_first(parent.pid):
        return False
    sessions = _numbers(child.pid, b"NSsid")
    return len(sessions) == len(_numbers(parent.pid, b"NSpid")) and sessions[-1] > 0


def by_thread(child: Stat, parent: Stat, witnesses: Witnesses) -> Verdict | None:
    """No orphan where another thread than the main one has it.

    Orphans go to the first thread of their adopter that lives (kernel/exit.c, find_alive_thread).
    """
    entry = witnesses.entries(parent.pid).get(child.pid)
    if entry is None or entry.thread == parent.pid or parent.state in ("zombie", "dead"):
        return None
    return Verdict(False, f"thread {entry.thread} of its parent {parent.pid} forked it")


def by_manager(child: Stat, parent: Stat, _: Witnesses) -> Verdict | None:
    """Of children of systemd: SYSTEMD_EXEC_PID names the process that it started (systemd.exec(5), since 248).

    A copy of the manager that runs no program of its own has the manager's own variable.
    """
    if parent.name != "systemd":
        return None
    try:
        environment = procfs.environ(child.pid) or {}
    except ProcessUnreadable:
        return None
    started = environment.get("SYSTEMD_EXEC_PID", "")
    if not _NUMBER.fullmatch(started) or int(started) in _own_numbers(parent):
        return None
    if int(started) in _own_numbers(child):
        return Verdict(False, f"the service manager {parent.pid} started it")
    return Verdict(True, f"it descends from process {started}, which the service manager {parent.pid} started")


def _own_numbers(stat: Stat) -> set[int]:
    return {stat.pid, *_numbers(stat.pid, b"NSpid")}


def by_order(child: Stat, parent: Stat, witnesses: Witnesses) -> Verdict | None:
    """An orphan where its parent has it after a child that is younger.

    A child is put at the end of the list of the thread that forked it, and an orphan at the end of its adopter's list.
    The children of a thread that ends are put there too: so the parent may never have lost one.
    """
    entry = witnesses.entries(parent.pid).get(child.pid)
    if entry is None or entry.after is None:
        return None
    if _may_have_lost_a_thread(parent.pid):
        return Verdict(None, f"its parent {parent.pid} got it from another process or from a thread that has ended")
    return Verdict(True, f"its parent {parent.pid} got it after child {entry.after.pid}, which is younger")


def _may_have_lost_a_thread(pid: int) -> bool:
    """Whether the page faults of its threads are not all that the process has had.

    A thread that ends leaves its count to the process (kernel/exit.c, __exit_signal), and has had some: it ran on a new
    stack. The counts have to stand still while they are compared.
    """
    for _ in range(3):
        before = _faults(pid, "stat")
        threads = [_faults(pid, f"task/{thread}/stat") for thread in _threads(pid)]
        if before is not None and before == _faults(pid, "stat") and None not in threads:
            return before != sum(count for count in threads if count is not None)
    return True


def _faults(pid: int, name: str) -> int | None:
    fields = _fields(pid, name)
    return int(fields[_MINFLT]) + int(fields[_MAJFLT]) if fields else None


def _fields(pid: int, name: str) -> list[bytes]:
    """The fields of a stat from the state on; [] where it is gone."""
    fields = _read(pid, name).rpartition(b")")[2].split()
    return fields if len(fields) > _STARTTIME else []


def by_program(child: Stat, parent: Stat, witnesses: Witnesses) -> Verdict | None:
    """An orphan where it has started no program since its fork, and yet runs another one than its parent did then.

    A process that CRIU has restored was never seen to start a program, and is judged wrongly by this.
    """
    if not is_copy(child):
        return None
    own, theirs = witnesses.vector(child.pid), witnesses.vector(parent.pid)
    if not own or not theirs or own == theirs:
        return None
    if _ran_this_before(child, parent, witnesses):
        return Verdict(True, f"it was forked by another program than its parent {parent.pid} ran at that time")
    return Verdict(None, f"another program forked it, which its parent {parent.pid} may have run before")


def _ran_this_before(child: Stat, parent: Stat, witnesses: Witnesses) -> bool:
    """Whether the parent has run its present program since before the child was forked.

    It has if it never started one; if an older child is a copy of it; if an older thread lives, for execve(2) ends all
    but the one that calls it, and that one becomes the main thread.
    """
    if is_copy(parent):
        return True
    theirs = witnesses.vector(parent.pid)
    for other in witnesses.people.children.get(parent.pid, []):
        if other.starttime >= child.starttime:
            break
        if is_copy(other) and witnesses.vector(other.pid) == theirs:
            return True
    return any(
        int(fields[_STARTTIME]) < child.starttime
        for thread in _threads(parent.pid)
        if thread != parent.pid and (fields := _fields(parent.pid, f"task/{thread}/stat"))
    )


def _habit(parent: Stat, witnesses: Witnesses) -> Verdict:
    """What is to be thought of the children of this parent of whom nothing is proven."""
    if witnesses.is_first(parent.pid) or parent.name in _adopters():
        who = "the first process of the pid namespace" if witnesses.is_first(parent.pid) else parent.name
        return Verdict(None, f"its parent {parent.pid} ({who}) adopts orphans, and may have forked it as well")
    for other in witnesses.people.children.get(parent.pid, []):
        found = _proof(other, parent, witnesses)
        if found and found.orphan:
            return Verdict(None, f"its parent {parent.pid} has adopted {other.pid}, and may have adopted it as well")
    return Verdict(False, f"nothing says that its parent {parent.pid} adopts orphans")


@functools.cache
def _adopters() -> frozenset[str]:
    return frozenset(row.name for row in read_table("family/adopters.toml", _Table).adopter)

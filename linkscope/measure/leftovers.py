"""That no process of a run survives it, and none but those of runs is touched.

While something is measured this process is the one to whom orphans of its descendants fall (PR_SET_CHILD_SUBREAPER,
prctl(2)), be they daemons with a session of their own. So whoever is left of a run is a descendant, and sooner or later
a child.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from linkscope.errors import CannotRun, ProcessUnreadable
from linkscope.measure.prctl import become_subreaper, is_subreaper
from linkscope.measure.signals import put_off
from linkscope.process import procfs
from linkscope.process.family.census import is_dead

_PATIENCE = 10.0  # seconds until what was killed must be gone: a large process takes a while, a network drive longer
_PAUSE = 0.0005
_TICKS = os.sysconf("SC_CLK_TCK")


class Left(msgspec.Struct, frozen=True):
    """A process that is left. starttime: clock ticks since the boot; None where the kernel hides that (proc(5),
    hidepid): a child of this process then, whose number is its own until it is waited for.
    """

    pid: int
    name: str
    starttime: int | None


class Leftovers:
    """Who is left of runs. before: children that this process had already, which stay untouched, with their own.

    since: clock ticks since the boot. Who is older is not of a run: when a child of before ends, its own children fall
    to this process, and so does every orphan of a container to its first process.
    """

    def __init__(self, before: frozenset[int], since: int) -> None:
        self._before = before
        self._since = since

    def alive(self) -> list[tuple[str, int]]:
        """Name and number of every process that is left and still runs.

        Costs one system call where nothing is left, and this process has no other children.
        """
        return [(process.name, process.pid) for process in self._descendants()] if has_children() else []

    def end(self) -> list[tuple[str, int]]:
        """End all that is left, whatever it does against it; who that was. Raises CannotRun where one cannot be ended.

        SIGKILL also ends who ignores signals, or is stopped.
        """
        deadline = time.monotonic() + _PATIENCE
        ended: dict[int, str] = {}
        while has_children():
            self._reap()
            left = self._descendants()
            if not left and not self._children():
                break
            refused = [process for process in left if not _kill(process)]
            ended.update((process.pid, process.name) for process in left if process not in refused)
            if (refused and len(refused) == len(left)) or time.monotonic() > deadline:
                who = ", ".join(f"{process.name} ({process.pid})" for process in refused or left)
                raise CannotRun(who, "was left by a run and cannot be ended")
            self._reap()
            time.sleep(_PAUSE)
        return [(name, pid) for pid, name in ended.items()]

    def _children(self) -> list[int]:
        """The children that are of runs, ended or not."""
        mine = [pid for pid in children_of(os.getpid()) if pid not in self._before]
        return [pid for pid in mine if self._is_of_a_run(pid)]

    def _is_of_a_run(self, pid: int) -> bool:
        try:
            return procfs.stat(pid).starttime >= self._since
        except ProcessUnreadable:  # hidden, or put away meanwhile
            return True

    def _descendants(self) -> list[Left]:
        """Whoever is left and has not ended yet: children that were not there before, and theirs; parents first."""
        own = self._children()
        found = []
        waiting = list(own)
        for pid in waiting:
            try:
                process = procfs.stat(pid)
            except ProcessUnreadable:
                if pid in own and _is_running(pid):
                    found.append(Left(pid, "process", None))
                continue
            if not is_dead(process):
                found.append(Left(pid, process.name, process.starttime))
            waiting += children_of(pid)
        return found

    def _reap(self) -> None:
        """Put away those that have ended, as a parent has to."""
        for pid in self._children():
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _now() -> int:
    """Clock ticks since the boot, as the start of a process is told (proc_pid_stat(5), starttime)."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def _is_running(pid: int) -> bool:
    """Whether this child of this process has not ended yet."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _kill(process: Left) -> bool:
    """Kill a process, and with it the group that it leads; false where that is not permitted.

    Killed as a group, they cannot fork away: the kernel does no fork while a signal waits (Linux kernel/fork.c,
    copy_process). The descriptor makes sure that it is still the process that was seen, and not one with its number.
    """
    with suppress(ProcessLookupError, ProcessUnreadable):
        descriptor = os.pidfd_open(process.pid)
        try:
            if process.starttime is None or procfs.stat(process.pid).starttime == process.starttime:
                if os.getpgid(process.pid) == process.pid:
                    os.killpg(process.pid, signal.SIGKILL)
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except PermissionError:
            return False
        finally:
            os.close(descriptor)
    return True


def has_children() -> bool:
    """Whether this process has any child at all, ended or not; one system call (waitid(2), ECHILD)."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children_of(pid: int) -> list[int]:
    """The children of a process, [] where it is gone; also where the kernel keeps no list (CONFIG_PROC_CHILDREN)."""
    if os.path.exists(procfs.path_of(os.getpid(), f"task/{os.getpid()}/children")):
        try:
            return procfs.children(pid)
        except ProcessUnreadable:
            return []
    return [child for child in procfs.pids() if _parent(child) == pid]


def _parent(pid: int) -> int:
    try:
        return procfs.stat(pid).ppid
    except ProcessUnreadable:
        return 0


@contextmanager
def none_left() -> Iterator[Leftovers]:
    """While programs are run: at its end all that they left is ended, whatever the reason is for which it ends.

    Children that this process has at its beginning stay what they are. Within another one, those of the outer are such
    children. Raises CannotRun where the kernel knows no subreaper (before Linux 3.4), or one process cannot be ended.
    """
    before = frozenset(children_of(os.getpid()))
    was = is_subreaper()
    ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    leftovers = Leftovers(before, _now())
    try:
        if ignored:  # inherited: whose children the kernel puts away, has none to wait for (wait(2), ECHILD)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        become_subreaper(True)
        yield leftovers
    finally:
        with put_off():
            try:
                leftovers.end()
            finally:
                become_subreaper(was)
                if ignored:
                    signal.signal(signal.SIGCHLD, signal.SIG_IGN)

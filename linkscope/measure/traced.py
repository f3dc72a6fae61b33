"""One program while it is traced: its threads from the start to the end, where the last of them is held.

Source: ptrace(2); Linux kernel/exit.c (do_exit, do_group_exit), kernel/signal.c (zap_other_threads, ptrace_stop),
fs/exec.c (de_thread).
"""

from __future__ import annotations

import contextlib
import time

from linkscope.errors import ProcessUnreadable
from linkscope.measure import tracing
from linkscope.measure.tracing import Ended, Stopped
from linkscope.model.pid import State
from linkscope.process import procfs

_SIGKILL = 1 << 8  # in a mask of signals
_PF_EXITING = 0x00000004  # Linux include/linux/sched.h
_ASLEEP: set[State] = {"sleeping", "disk-sleep", "stopped"}
_A_WHILE = 0.03  # seconds; the kernel needs microseconds of processor time from one to the other


class Traced:
    """A process that was seized before it started its program, and is looked at again and again until `is_over`.

    A thread stops when it is about to end. It is let go if another one runs on: then it ends alone, or the other waits
    for it (pthread_join(3), execve(2)). It is kept if all are to end, as exit_group(2) and fatal signals have it. The
    others need not stop then: not one that was in exit_group itself (ptrace_stop: a fatal signal waits), and not one
    that was killed out of another stop, in the moment before it was told to go on. But whoever began the end stops.
    """

    __slots__ = (
        "_gone",
        "_leaving",
        "_living",
        "_moved",
        "_strays",
        "_threads",
        "is_held",
        "most",
        "path",
        "pid",
        "started",
        "status",
        "stopped_by",
    )

    def __init__(self, path: str, pid: int) -> None:
        self.path = path
        self.pid = pid
        self.started = False
        self.is_held = False
        self.status = 0
        self.most = 0
        self.stopped_by = 0
        self._threads = {pid}
        self._living = {pid}
        self._leaving: list[int] = []
        self._gone: set[int] = set()
        self._strays: set[int] = set()
        self._moved = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether it is held at its end, or has ended without."""
        return self.is_held or not self._threads

    def look(self) -> bool:
        """Deal with what became of its threads; whether there was anything."""
        moved = False
        for tid in list(self._threads):
            news = tracing.news_of(tid)
            moved = moved or news is not None
            if isinstance(news, Ended):
                self._ended(tid, news.status)
            elif news is not None:
                self._stopped(tid, news)
        for tid in list(self._strays):
            if tracing.news_of(tid) is not None:
                tracing.let_go(tid)
                self._strays.discard(tid)
        if moved:
            self._moved = time.monotonic()
        elif self._threads:
            self._settle()
        return moved

    def let_go(self) -> None:
        """Let those of its threads go on that are kept at their end."""
        for tid in self._leaving:
            tracing.proceed(tid)
        self._leaving.clear()

    def put_away(self) -> bool:
        """Let go of all that stops once more on its way to the end; whether every thread has ended."""
        for tid in list(self._threads):
            news = tracing.news_of(tid)
            if isinstance(news, Ended):
                self._threads.discard(tid)
                self.most = max(self.most, news.most)
            elif news is not None:
                tracing.proceed(tid)
        return not self._threads

    def _ended(self, tid: int, status: int) -> None:
        self._threads.discard(tid)
        self._living.discard(tid)
        self._gone.add(tid)
        if tid in self._leaving:
            self._leaving.remove(tid)
        if tid == self.pid:  # which is told of last
            self.status = status
            self._threads.clear()

    def _stopped(self, tid: int, stop: Stopped) -> None:
        self.stopped_by = 0
        if stop.is_group_stop:
            self.stopped_by = stop.signal
            tracing.stay_stopped(tid)
        elif stop.event == tracing.EXIT and self.started:
            self._living.discard(tid)
            self._leaving.append(tid)
        elif stop.event == 0:
            tracing.proceed(tid, stop.signal)
        else:
            self._grown(tid, stop.event)
            tracing.proceed(tid)

    def _settle(self) -> None:
        """Nothing moves: the process is at its end, or some thread is, and then the others decide."""
        self._meet_threads()
        if not self._leaving:
            return
        states = {tid: _state(tid) for tid in self._living}
        self._living = {tid for tid, state in states.items() if state != "zombie"}
        if not self._living:
            self.is_held = True
            self.status = tracing.message(self._leaving[-1])
        elif self._somebody_runs_on(set(states.values())):
            self.let_go()

    def _somebody_runs_on(self, states: set[State]) -> bool:
        """Whether a thread is neither at its end nor on its way there.

        One that sleeps is not. One that runs may be, unless it has done so for a while.
        """
        return bool(states & _ASLEEP) or ("running" in states and time.monotonic() - self._moved > _A_WHILE)

    def _meet_threads(self) -> None:
        """Learn of threads whose maker was killed before it could tell: an execve(2) waits until they are put away."""
        with contextlib.suppress(ProcessUnreadable):
            new = {int(name) for name in procfs.names_in(self.pid, "task")} - self._threads - self._gone
            self._threads |= new
            self._living |= new

    def _grown(self, tid: int, event: int) -> None:
        if event == tracing.EXEC:  # all other threads are gone, and this one has the first one's number
            self.started = True
            self._threads = {self.pid}
            self._living = {self.pid}
            self._gone.clear()
            self._leaving.clear()
        elif event == tracing.CLONE:
            new = tracing.message(tid)
            if new and _is_thread(new, self.pid):
                self._threads.add(new)
                self._living.add(new)
            elif new:  # a process, whose end is not reported by SIGCHLD
                self._strays.add(new)


def _is_thread(tid: int, pid: int) -> bool:
    try:
        return procfs.leader(tid) == pid
    except ProcessUnreadable:
        return False


def _state(tid: int) -> State:
    """How a thread is: `zombie` where it has ended, `dead` where it is about to (SIGKILL waits, or it has begun)."""
    try:
        stat = procfs.stat(tid)
        doomed = int(procfs.status_fields(tid).get(b"SigPnd", b"0"), 16) & _SIGKILL
    except ProcessUnreadable:
        return "zombie"
    if stat.state in ("zombie", "dead"):
        return "zombie"
    return "dead" if doomed or stat.flags & _PF_EXITING else stat.state

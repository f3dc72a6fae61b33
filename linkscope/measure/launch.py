"""One run of a program from exec to exit: how long it took, what it used, and how it ended.

The clock starts just before posix_spawn(3) and stops when the kernel says that the process has ended (a pidfd becomes
readable in exit_notify, when a blocked wait4(2) would wake as well). So the figure holds the clone, the exec, the
loader, the program, the end of its memory, and the waking of the one who waits: what a caller would wait, and what
`hyperfine --shell=none` calls the time. posix_spawn shares the caller's memory until the exec (CLONE_VM | CLONE_VFORK,
glibc sysdeps/unix/sysv/linux/spawni.c), so that the size of this process costs the program nothing.

A run gets a process group of its own and no session: where the kernel groups sessions for its scheduler
(CONFIG_SCHED_AUTOGROUP), a new one costs a static program of 0.1 ms some 6 % (Linux 6.18, observed). Whether a program
can do without a terminal is what its trial finds out (trial.py).
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import msgspec

from linkscope.errors import CannotRun, NotStarted
from linkscope.measure.command import Command
from linkscope.measure.feeding import aside, fed

# Python ignores these, and what a caller ignores, a program that it starts ignores too (execve(2)).
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_LONGEST = (1 << 31) - 1  # milliseconds: poll(2) takes an int


class Ending(msgspec.Struct, frozen=True):
    """How a process ended: by itself with STATUS, by signal SIGNAL, or both None: it was ended, its time was over."""

    status: int | None = None
    signal: int | None = None

    def is_one_of(self, codes: Collection[int]) -> bool:
        """Whether it ended by itself, with one of the exit CODES."""
        return self.status in codes

    @property
    def is_overdue(self) -> bool:
        """Whether it would have gone on."""
        return self.status is None and self.signal is None


class Sample(msgspec.Struct, frozen=True):
    """What one run took. seconds: from spawn to exit; user, system: of processor time, the children that it waited for
    included (getrusage(2)).

    minor_faults, major_faults: as the kernel accounts them to the process, a few of before the exec and of the exec
    itself among them; counters.py has those of the program alone. ru_maxrss is not here: it begins with the memory that
    the process shared with this one before its exec (Linux fs/exec.c, exec_mmap: setmax_mm_hiwater_rss).
    """

    seconds: float
    user: float
    system: float
    minor_faults: int
    major_faults: int
    ending: Ending


class Prepared:
    """A command with everything that a start needs in the form in which the kernel takes it, so that none of it has to
    be made while the clock runs.

    command: what it was made of.
    """

    __slots__ = ("argv", "command", "environment", "path")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.path = os.fsencode(command.path)
        self.argv = [os.fsencode(word) for word in command.argv]
        self.environment = {os.fsencode(name): os.fsencode(value) for name, value in command.environment}


@contextmanager
def nowhere() -> Iterator[int]:
    """A descriptor of /dev/null, from which a run reads and to which it writes."""
    descriptor = aside(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def spawn(prepared: Prepared, descriptors: tuple[int, int, int]) -> int:
    """The number of a new process that runs it, with DESCRIPTORS as its standard input, output and error.

    It leads a process group. Raises NotStarted, with the error of the exec.
    """
    try:
        return os.posix_spawn(
            prepared.path,
            prepared.argv,
            prepared.environment,
            file_actions=_given(descriptors),
            setpgroup=0,
            setsigmask=(),
            setsigdef=_IGNORED_BY_PYTHON,
        )
    except OSError as error:
        raise NotStarted(prepared.command.path, error) from error


def spawn_apart(prepared: Prepared, descriptors: tuple[int, int, int], terminal: str | None = None) -> int:
    """As `spawn`, but it leads a session, which has no terminal, or that TERMINAL: it writes to it then, and reads the
    first of DESCRIPTORS.

    A leader of a session that has no terminal gets the first one that it opens (tty_ioctl(4), TIOCSCTTY).
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = list(_given(descriptors))
    if terminal is not None:
        opened = (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0)
        actions = [opened, *((os.POSIX_SPAWN_DUP2, 0, place) for place in (1, 2))]
        actions.append((os.POSIX_SPAWN_DUP2, descriptors[0], 0))
    try:
        return os.posix_spawn(
            prepared.path,
            prepared.argv,
            prepared.environment,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=_IGNORED_BY_PYTHON,
        )
    except OSError as error:
        raise NotStarted(prepared.command.path, error) from error


def _given(descriptors: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    return [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(descriptors)]


def watched(pid: int) -> int:
    """A descriptor that becomes readable when the child PID ends (pidfd_open(2)). Raises CannotRun before Linux 5.3."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise CannotRun(
            "processes", f"cannot be waited for by this kernel ({os.strerror(error.errno or 0)})"
        ) from error


def reap(pid: int) -> tuple[Ending, resource.struct_rusage]:
    """How the child PID ended, which it has, or is about to; and what it used."""
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return (Ending(status=code) if code >= 0 else Ending(signal=-code)), usage


def end(pid: int) -> resource.struct_rusage:
    """End the child PID and whoever is left in the group that it leads; what it used. Raises CannotRun."""
    with suppress(ProcessLookupError, PermissionError):  # it has gone to another group; the group is another user's
        os.killpg(pid, signal.SIGKILL)
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError as error:
        raise CannotRun(f"process {pid}", "is another user's now, and cannot be ended") from error
    return reap(pid)[1]


def run(prepared: Prepared, null: int, timeout: float) -> Sample:
    """One run, which reads its command's input, and whose output nobody sees. NULL: see `nowhere`.

    After TIMEOUT seconds it is ended, and so `is_overdue`. What it leaves behind is the caller's to end: leftovers.py.
    Raises NotStarted, and FileUnreadable where the input has gone. An exception out of a signal's handler leaves it
    running, also for leftovers.py.
    """
    with fed(prepared.command.input, null) as source:
        return _run(prepared, (source, null, null), timeout)


def _run(prepared: Prepared, descriptors: tuple[int, int, int], timeout: float) -> Sample:
    milliseconds = min(timeout * 1000, _LONGEST)
    poll = select.poll()
    start = time.monotonic_ns()
    pid = spawn(prepared, descriptors)
    descriptor = watched(pid)
    try:
        poll.register(descriptor, select.POLLIN)
        ended = poll.poll(milliseconds)
        stop = time.monotonic_ns()
    finally:
        os.close(descriptor)
    if ended:
        ending, usage = reap(pid)
    else:
        ending, usage = Ending(), end(pid)
    return Sample(
        seconds=(stop - start) / 1e9,
        user=usage.ru_utime,
        system=usage.ru_stime,
        minor_faults=usage.ru_minflt,
        major_faults=usage.ru_majflt,
        ending=ending,
    )

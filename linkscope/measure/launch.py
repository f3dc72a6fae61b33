"""One run of a program from exec to exit: how long it took, what it used, and how it ended.

The clock starts just before posix_spawn(3) and stops when the kernel says that the process has ended (a pidfd becomes
readable in exit_notify, when a blocked wait4(2) would wake as well). So the figure holds the clone, the exec, the
loader, the program, the end of its memory, and the waking of the one who waits: what a caller would wait, and what
`hyperfine --shell=none` calls the time. posix_spawn shares the caller's memory until the exec (CLONE_VM | CLONE_VFORK,
glibc sysdeps/unix/sysv/linux/spawni.c), so that the size of this process costs the program nothing.

A run gets a process group of its own and no session: where the kernel groups sessions for its scheduler
(CONFIG_SCHED_AUTOGROUP), a new one costs a static program of 0.1 ms some 6 % (Linux 6.18, observed). All runs share the
session of this process, which has no terminal when it measures apart (apart.py). Whether a program can do without one
is what its trial finds out (trial.py).
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Self

import msgspec

from linkscope.errors import CannotRun, NotStarted, OutOfDescriptors
from linkscope.measure.command import Command
from linkscope.measure.feeding import aside, fed
from linkscope.measure.output import Sink, sink

# Python ignores these, and what a caller ignores, a program that it starts ignores too (execve(2)).
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_LONGEST = (1 << 31) - 1  # milliseconds: poll(2) takes an int
_PATIENCE = 10.0  # seconds until who has ended, or was killed, must be put away: a network drive may keep it long
_PAUSE = 0.0005


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


def ending_of(status: int) -> Ending:
    """What STATUS says, of a process that has ended by itself or by a signal (waitpid(2))."""
    code = os.waitstatus_to_exitcode(status)
    return Ending(status=code) if code >= 0 else Ending(signal=-code)


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

    __slots__ = ("argv", "command", "environment", "path", "tally")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.tally = command.tally
        self.path = os.fsencode(command.path)
        self.argv = [os.fsencode(word) for word in command.argv]
        self.environment = {os.fsencode(name): os.fsencode(value) for name, value in command.environment}


class ManyFiles:
    """While this is entered, this process may have as many files open as it could allow itself (RLIMIT_NOFILE).

    most: how many; the hard limit of getrlimit(2).
    """

    def __enter__(self) -> Self:
        self._before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most = self._before[1]
        self._allow(self.most)
        return self

    def __exit__(self, *_: object) -> None:
        self._allow(self._before[0])

    @contextmanager
    def as_before(self) -> Iterator[None]:
        """So many as before, for who is started meanwhile: some close all that they may have, or count on select(2)."""
        self._allow(self._before[0])
        try:
            yield
        finally:
            self._allow(self.most)

    def _allow(self, soft: int) -> None:
        with suppress(OSError, ValueError):  # the system's own limit (fs.nr_open) has been lowered since
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, self.most))


@contextmanager
def nowhere() -> Iterator[int]:
    """A descriptor of /dev/null, from which a run reads and to which it writes, unless its command says otherwise."""
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
        pid = os.posix_spawn(
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
    prepared.tally.starts += 1
    return pid


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
        pid = os.posix_spawn(
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
    prepared.tally.starts += 1
    return pid


def _given(descriptors: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    return [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(descriptors)]


def watched(pid: int) -> int:
    """A descriptor that becomes readable when the child PID ends (pidfd_open(2)).

    Raises CannotRun before Linux 5.3, and OutOfDescriptors.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise OutOfDescriptors from error
        raise CannotRun(
            "processes", f"cannot be waited for by this kernel ({os.strerror(error.errno or 0)})"
        ) from error


def ends_within(poll: select.poll, seconds: float, output: Sink) -> bool:
    """Whether the one process that POLL waits for ends within SECONDS; also after them, while nobody was here to see.

    Who is stopped (SIGSTOP) comes back when all time is over, and has not looked yet. POLL waits for OUTPUT as well
    where that is to be read, and it is emptied meanwhile.
    """
    if output.read is None:
        return bool(poll.poll(min(seconds * 1000, _LONGEST)) or poll.poll(0))
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(min(max(0, left) * 1000, _LONGEST))}
        if ready - {output.read}:
            return True
        if left <= 0:
            return False
        output.empty()


def reap(pid: int) -> tuple[Ending, resource.struct_rusage]:
    """How the child PID ended, which it has, or is about to; and what it used.

    Raises CannotRun where that does not come: a process that is traced belongs to who traces it, and not to its parent,
    after its end as well (ptrace(2)); and one that waits for a disk, or is frozen, is not killed before that is over.
    """
    deadline = time.monotonic() + _PATIENCE
    while not (found := os.wait4(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            why = "cannot be put away after its end: it is traced, or frozen, or waits for a disk"
            raise CannotRun(f"process {pid}", why)
        time.sleep(_PAUSE)
    _, status, usage = found
    return ending_of(status), usage


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
    """One run, which reads its command's input, and whose output goes where the command says. NULL: see `nowhere`.

    After TIMEOUT seconds it is ended, and so `is_overdue`. What it leaves behind is the caller's to end: leftovers.py.
    Raises NotStarted, CannotRun, and FileUnreadable where the input has gone. An exception out of a signal's handler
    leaves it running, also for leftovers.py.
    """
    with fed(prepared.command.input, null) as source, sink(prepared.command.output, null) as output:
        return _run(prepared, (source, output.given, null), timeout, output)


def _run(prepared: Prepared, descriptors: tuple[int, int, int], timeout: float, output: Sink) -> Sample:
    poll = select.poll()
    if output.read is not None:
        poll.register(output.read, select.POLLIN)
    start = time.monotonic_ns()
    pid = spawn(prepared, descriptors)
    descriptor = watched(pid)
    try:
        poll.register(descriptor, select.POLLIN)
        ended = ends_within(poll, timeout, output)
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

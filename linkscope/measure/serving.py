"""Servers while they run: from their start until their port takes a connection, and to their end.

What a server has started is whoever has come to this process meanwhile (`leftovers`), so that a daemon, whose first
process ends at once, is found too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from linkscope.errors import Died, Failed, NotHeld, NotServing, ProcessUnreadable
from linkscope.measure import ports
from linkscope.measure.command import Command
from linkscope.measure.launch import Ending, ManyFiles, Prepared, nowhere, reap, spawn_apart, watched
from linkscope.measure.leftovers import Leftovers, children_of
from linkscope.measure.memory import memory_of_all
from linkscope.measure.observed import last_line
from linkscope.measure.ports import Address, Knock
from linkscope.measure.trial import name_of
from linkscope.process import procfs

_FINE = 0.02  # of the time that it takes: how exactly that is known
_LONGEST = 0.02  # seconds between two tries to connect
_DENSE = 0.001 / _FINE  # seconds from the start for which nothing is waited: poll(2) waits for a millisecond at least
_PAUSE = 0.0002  # seconds between two looks whether they have ended
_LOOK, _ALIKE, _REST = 0.03, 3, 2.0  # seconds between looks, so many of which must be alike, within so many
_PIPE = 1 << 20  # bytes that a server may write to its standard error before anybody reads them
_KEPT = 4096  # bytes of standard error
_FILES, _FILES_BESIDE = 4, 32  # open here: of each server its errors, its end and two tries to connect; of all others


class Manner(msgspec.Struct, frozen=True):
    """How a server is started, and ended. start: by what. addresses: on which it is tried as soon as it has started.

    grace: seconds for which it may go on at its end when it has been asked to end.
    """

    start: Callable[[Prepared, tuple[int, int, int]], int] = spawn_apart
    addresses: tuple[Address, ...] = ports.LOOPBACK
    grace: float = 1.5


_USUAL = Manner()


class _Stage(msgspec.Struct, frozen=True):
    """What all servers of a group are started with. null: of /dev/null. errors: a place for where each is to complain.

    Both are low numbers: posix_spawn(3) takes none that lies above the limit with which it starts a program.
    """

    null: int
    errors: int
    files: ManyFiles


class Running:
    """A server that was started. port: where it should take connections. ending: how it ended, None while it has not.

    Standard input is empty, output is thrown away, and of the errors the end is kept, as `pause` reads it. What can be
    made before it starts, or after it has answered, is not made between: that would be in its time.
    """

    def __init__(self, command: Command, port: int, stage: _Stage, manner: Manner) -> None:
        self.command = command
        self.port = port
        self.ending: Ending | None = None
        self.knocks = [Knock(port, address) for address in manner.addresses]
        self._said = b""
        self._is_silent = False
        self._watched: int | None = None
        prepared = Prepared(ports.told(command, port))
        self._errors, given = _wide_pipe()
        os.dup2(given, stage.errors, inheritable=False)
        os.close(given)
        try:
            with stage.files.as_before():
                self.started = time.monotonic()
                self.pid = manner.start(prepared, (stage.null, stage.null, stage.errors))
        except BaseException:
            self.close()
            raise
        finally:
            os.dup2(stage.null, stage.errors, inheritable=False)  # only the server is to have it

    def pause(self, seconds: float) -> None:
        """Wait so long; what the server writes to its standard error is read meanwhile, and its end is noticed."""
        deadline = time.monotonic() + seconds
        while True:
            self._read()
            self.notice()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            waited = [] if self._is_silent else [self._errors]
            _readable([*waited, *([self._end] if self.ending is None else [])], left)

    def notice(self) -> None:
        """Look whether it has ended."""
        if self.ending is None and _readable([self._end], 0):
            with contextlib.suppress(ChildProcessError):  # `Leftovers.end` was a moment faster
                self.ending = reap(self.pid)[0]
            self.ending = self.ending or Ending()

    def failure(self) -> Failed | Died | NotServing:
        """What to say of a server that has ended and should not have."""
        ending, line = self.ending or Ending(), self._last_line()
        if ending.status:
            return Failed(self.command.path, ending.status, line)
        if ending.signal:
            return Died(self.command.path, ending.signal, name_of(ending.signal), line)
        said = f": {line}" if line else ""
        return NotServing(self.command.path, f"has ended, and takes no connections on port {self.port}{said}")

    @property
    def has_failed(self) -> bool:
        """Whether it has ended, and not as the first process of a daemon does."""
        return self.ending is not None and bool(self.ending.status or self.ending.signal)

    def close(self) -> None:
        """Give back what is open here."""
        os.close(self._errors)
        if self._watched is not None:
            os.close(self._watched)
        for knock in self.knocks:
            knock.close()

    @property
    def _end(self) -> int:
        """A descriptor that becomes readable when it ends. Raises CannotRun."""
        if self._watched is None:
            self._watched = watched(self.pid)
        return self._watched

    def _read(self) -> None:
        """What is there; not what comes meanwhile, which may have no end."""
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self._errors, _PIPE)
            self._said = (self._said + piece)[-_KEPT:]
            self._is_silent = not piece  # nobody can write there any more

    def _last_line(self) -> str:
        self._read()
        return last_line(self._said)


def _wide_pipe() -> tuple[int, int]:
    """A pipe in whose writer's way nobody is while nobody reads; reading does not wait.

    A usual pipe takes 64 KiB, and so does this one where the user has too many of them already (pipe(7)).
    """
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    with contextlib.suppress(OSError):
        fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, _PIPE)
    return reads, writes


def _readable(descriptors: Sequence[int], seconds: float) -> bool:
    """Wait until one of them can be read; whether one can."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class Group:
    """The servers that run at one time, and whoever they have started."""

    def __init__(self, leftovers: Leftovers, manner: Manner) -> None:
        self.servers: list[Running] = []
        self._leftovers = leftovers
        self._grace = manner.grace
        self.ended_in_time = True

    def processes(self) -> list[int]:
        """Everybody who lives, the servers that were started first, in order of their numbers."""
        for server in self.servers:
            server.notice()
        first = [server.pid for server in self.servers]
        alive = {pid for _, pid in self._leftovers.alive()}
        return [pid for pid in first if pid in alive] + sorted(alive - set(first))

    def _eldest(self, processes: Sequence[int]) -> set[int]:
        """Those that were started; of a daemon, whose first process has ended, those that have come in its place."""
        first = {server.pid for server in self.servers if server.ending is None}
        if len(first) == len(self.servers):
            return first
        return first | (set(children_of(os.getpid())) & set(processes))

    def await_ready(self, seconds: float) -> list[float]:
        """Seconds from the start of each server until its port took the first connection, which is closed at once.

        For 50 ms, within which most servers are there, the tries follow each other at once, on the addresses of the
        manner alone; then they come a fiftieth of the time apart that has gone by, 20 ms at most, on every address of
        this machine. Raises Failed, Died and NotServing where that does not happen within SECONDS.
        """
        deadline = time.monotonic() + seconds
        return [_at_once(server) or self._ready(server, deadline, seconds) for server in self.servers]

    def _ready(self, server: Running, deadline: float, seconds: float) -> float:
        while True:
            is_last = time.monotonic() > deadline  # and is tried once more: who was stopped has not tried meanwhile
            connection = ports.connected(server.port)
            took = time.monotonic() - server.started
            if connection is not None:
                connection.close()
                return took
            if is_last:
                raise self._late(server, seconds)
            server.pause(min(_FINE * took, _LONGEST))
            if server.ending is not None and (server.has_failed or not self.processes()):
                raise server.failure()

    def _late(self, server: Running, seconds: float) -> NotServing:
        waits = ports.listening(self.processes())
        others = f"; it waits on {', '.join(f'port {port}' for port in waits)}" if waits else ""
        reason = f"takes no connection on port {server.port} within {seconds:g} s{others}"
        return NotServing(server.command.path, reason)

    def settle(self) -> bool:
        """Wait until neither who is there nor how much memory they have changes any more; whether that came.

        Three looks, 30 ms apart, have to be alike, and nobody computes at the last of them: on a busy machine a server
        may still wait for a processor, to do what it was woken for. Who computes still after 2 s does so always, and
        being alike is enough. Raises what `Running.failure` has where a server ends.
        """
        deadline = time.monotonic() + _REST
        seen: list[tuple[list[int], int]] = []
        while time.monotonic() < deadline or len(seen) < _ALIKE:
            for server in self.servers:
                server.pause(_LOOK / len(self.servers))
            processes = self.processes()
            if not processes:
                raise self.servers[0].failure()
            seen.append((processes, _resident(processes)))
            if _are_alike(seen) and not any(map(_computes, processes)):
                return True
        return _are_alike(seen)

    def end(self) -> None:
        """SIGTERM to each, or to the daemon that it has become, and after a while SIGKILL to whoever has not ended."""
        asked: set[int] = set()
        deadline = time.monotonic() + self._grace
        while (processes := self.processes()) and time.monotonic() < deadline:
            for pid in self._eldest(processes) - asked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
                asked.add(pid)
            time.sleep(_PAUSE)
        self.ended_in_time = not self.processes()
        self._leftovers.end()


def _at_once(server: Running) -> float | None:
    """As `await_ready` has it; None where it takes too long for that."""
    latest = server.started + _DENSE
    while True:
        for knock in server.knocks:
            connection = knock.answered()
            if connection is not None:
                connection.close()
                return knock.at - server.started
        if server.knocks[-1].at > latest:
            return None
        os.sched_yield()  # who shares a processor with the server lets it go first


def _are_alike(looks: Sequence[object]) -> bool:
    """Whether the last ones are."""
    return len(looks) >= _ALIKE and all(one == looks[-1] for one in looks[-_ALIKE:])


def _computes(pid: int) -> bool:
    """Whether any thread of a process runs, or would if there were a processor for it (proc_pid_stat(5), state R)."""
    try:
        return any(procfs.stat(int(thread)).state == "running" for thread in procfs.names_in(pid, "task"))
    except ProcessUnreadable:  # it, or a thread of it, has just gone
        return True


def _resident(processes: Sequence[int]) -> int:
    """Bytes that they have in memory; 0 where that may not be read."""
    try:
        return memory_of_all(processes).rss
    except ProcessUnreadable:
        return 0


@contextlib.contextmanager
def running(command: Command, numbers: Sequence[int], leftovers: Leftovers, manner: Manner = _USUAL) -> Iterator[Group]:
    """A server on each of the ports NUMBERS, until the end of the block. Raises NotStarted, CannotRun.

    Raises NotHeld where these are more than this process may have files open for.
    """
    group = Group(leftovers, manner)
    with nowhere() as null, nowhere() as errors, ManyFiles() as files:
        stage = _Stage(null, errors, files)
        needed = _FILES * len(numbers) + _FILES_BESIDE
        if needed > files.most:
            reason = f"so many take {needed} open files here, and no more than {files.most} are allowed (ulimit -Hn)"
            raise NotHeld(command.path, reason)
        try:
            for port in numbers:
                group.servers.append(Running(command, port, stage, manner))
            yield group
        finally:
            try:
                group.end()
            finally:
                for server in group.servers:
                    server.close()

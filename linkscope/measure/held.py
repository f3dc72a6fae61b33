"""Copies of a program that run at once, each held at the very end of its life, with its memory still there.

A program may be over within a millisecond, and sixteen copies of it are never there at once. So each is stopped by the
kernel as it is about to end (ptrace(2), PTRACE_EVENT_EXIT): its work is done, and nothing of its memory is given back
yet. What it has started itself is not traced, and runs on.

- Of several threads, those that end while others run on are let go; the last one is held (`traced`).
- A program that starts another one (execve(2)) is the same copy, and the other one's end is its end.
- Signals reach it as ever. One that it dies of, or that another thread's exit_group(2) means, stops it in the same way.
- A set-user-id program does not get its rights while it is traced, unless root traces it.
- Whoever waits for another copy's end waits in vain: that one holds its locks and ports as long as it is held.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import time
from collections.abc import Iterator, Sequence
from typing import NoReturn

import msgspec

from linkscope.errors import NotHeld, NotStarted
from linkscope.measure import tracing
from linkscope.measure.command import Command
from linkscope.measure.feeding import aside, fed
from linkscope.measure.launch import Ending, Prepared, ending_of, nowhere
from linkscope.measure.output import Sink, sink
from linkscope.measure.traced import Traced

_SHORTEST, _LONGEST = 0.00005, 0.004  # seconds between two looks
_TOLD = struct.Struct("=ii")  # which copy, and the error of its execve(2)
_GRACE = 2.0  # seconds that the kernel may take to end what was let go


class Late(NotHeld):
    """No copy came to its end in time, and none has stopped."""


class HeldCopy(msgspec.Struct):
    """One copy that is about to end. status: as waitpid(2) will say. most: bytes, once it is let go: see `Ended`.

    The thread that has its memory still need not be its first one: `procfs.living_thread`.
    """

    pid: int
    status: int
    most: int = 0

    @property
    def ending(self) -> Ending:
        """How it ends."""
        return ending_of(self.status)


@contextlib.contextmanager
def held_at_exit(commands: Sequence[Command], seconds: float) -> Iterator[list[HeldCopy]]:
    """All COMMANDS started at once, each held at its end, in their order; at the end of the block they are let go.

    What all write goes where the first of them has its output.

    seconds: that all of them together may take to get there. Each reads its command's input from the start; errors are
    thrown away, and there is no terminal. Raises NotStarted, NotHeld where they do not all come to their end, and Late
    where none does, NotHeld where ptrace is not permitted, and FileUnreadable where the input has gone.
    """
    troupe = _Troupe(commands)
    try:
        troupe.start()
        troupe.until_held(time.monotonic() + seconds)
        held = [HeldCopy(copy.pid, copy.status) for copy in troupe.copies]
        yield held
    finally:
        troupe.end()
    for one, copy in zip(held, troupe.copies, strict=True):
        one.most = copy.most


class _Troupe:
    """The copies that are started together."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = commands
        self._told = -1  # the reading end of the pipe that tells why a program did not start
        self.copies: list[Traced] = []
        self._closed = contextlib.ExitStack()
        self._output = Sink(-1)

    def start(self) -> None:
        """Every copy is made, waits until all are traced, and starts its program. Raises NotHeld."""
        gate, opener = _pipe()
        self._told, teller = _pipe()
        try:
            with nowhere() as null:
                self._output = self._closed.enter_context(sink(self._commands[0].output, null))
                for number, prepared in enumerate([Prepared(command) for command in self._commands]):
                    with fed(prepared.command.input, null) as source:
                        pid = self._fork()
                        if pid == 0:
                            _become(number, prepared, (gate, opener, teller), (source, self._output.given, null))
                        self.copies.append(Traced(prepared.command.path, pid))
                    self._seize(pid)
            os.write(opener, b"." * len(self.copies))
        finally:
            for descriptor in (gate, opener, teller):
                os.close(descriptor)

    def _fork(self) -> int:
        try:
            return os.fork()
        except OSError as error:
            reason = f"only {len(self.copies)} of {len(self._commands)} copies can be made ({error.strerror})"
            raise NotHeld(self._commands[0].path, reason) from error

    def _seize(self, pid: int) -> None:
        try:
            tracing.seize(pid)
        except OSError as error:
            reason = f"its copies cannot be held at their end: ptrace is not permitted here ({error.strerror})"
            raise NotHeld(self._commands[0].path, reason) from error

    def until_held(self, deadline: float) -> None:
        """Wait until every copy is held. Raises NotStarted, NotHeld."""
        pause = _SHORTEST
        while not all(copy.is_over for copy in self.copies):
            if time.monotonic() > deadline:
                raise self._not_in_time()
            moved = [copy.look() for copy in self.copies if not copy.is_over]
            if self._output.empty() or any(moved):
                pause = _SHORTEST
            else:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST)
        self._check()

    def _check(self) -> None:
        """Raise what keeps a copy from being held."""
        for number, copy in enumerate(self.copies):
            if not copy.started:
                raise NotStarted(copy.path, self._told_by(number))
            if not copy.is_held:
                killed = os.WTERMSIG(copy.status)
                raise NotHeld(copy.path, f"a copy was killed before it came to its end (signal {killed})")

    def _told_by(self, number: int) -> OSError:
        told = os.read(self._told, _TOLD.size * len(self.copies))
        return OSError(dict(_TOLD.iter_unpack(told)).get(number, 0), "")

    def _not_in_time(self) -> NotHeld:
        path = self._commands[0].path
        waiting = [copy for copy in self.copies if not copy.is_over]
        stopped = next((copy.stopped_by for copy in waiting if copy.stopped_by), 0)
        if stopped:
            return NotHeld(path, f"a copy has stopped by {signal.Signals(stopped).name}")
        if len(waiting) < len(self.copies):
            reason = (
                f"only {len(self.copies) - len(waiting)} of {len(self.copies)} copies came to their end in time; the "
                "others may wait for what a held one still has (a lock, a port)"
            )
            return NotHeld(path, reason)
        return Late(path, "no copy came to its end in time")

    def end(self) -> None:
        """Let those that are held go on to their end, kill those that are not, and wait for all."""
        for command, copy in zip(self._commands, self.copies, strict=False):
            command.tally.starts += copy.started
            if not copy.is_over:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(copy.pid, signal.SIGKILL)  # which ends every stop
            copy.let_go()
        deadline = time.monotonic() + _GRACE
        while (left := [copy for copy in self.copies if not copy.put_away()]) and time.monotonic() < deadline:
            time.sleep(_SHORTEST * len(left))
        self._closed.close()
        if self._told >= 0:
            os.close(self._told)


def _pipe() -> tuple[int, int]:
    """A pipe that takes no place of a standard descriptor, also where this process has none of these."""
    here, there = os.pipe()
    return aside(here), aside(there)


def _become(
    number: int, prepared: Prepared, pipes: tuple[int, int, int], descriptors: tuple[int, int, int]
) -> NoReturn:
    """What the child does: wait for the gate, and start the program with DESCRIPTORS as its own. Never comes back.

    When this process dies before it opens the gate, its last other end is closed, and the child ends.
    """
    gate, opener, teller = pipes
    try:
        os.close(opener)
        os.setsid()
        for standard, descriptor in enumerate(descriptors):
            os.dup2(descriptor, standard)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and so by the program
            signal.signal(ignored, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if os.read(gate, 1):
            os.execve(prepared.path, prepared.argv, prepared.environment)
    except OSError as error:
        os.write(teller, _TOLD.pack(number, error.errno or 0))
    finally:
        os._exit(127)

"""One run that is watched instead of timed: what it writes, whether it ends, what it waits for where it does not."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Literal

import msgspec

from linkscope.measure import launch
from linkscope.measure.feeding import aside, fed
from linkscope.measure.launch import Ending, Prepared
from linkscope.measure.leftovers import Leftovers

Surroundings = Literal["nothing", "silent-input", "terminal"]

_PIECE = 1 << 16
_KEPT = 4096  # bytes of standard error, of which the last line is shown
_LONGEST_LINE = 200  # characters of it
_LINES_AND_COLUMNS = (24, 80)


class Observed(msgspec.Struct, frozen=True):
    """What a run did. seconds: about; processor: seconds that it computed; output: bytes that it wrote, errors too.

    last_line: of what it wrote to its standard error. ports: on which it waited for connections when its time was over.
    """

    seconds: float
    processor: float
    output: int
    last_line: str
    ending: Ending
    ports: tuple[int, ...] = ()


def observed(
    prepared: Prepared, surroundings: Surroundings, timeout: float, most: int, leftovers: Leftovers
) -> Observed:
    """One run in a session of its own, ended when it takes longer than TIMEOUT, or has written more than MOST bytes.

    surroundings: `nothing`: it has its command's input and no terminal; `silent-input`: an input from which nothing
    comes, and which does not end; `terminal`: it has one, from which it reads if its command has no input. Where
    `output` is more than MOST, `ending` says nothing. Raises NotStarted, and FileUnreadable where the input has gone.
    What it leaves is the caller's to end.
    """
    with _stage(surroundings, prepared.command.input) as stage:
        start = time.monotonic()
        pid = launch.spawn_apart(prepared, stage.given, stage.terminal)
        stage.give_away()
        output = _Output(most)
        is_over = _follow(pid, stage.read, output, start + timeout)
        seconds = time.monotonic() - start
        if is_over:
            ending, usage = launch.reap(pid)
            ports: tuple[int, ...] = ()
        else:
            ports = _ports([pid, *(other for _, other in leftovers.alive())])
            ending, usage = Ending(), launch.end(pid)
        return Observed(
            seconds=seconds,
            processor=usage.ru_utime + usage.ru_stime,
            output=output.size,
            last_line=output.last_line,
            ending=ending,
            ports=ports,
        )


def _follow(pid: int, read: dict[int, bool], output: _Output, deadline: float) -> bool:
    """Read what it writes until it ends, its time is over, or it is too much; whether it has ended."""
    poll = select.poll()
    watched = launch.watched(pid)
    try:
        for descriptor in (watched, *read):
            poll.register(descriptor, select.POLLIN)
        while not output.is_too_much:
            left = deadline - time.monotonic()
            ready = {descriptor for descriptor, _ in poll.poll(max(0, left) * 1000)}
            for descriptor in ready & read.keys():
                if not output.take(descriptor, errors=read[descriptor]):
                    poll.unregister(descriptor)
            # What it wrote before it ended is all there by now; a child of it may go on writing for ever.
            if watched in ready and not ready & read.keys():
                return True
            if left <= 0 and watched not in ready:  # looked at once more: who was stopped has seen nothing meanwhile
                return False
        return False
    finally:
        os.close(watched)


def last_line(said: bytes) -> str:
    """The last line that is not empty of what a program SAID, or the end of it where it is long; "" where none is."""
    lines = [line.strip() for line in os.fsdecode(said).splitlines() if line.strip()]
    return lines[-1][-_LONGEST_LINE:] if lines else ""


class _Output:
    """What a program writes, read as it comes and counted. The end of its errors is kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = 0
        self._end = b""

    @property
    def is_too_much(self) -> bool:
        return self.size > self._most

    @property
    def last_line(self) -> str:
        return last_line(self._end)

    def take(self, descriptor: int, *, errors: bool) -> bool:
        """Read what is there; whether more may come."""
        try:
            piece = os.read(descriptor, _PIECE)
        except OSError:  # EIO: nobody has that terminal any more
            return False
        self.size += len(piece)
        if errors:
            self._end = (self._end + piece)[-_KEPT:]
        return bool(piece)


# --- What it is given -------------------------------------------------------------------------------------------------


class _Stage(msgspec.Struct):
    """given: what becomes its standard descriptors. read: what is read here, and whether it is its standard error.

    away: what only it needs, and is closed here once it has started.
    """

    given: tuple[int, int, int]
    read: dict[int, bool]
    away: list[int]
    terminal: str | None = None

    def give_away(self) -> None:
        """Close what only the program needs."""
        _close(self.away)


@contextmanager
def _stage(surroundings: Surroundings, path: str | None) -> Iterator[_Stage]:
    away: list[int] = []
    with ExitStack() as closed:
        source = closed.enter_context(fed(path, closed.enter_context(launch.nowhere())))
        closed.callback(_close, away)
        if surroundings == "terminal":
            stage = _terminal(closed, away)
            if path is not None:
                stage.given = (source, *stage.given[1:])
        else:
            output, given_output = _pipe(closed, away)
            errors, given_errors = _pipe(closed, away)
            if surroundings == "silent-input":
                silence: list[int] = []
                closed.callback(_close, silence)
                source, _ = _pipe(closed, silence)
            stage = _Stage((source, given_output, given_errors), {output: False, errors: True}, away)
        yield stage


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _pipe(closed: ExitStack, away: list[int]) -> tuple[int, int]:
    """A pipe whose one end is closed with CLOSED; the other one, to write to it, is put to AWAY."""
    reading, writing = map(aside, os.pipe())
    closed.callback(os.close, reading)
    away.append(writing)
    return reading, writing


def _terminal(closed: ExitStack, away: list[int]) -> _Stage:
    """A terminal of usual size. It is open here too, so that it does not hang up before the program opens it.

    Raises OSError where it has no name here, as in a changed root.
    """
    import termios

    here, there = map(aside, os.openpty())
    closed.callback(os.close, here)
    away.append(there)
    with suppress(OSError):
        termios.tcsetwinsize(there, _LINES_AND_COLUMNS)
    return _Stage((there, there, there), {here: True}, away, os.ttyname(there))


def _ports(pids: list[int]) -> tuple[int, ...]:
    """The TCP ports on which one of these processes waits for connections."""
    from linkscope.measure.ports import listening

    return tuple(listening(pids))

"""The run before all others: whether a program can be measured at all, and if not, what stands in the way.

It has a session of its own and so no terminal; its input is empty or a file; its output is read and counted. A program
that fails this way is tried again with what it may have missed: input that does not end, a terminal.
"""

from __future__ import annotations

import errno
import os
import signal
import time

import msgspec

from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.errors import (
    Died,
    Failed,
    Hangs,
    LeavesProcesses,
    LinkScopeError,
    NeedsInput,
    NeedsTerminal,
    NotElf,
    NotStarted,
    RunFailed,
    WritesTooMuch,
)
from linkscope.measure.command import Bounds, Command
from linkscope.measure.launch import Ending, Prepared
from linkscope.measure.leftovers import Leftovers, none_left
from linkscope.measure.observed import Observed, Surroundings, observed

_GRACE = 0.3  # seconds for processes that are about to end as well, as the rest of a pipeline
_GRACE_LATER = 2.0
_PAUSE = 0.005
_PATIENCE = 1.0  # seconds after which a program that failed at once is said to go on
_BUSY = 0.1  # of its time: what computes more does not just wait
_TERMINAL = ("TERM", "xterm")  # for a caller who has none; every terminfo knows it


def trial(command: Command, bounds: Bounds) -> Observed:
    """A run that came to a good end and left nothing behind; its seconds are no measurement.

    Raises the RunFailed that says what happened instead, CannotRun, and FileUnreadable of its input. Nothing of the run
    is left, whatever happens.
    """
    prepared = Prepared(command)
    with none_left() as leftovers:
        try:
            seen = observed(prepared, "nothing", bounds.timeout, bounds.output, leftovers)
        except NotStarted as error:
            raise _explained(error) from error
        left = _left_after_a_moment(leftovers, _GRACE)
        leftovers.end()
        failure = failure_of(command, seen, bounds)
        if failure is not None:
            raise _what_it_missed(prepared, bounds, leftovers, seen) or failure
        if left:
            raise LeavesProcesses(command.path, tuple(left))
        return seen


def failure_of(command: Command, seen: Observed, bounds: Bounds) -> RunFailed | None:
    """What was wrong with how a run ended; None where it came to a good end."""
    if seen.output > bounds.output:
        return WritesTooMuch(command.path, bounds.output)
    if seen.ending.is_overdue:
        return Hangs(command.path, bounds.timeout, _hint(seen))
    return bad_ending(command, seen.ending, seen.last_line)


def bad_ending(command: Command, ending: Ending, last_line: str = "") -> RunFailed | None:
    """What is wrong with how a process ended that was not ended; None of a good end."""
    if ending.signal is not None:
        return Died(command.path, ending.signal, name_of(ending.signal), last_line)
    return None if ending.is_one_of(command.accepted) else Failed(command.path, ending.status or 0, last_line)


def failure_later(command: Command, ending: Ending, timeout: float, leftovers: Leftovers) -> RunFailed | None:
    """What was wrong with a run that ended so, whose program's trial came to a good end; None of a good end.

    It says so, which tells it from a program that never works. Whatever the run has left is ended. It has more time for
    its own end than after a trial: what left nothing there has hardly changed its mind, and a busy machine may be slow.
    Raises CannotRun.
    """
    left = _left_after_a_moment(leftovers, _GRACE_LATER)
    leftovers.end()
    if ending.is_overdue:
        return Hangs(command.path, timeout, "its first run did")
    failure = bad_ending(command, ending) or (LeavesProcesses(command.path, tuple(left)) if left else None)
    return None if failure is None else later(failure)


def later(failure: RunFailed) -> RunFailed:
    """FAILURE, which says that the program has come to a good end before."""
    failure.reason += ", after a first run that ended well"
    return failure


def name_of(number: int) -> str:
    """The name of a signal, such as `SIGSEGV`; real-time ones as signal(7) counts them."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def _hint(seen: Observed) -> str:
    if seen.ports:
        ports = ", ".join(str(port) for port in seen.ports)
        return f"it waits for connections at port {ports}: a server is measured with --serve"
    if seen.processor > _BUSY * seen.seconds:
        return f"it computed for {seen.processor:.1f} s of it: --timeout gives it more"
    return "it waits, and hardly computes; a server is measured with --serve"


def _left_after_a_moment(leftovers: Leftovers, seconds: float) -> list[tuple[str, int]]:
    deadline = time.monotonic() + seconds
    while (left := leftovers.alive()) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    return left


# --- Why it fails -----------------------------------------------------------------------------------------------------


def _what_it_missed(prepared: Prepared, bounds: Bounds, leftovers: Leftovers, seen: Observed) -> RunFailed | None:
    """What a program lacks that failed by itself: it goes on where it has that. None where nothing helps.

    One that waits although its input is open and silent waits for input, unless it was given some. One that comes to a
    good end, or waits, where it has a terminal and not where it has silent input, needs the terminal.
    """
    if seen.output > bounds.output or seen.ending.is_overdue:
        return None
    command = prepared.command
    failure = bad_ending(command, seen.ending, seen.last_line)
    path, why = command.path, failure.reason if failure else ""
    timeout = min(bounds.timeout, 2 * seen.seconds + _PATIENCE)

    def again(surroundings: Surroundings, how: Prepared) -> Observed:
        try:
            return observed(how, surroundings, timeout, bounds.output, leftovers)
        finally:
            leftovers.end()

    if command.input is None and again("silent-input", prepared).ending.is_overdue:
        return NeedsInput(path, why)
    try:
        with_terminal = again("terminal", _for_a_terminal(prepared))
    except OSError:  # no /dev/pts here
        return None
    if with_terminal.ending.is_one_of(command.accepted) or with_terminal.ending.is_overdue:
        return NeedsTerminal(path, why)
    return None


def _for_a_terminal(prepared: Prepared) -> Prepared:
    command = prepared.command
    if any(name == _TERMINAL[0] for name, _ in command.environment):
        return prepared
    return Prepared(msgspec.structs.replace(command, environment=(*command.environment, _TERMINAL)))


def _explained(error: NotStarted) -> NotStarted:
    """With what the kernel does not say: which interpreter is absent, that there is no `#!` line (execve(2))."""
    path, number = error.path, error.errno
    hint = ""
    try:
        with open_reader(path) as reader:
            interpreter = read_image(reader).interpreter
        if number == errno.ENOENT and interpreter and not os.path.exists(interpreter):
            hint = f"its loader {interpreter} is absent"
    except NotElf as script:
        interpreter = (script.script or "").split(" ")[0]
        if number == errno.ENOENT and interpreter and not os.path.exists(interpreter):
            hint = f"its interpreter {interpreter} is absent"
        elif number == errno.ENOEXEC and script.script is None:
            hint = "it is neither ELF nor a script with a #! line"
    except LinkScopeError:
        pass
    if number == errno.EACCES and os.path.isfile(path) and not os.access(path, os.X_OK):
        hint = "the file is not executable"
    return NotStarted(path, OSError(number, ""), hint) if hint else error

"""Work that is done in a process of its own, which is gone when it is done.

What is measured must not depend on who measures. A library that this process has mapped is charged to a program by a
part only (PSS), so that what needs large ones is done apart; and a program that shares a session with a terminal may
write to it, or change how it is set. The process apart has a session of its own and no terminal, and whatever ends this
process ends it as well (PR_SET_PDEATHSIG, prctl(2)), in an orderly way: nobody is left whom it has started.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, TypeVar

from linkscope.errors import CannotRun, LinkScopeError
from linkscope.measure.prctl import end_with_parent
from linkscope.measure.signals import ENDING, put_off

Result = TypeVar("Result")
Hearer = Callable[[str], None]
_LENGTH = struct.Struct("=Q")


def apart(work: Callable[..., Result], *hearers: Hearer) -> Result:
    """What WORK gives, done in a process of its own. It is called with a function for each of the HEARERS, which are
    called here with what it says there.

    The result has to be such as `pickle` takes. Raises what WORK raises, and CannotRun where the process does not come
    to its end. An exception here ends it, and waits until it has tidied up.
    """
    there = None
    try:
        with put_off():
            there = _There(work, len(hearers))
        result: Result = there.result(hearers)
        return result
    except BaseException:
        if there is not None:
            there.interrupt()
        raise
    finally:
        if there is not None:
            there.close()


class _There:
    """The process apart, as it is seen from here."""

    def __init__(self, work: Callable[..., Any], hearers: int) -> None:
        parent = os.getpid()
        reading, writing = os.pipe()
        self._pid: int | None = os.fork()
        if self._pid == 0:
            os.close(reading)
            _live(work, hearers, writing, parent)
        os.close(writing)
        self._pipe = open(reading, "rb")  # noqa: SIM115 - until `close`

    def result(self, hearers: Sequence[Hearer]) -> Any:
        """The result of the work, once it has come; what is said meanwhile is passed on. Raises as `apart` does."""
        while (message := self._received()) is not None:
            kind, value = message
            if kind == "result":
                return value
            if kind == "error":
                raise value
            hearers[kind](value)
        killed = self._ended()
        raise CannotRun(
            "the process that measures", f"was killed by signal {killed}" if killed else "ended before it was done"
        )

    def _received(self) -> tuple[Any, Any] | None:
        """The next message; None where no further one comes."""
        head = self._pipe.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        body = self._pipe.read(length)
        return pickle.loads(body) if len(body) == length else None  # noqa: S301 - our own child wrote it

    def interrupt(self) -> None:
        """Ask it to tidy up and end."""
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)

    def close(self) -> None:
        """Wait for its end, and give back what is open here."""
        self._ended()
        self._pipe.close()

    def _ended(self) -> int:
        """Wait for its end; the signal that killed it, 0 for none."""
        pid, self._pid = self._pid, None
        try:
            status = os.waitpid(pid, 0)[1] if pid is not None else 0
        except ChildProcessError:  # this process ignores the end of children (SIGCHLD): the kernel puts them away
            return 0
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _live(work: Callable[..., Any], hearers: int, writing: int, parent: int) -> NoReturn:
    """The whole life of the process apart. It touches no stream of Python's, which the other one has as well."""

    def say(kind: int | str, value: object) -> None:
        body = pickle.dumps((kind, value))
        left = memoryview(_LENGTH.pack(len(body)) + body)
        while left:
            left = left[os.write(writing, left) :]

    try:
        for number in ENDING:
            signal.signal(number, _interrupted)
        os.setsid()
        end_with_parent(signal.SIGTERM)
        if os.getppid() != parent:  # it ended before that was asked for
            os._exit(1)
        try:
            say("result", work(*[lambda text, number=number: say(number, text) for number in range(hearers)]))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other process has to say it
            if not isinstance(error, LinkScopeError):
                error.add_note("".join(traceback.format_exception(error)))
            say("error", error)
    finally:
        os._exit(1)


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt

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
import time
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
_AGAIN, _PAUSE = 0.1, 0.001  # seconds until it is asked again to end, and between two looks whether it has
_TIDY, _FAILED = 0, 1  # exit codes: of who leaves nobody behind, and of who may


def apart(work: Callable[..., Result], *hearers: Hearer) -> Result:
    """What WORK gives, done in a process of its own. It is called with a function for each of the HEARERS, which are
    called here with what it says there.

    The result has to be such as `pickle` takes. Raises what WORK raises, and CannotRun where the process does not come
    to its end. An exception here ends it, and waits until it has tidied up; of an interrupt nothing is left then, and
    where that is not known it is a CannotRun.
    """
    there = None
    try:
        with put_off():
            there = _There(work, len(hearers))
        result: Result = there.result(hearers)
        return result
    except BaseException as error:
        if there is not None:
            there.interrupt()
            if isinstance(error, KeyboardInterrupt) and not there.is_tidy:
                raise CannotRun("what was run", "may still be there: who should have ended it has failed") from error
        raise
    finally:
        if there is not None:
            there.close()


class _There:
    """The process apart, as it is seen from here."""

    def __init__(self, work: Callable[..., Any], hearers: int) -> None:
        parent = os.getpid()
        reading, writing = os.pipe()
        # Who is asked to end before it can hear that hears it later.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            self._pid: int | None = os.fork()
            if self._pid == 0:
                os.close(reading)
                _live(work, hearers, writing, parent, mask)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writing)
        self._status = _TIDY
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
        """Ask it to tidy up and end, until it has ended.

        It hears that once, and is asked again because Python does not hear of a signal that comes in the moment before
        a system call until that is over, which may wait for long (signal, "Execution of Python signal handlers").
        """
        asked = -_AGAIN
        while self._pid is not None:
            if time.monotonic() - asked >= _AGAIN:
                asked = time.monotonic()
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGTERM)
            time.sleep(_PAUSE)
            self._put_away(os.WNOHANG)

    @property
    def is_tidy(self) -> bool:
        """Whether it has ended after everything else of it had gone."""
        return self._status == _TIDY

    def close(self) -> None:
        """Wait for its end, and give back what is open here."""
        self._ended()
        self._pipe.close()

    def _ended(self) -> int:
        """Wait for its end; the signal that killed it, 0 for none."""
        self._put_away(0)
        return os.WTERMSIG(self._status) if os.WIFSIGNALED(self._status) else 0

    def _put_away(self, options: int) -> None:
        """Take note of its end, if that has come; OPTIONS of waitpid(2) say whether it is waited for."""
        if self._pid is None:
            return
        try:
            ended, status = os.waitpid(self._pid, options)
        except ChildProcessError:  # this process ignores the end of children (SIGCHLD): the kernel puts them away
            self._pid = None
            return
        if ended:
            self._pid, self._status = None, status


def _live(work: Callable[..., Any], hearers: int, writing: int, parent: int, mask: set[int]) -> NoReturn:
    """The whole life of the process apart. It touches no stream of Python's, which the other one has as well.

    mask: the signals that were blocked before those that end it were.
    """

    def say(kind: int | str, value: object) -> None:
        body = pickle.dumps((kind, value))
        left = memoryview(_LENGTH.pack(len(body)) + body)
        while left:
            left = left[os.write(writing, left) :]

    try:
        interrupted = _Interrupted()
        for number in ENDING:
            signal.signal(number, interrupted)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.setsid()
        end_with_parent(signal.SIGTERM)
        if os.getppid() != parent:  # it ended before that was asked for
            os._exit(_FAILED)
        try:
            say("result", work(*[lambda text, number=number: say(number, text) for number in range(hearers)]))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other process has to say it
            if not isinstance(error, LinkScopeError):
                error.add_note("".join(traceback.format_exception(error)))
            say("error", error)
            os._exit(_FAILED)
        os._exit(_TIDY)
    except KeyboardInterrupt:
        os._exit(_TIDY)
    finally:
        os._exit(_FAILED)


class _Interrupted:
    """The handler of signals that end the process apart: what comes after the first one does not disturb its end."""

    _came = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Raises KeyboardInterrupt."""
        if not self._came:
            self._came = True
            raise KeyboardInterrupt

"""What an interrupt (Ctrl-C) does to the program, and from when on; and what else may end or stop it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 5.0  # seconds
_PLAIN = (signal.SIG_DFL, signal.default_int_handler)


class Ended(KeyboardInterrupt):
    """Somebody ends the program by a signal: as an interrupt does, but with that signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Ending:
    """The handler of signals that end the program. number: of the first one, None as long as none came.

    timeout(1) sends its signal twice, a shell SIGHUP as the kernel does: what follows at once must not disturb those
    who tidy up. One that comes later counts again.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._came = 0.0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Raises Ended."""
        now = time.monotonic()
        if self.number is None or now - self._came > _PATIENCE:
            self.number = self.number or number
            self._came = now
            raise Ended(number)


def end_the_process() -> None:
    """An interrupt just ends the process, which a shell reports as 130: right while there is nothing to tidy up.

    Python's own handler would show where in an import it came. Whoever ignores interrupts (nohup) goes on doing so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_an_exception() -> None:
    """An interrupt is a KeyboardInterrupt: other processes are ended, and a terminal gets its cursor back."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def tidied_up() -> Iterator[Ending]:
    """While there is something to tidy up, such as a package on the disk: SIGINT, SIGTERM and SIGHUP raise Ended.

    Also the decorator of a command. Within another such context it is the same one. Who ignores one of these signals
    goes on doing so.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    ending = next((one for one in before.values() if isinstance(one, Ending)), None) or Ending()
    taken = [number for number in _ENDING if before[number] in _PLAIN]
    for number in taken:
        signal.signal(number, ending)
    try:
        yield ending
    finally:
        if ending.number is None:  # else the program ends, and another signal does not count
            for number in taken:
                signal.signal(number, before[number])

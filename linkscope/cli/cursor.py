"""A terminal whose cursor is hidden gets it back, whatever ends or stops the program."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from linkscope.cli.interrupts import Ended
from linkscope.cli.output import OutputFailed

# DECTCEM, as rich writes it (xterm's ctlseqs, "CSI ? Pm h").
_SHOW, _HIDE = b"\x1b[?25h", b"\x1b[?25l"


@contextmanager
def given_back(stream: TextIO) -> Iterator[None]:
    """While something hides the cursor of STREAM's terminal: SIGTERM and SIGHUP raise Ended, as Ctrl-C its exception.

    Ctrl-Z shows it as long as the program is stopped. Who ignores one of these signals (nohup) goes on doing so.
    """
    ended: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        # timeout(1) sends its signal twice, and a shell sends SIGHUP as the kernel does: tidying up goes on.
        signal.signal(number, signal.SIG_IGN)
        ended.append(number)
        raise Ended(number)

    def stop(number: int, _frame: FrameType | None) -> None:
        _send(stream, _SHOW)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        # Here it has been continued.
        signal.signal(number, stop)
        _send(stream, _HIDE)

    handlers = {signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGTSTP: stop}
    taken = [number for number in handlers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, handlers[number])
    try:
        yield
    except (OutputFailed, BrokenPipeError):
        if ended:
            raise Ended(ended[0]) from None  # the terminal has hung up: it needs nothing more
        raise
    finally:
        if not ended:
            for number in taken:
                signal.signal(number, signal.SIG_DFL)


def _send(stream: TextIO, sequence: bytes) -> None:
    with suppress(OSError):
        os.write(stream.fileno(), sequence)

"""A terminal whose cursor is hidden gets it back, whatever ends or stops the program."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from linkscope.cli.interrupts import Ended, tidied_up
from linkscope.cli.output import OutputFailed

# DECTCEM, as rich writes it (xterm's ctlseqs, "CSI ? Pm h").
_SHOW, _HIDE = b"\x1b[?25h", b"\x1b[?25l"


@contextmanager
def given_back(stream: TextIO) -> Iterator[None]:
    """While something hides the cursor of STREAM's terminal: signals that end the program raise Ended.

    Ctrl-Z shows it as long as the program is stopped. Who ignores that signal goes on doing so.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        _send(stream, _SHOW)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        # Here it has been continued.
        signal.signal(number, stop)
        _send(stream, _HIDE)

    taken = signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
    with tidied_up() as ending:
        if taken:
            signal.signal(signal.SIGTSTP, stop)
        try:
            yield
        except BaseException as error:
            # A signal comes between any two steps, also of who hides the cursor and of who shows it again at the end.
            _send(stream, _SHOW)
            if ending.number is not None and isinstance(error, OutputFailed | BrokenPipeError):
                raise Ended(ending.number) from None  # the terminal has hung up: it needs nothing more
            raise
        finally:
            if taken and ending.number is None:
                signal.signal(signal.SIGTSTP, signal.SIG_DFL)


def _send(stream: TextIO, sequence: bytes) -> None:
    with suppress(OSError):
        os.write(stream.fileno(), sequence)

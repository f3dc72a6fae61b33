"""What an interrupt (Ctrl-C) does to the program, and from when on; and what else may end or stop it."""

from __future__ import annotations

import signal


class Ended(KeyboardInterrupt):
    """Somebody ends the program by a signal: as an interrupt does, but with that signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


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

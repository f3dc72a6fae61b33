"""Signals that end this process, while something must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def put_off() -> Iterator[None]:
    """Signals that end this process come at the end of the block; those that it ignores stay ignored.

    Their handlers are replaced, since a mask (pthread_sigmask(3)) is one thread's alone: the kernel gives the signal to
    another thread, and Python runs the handler in this one all the same. Where this is not the main thread, which never
    is interrupted, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    replaced = {number: was for number, was in before.items() if was not in (signal.SIG_IGN, None)}
    for number in replaced:
        signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        for missed in dict.fromkeys(came):
            signal.raise_signal(missed)

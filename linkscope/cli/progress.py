"""How far a long run has come, on standard error, where a person is waiting there and sees nothing else."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from types import FrameType
from typing import TypeVar

from linkscope.cli.interrupts import tidied_up
from linkscope.cli.output import Output
from linkscope.report.escape import escape

Result = TypeVar("Result")
# A sign of life, begun once so many results have come; what it gives is told of each further one.
_Sign = Callable[[int], AbstractContextManager[Callable[[], None]]]
# Whoever waits for less than this (seconds) needs none.
_PATIENCE = 0.7
_BEAT = 0.1  # seconds from one picture to the next
_PICTURES = {True: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", False: "-\\|/"}  # by whether the terminal's encoding has the first
_ERASED = "\r\x1b[2K"  # EL, as rich writes it (xterm's ctlseqs, "CSI Ps K")


def shown(results: Iterable[Result], total: int, output: Output) -> Iterable[Result]:
    """RESULTS as they are; a bar shows how many of TOTAL have come once it takes long."""
    waiting = total > 1 and not output.terminal and _somebody_looks()
    return _counted(results, lambda count: _bar(count, total)) if waiting else results


def waited_for(results: Iterable[Result], what: str) -> Iterable[Result]:
    """RESULTS, which are only shown together, as they are; how many have come is shown once it takes long.

    what: they are, in the plural. How many there will be is not known: processes come and go, and folders are deep.
    For the main thread alone: a timer (SIGALRM) shows it, also while the first one is waited for. With a thread to do
    so the program could not safely divide its work by fork(2).
    """
    moving = _somebody_looks() and os.environ.get("TERM", "dumb") != "dumb"
    return _told_in_time(results, what) if moving else results


def _somebody_looks() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _counted(results: Iterable[Result], sign: _Sign) -> Iterator[Result]:
    start = time.monotonic()
    remaining = iter(results)
    count = 0
    for result in remaining:
        yield result
        count += 1
        if time.monotonic() - start > _PATIENCE:
            break
    else:
        return
    with sign(count) as one_more:
        for result in remaining:
            yield result
            one_more()


@contextmanager
def _bar(count: int, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from linkscope.cli.cursor import given_back

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    with given_back(sys.stderr), progress as bar:
        task = bar.add_task("inspected", total=total, completed=count)
        yield lambda: bar.advance(task)


@contextmanager
def doing() -> Iterator[Callable[[str], None]]:
    """What is told of the work at hand is shown as long as it lasts, if somebody looks."""
    if not _somebody_looks():
        yield lambda _work: None
        return
    from rich.console import Console
    from rich.markup import escape as literal

    from linkscope.cli.cursor import given_back

    with given_back(sys.stderr), Console(stderr=True).status("") as status:
        yield lambda work: status.update(literal(escape(work)))


def _told_in_time(results: Iterable[Result], what: str) -> Iterator[Result]:
    with _Number(what) as number:
        for result in results:
            yield result
            number.count += 1


class _Number:
    """How many of WHAT there are so far, on the last line of the terminal, from when on whoever waits has no patience.

    count: may be set at any time.
    """

    def __init__(self, what: str) -> None:
        self.count = 0
        self._what = what
        self._drawn = 0
        self._pictures = _PICTURES["utf" in (sys.stderr.encoding or "").lower()]
        self._context = ExitStack()

    def __enter__(self) -> _Number:
        self._context.enter_context(tidied_up())  # else the line would stay where a signal ends the program
        self._context.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, self._draw))
        self._context.callback(self._erase)
        self._context.callback(signal.setitimer, signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE, _BEAT)
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def _draw(self, _number: int, _frame: FrameType | None) -> None:
        """The next picture. It comes in the midst of anything, were it that Python's own stream is written to."""
        picture = self._pictures[self._drawn % len(self._pictures)]
        self._drawn += 1
        self._send(f"{_ERASED}{picture} {self.count:,} {self._what}")

    def _erase(self) -> None:
        if self._drawn:
            self._send(_ERASED)

    def _send(self, text: str) -> None:
        with suppress(OSError):  # a terminal that is gone needs no sign
            os.write(sys.stderr.fileno(), text.encode())

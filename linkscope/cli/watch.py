"""Looking again and again: a live view on a terminal, lines of what has changed elsewhere."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

import msgspec

from linkscope.analysis.process import each_process
from linkscope.analysis.request import Looking
from linkscope.analysis.selection import Selection, ordered
from linkscope.cli import exit_codes
from linkscope.cli.cursor import given_back
from linkscope.cli.output import Output, complain, writing
from linkscope.cli.watching import Rounds
from linkscope.model.pid import FamilyTree, Process, ProcessError
from linkscope.report import processes as table
from linkscope.report.changes import Change, changes, changes_in_families, shown, started, zombies
from linkscope.report.family import tree
from linkscope.report.lines import painted
from linkscope.report.moment import Moment
from linkscope.report.page import Page, Span
from linkscope.report.process import live_lines
from linkscope.report.processfacts import is_kernel_thread

Result = Process | FamilyTree | ProcessError
# Lines of a terminal that are left to what has changed, and that a view keeps however small the terminal is.
_FOR_CHANGES, _LEAST = 6, 4


class Subject(ABC):
    """What is watched, how it is drawn, and what counts as a change."""

    @abstractmethod
    def look(self, dead: Mapping[int, float]) -> list[Result]:
        """The answers now. DEAD: when the zombies of the looks before were first seen to be such."""

    @abstractmethod
    def exit_code(self, processes: Sequence[Process]) -> int:
        """What one look alone would end with."""

    @abstractmethod
    def changes(self, before: Sequence[Result], now: Sequence[Result]) -> Iterator[Change]:
        """What happened between two looks."""

    @abstractmethod
    def view(self, results: Sequence[Result], page: Page, moment: Moment) -> Iterator[list[Span]]:
        """What a terminal shows, the most important first: a small one has no room for all of it."""

    @abstractmethod
    def count(self, results: Sequence[Result]) -> int:
        """How many processes are watched."""


class Named(Subject):
    """Processes by their numbers."""

    def __init__(self, pids: Sequence[int], looking: Looking) -> None:
        self._pids = pids
        self._looking = looking

    def look(self, dead: Mapping[int, float]) -> list[Result]:
        """Each of them that still runs."""
        return list(each_process(self._pids, self._looking, dead))

    def exit_code(self, processes: Sequence[Process]) -> int:
        """Whether one of them has to be restarted."""
        return max(map(exit_codes.of_process, processes))

    def changes(self, before: Sequence[Result], now: Sequence[Result]) -> Iterator[Change]:
        """What happened to them, to their objects, and to their relatives."""
        return changes_in_families(before, now)

    def view(self, results: Sequence[Result], page: Page, moment: Moment) -> Iterator[list[Span]]:
        """The report of each, and its family in the place of its objects where that was asked for."""
        between: list[list[Span]] = []
        for result in results:
            yield from between
            if isinstance(result, Process):
                seen = msgspec.structs.replace(result, objects=None) if self._looking.tree else result
                yield from live_lines(seen, page, moment)
            elif isinstance(result, FamilyTree):
                yield from tree(result, page, moment)
            between = [[]]

    def count(self, results: Sequence[Result]) -> int:
        """How many of them run."""
        return sum(isinstance(result, Process) for result in results)


class All(Subject):
    """All processes that a selection takes, in an order; objects: whether they are shown too."""

    def __init__(self, selection: Selection, looking: Looking, order: str, reverse: bool, objects: bool) -> None:
        self._selection = selection
        self._looking = looking
        self._order = order
        self._reverse = reverse
        self._objects = objects

    def exit_code(self, processes: Sequence[Process]) -> int:  # noqa: ARG002 (the signature of all subjects)
        """A table is no judgement."""
        return exit_codes.FINE

    def look(self, dead: Mapping[int, float]) -> list[Result]:
        """Every process but the kernel's own; what may not be read is nobody's news."""
        found = each_process(None, self._looking, dead)
        return [result for result in found if isinstance(result, Process) and not is_kernel_thread(result)]

    def changes(self, before: Sequence[Result], now: Sequence[Result]) -> Iterator[Change]:
        """What happened to those that are, or were, meant: one that is meant only now has not just been started."""
        meant = {one.pid for one in [*self._meant(before), *self._meant(now)]}
        return changes([one for one in before if one.pid in meant], [one for one in now if one.pid in meant])

    def view(self, results: Sequence[Result], page: Page, moment: Moment) -> Iterator[list[Span]]:
        """The table."""
        listed = ordered(self._meant(results), self._order, self._reverse)
        if not self._objects:
            listed = [msgspec.structs.replace(process, objects=None) for process in listed]
        return table.rows(listed, page, moment)

    def count(self, results: Sequence[Result]) -> int:
        """How many are meant."""
        return sum(1 for _ in self._meant(results))

    def _meant(self, results: Sequence[Result]) -> Iterator[Process]:
        return (one for one in results if isinstance(one, Process) and self._selection.takes(one))


class _Look(msgspec.Struct, frozen=True):
    """One look: the answers, when they were true, and what has changed since the last one (None: it is the first)."""

    results: list[Result]
    moment: Moment
    changes: list[Change] | None


def watch(subject: Subject, rounds: Rounds, output: Output) -> int:
    """Looks until ROUNDS are over, nothing is left to look at, or an interrupt comes: the exit code of the last look.

    What could not be analysed at the first look is complained of, and makes the exit code. Later on, a process that
    ends is a change like others.
    """
    # A terminal that cannot move its cursor is written to as a file is.
    live = output.terminal and os.environ.get("TERM", "dumb") != "dumb"
    code = exit_codes.FINE
    with (_on_terminal if live else _in_lines)(subject, rounds, output) as show:
        for look in _looks(subject, rounds):
            processes = [one for one in look.results if isinstance(one, Process)]
            if look.changes is None:
                code = _complaints(look.results)
            if processes or look.changes is not None:
                show(look)
            if not processes:
                return code
            last = subject.exit_code(processes)
    return max(code, last)


def _looks(subject: Subject, rounds: Rounds) -> Iterator[_Look]:
    before: list[Result] | None = None
    dead: dict[int, float] = {}
    for number in count(1):
        now = time.time()
        results = subject.look(dead)
        dead = {pid: dead.get(pid, now) for pid in zombies(results)}
        changed = None if before is None else list(subject.changes(before, results))
        yield _Look(results, Moment(now, dead), changed)
        if number == rounds.count:
            return
        before = results
        _wait(rounds.seconds)


def _wait(seconds: float) -> None:
    """Lets SECONDS pass. Raises BrokenPipeError as soon as the reader of standard output has gone away.

    poll(2): an error of the descriptor is reported whatever is asked for. A signal that comes just before the wait
    begins must not wait for its end (signal.set_wakeup_fd): it writes to a pipe.
    """
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    before = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    try:
        watcher = select.poll()
        watcher.register(sys.stdout.fileno(), 0)
        watcher.register(woken, select.POLLIN)
        if any(descriptor != woken for descriptor, _ in watcher.poll(seconds * 1000)):
            raise BrokenPipeError
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(waking)


def _complaints(results: Iterable[Result]) -> int:
    """Says what could not be analysed: the exit code for that."""
    code = exit_codes.FINE
    for result in results:
        if isinstance(result, ProcessError):
            complain(f"process {result.pid}: {result.error}")
            code = exit_codes.FAILED
    return code


@contextmanager
def _in_lines(subject: Subject, rounds: Rounds, output: Output) -> Iterator[Callable[[_Look], None]]:
    """How a look is shown in a pipe or a file: a line for the first one, then a line for each change."""

    def show(look: _Look) -> None:
        page = output.page()
        if look.changes is None:
            lines = [started(subject.count(look.results), rounds.seconds, look.moment.now)]
        else:
            lines = [shown(change, look.moment.now, page) for change in look.changes]
        output.finish(painted(lines, page))

    yield show


@contextmanager
def _on_terminal(subject: Subject, rounds: Rounds, output: Output) -> Iterator[Callable[[_Look], None]]:
    """How a look is shown on a terminal: the answer, renewed in its place, and above it what has changed so far."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as Output does
    console = Console(file=sys.stdout, force_terminal=True, highlight=False)

    def text(lines: Iterable[list[Span]], page: Page) -> Text:
        return Text.from_ansi(painted(lines, page).removesuffix("\n"), no_wrap=True, overflow="crop")

    def show(look: _Look) -> None:
        page = output.page()
        if look.changes:
            live.console.print(text([shown(change, look.moment.now, page) for change in look.changes], page))
        lines = _cropped(list(subject.view(look.results, page, look.moment)), console.height - _FOR_CHANGES)
        lines += [[], started(subject.count(look.results), rounds.seconds, look.moment.now)]
        live.update(text(lines, page), refresh=True)

    with given_back(sys.stdout), writing(), Live(console=console, auto_refresh=False) as live:
        yield show


def _cropped(lines: list[list[Span]], height: int) -> list[list[Span]]:
    """As many of the first LINES as HEIGHT has room for, and how many more there are."""
    height = max(height, _LEAST)
    if len(lines) <= height:
        return lines
    return [*lines[: height - 1], [(f"… and {len(lines) - height + 1} lines more", "faint")]]

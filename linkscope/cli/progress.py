"""How far a long run has come, on standard error, where a person is waiting there and sees nothing else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from linkscope.cli.output import Output
from linkscope.report.escape import escape

Result = TypeVar("Result")
# A sign of life, begun once so many results have come; what it gives is told of each further one.
_Sign = Callable[[int], AbstractContextManager[Callable[[], None]]]
# Whoever waits for less than this (seconds) needs none.
_PATIENCE = 0.7


def shown(results: Iterable[Result], total: int, output: Output) -> Iterable[Result]:
    """RESULTS as they are; a bar shows how many of TOTAL have come once it takes long."""
    waiting = total > 1 and not output.terminal and _somebody_looks()
    return _counted(results, lambda count: _bar(count, total)) if waiting else results


def waited_for(results: Iterable[Result], what: str) -> Iterable[Result]:
    """RESULTS, which are only shown together, as they are; how many have come is shown once it takes long.

    what: they are, in the plural. How many there will be is not known: processes come and go, and folders are deep.
    """
    return _counted(results, lambda count: _number(count, what)) if _somebody_looks() else results


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


@contextmanager
def _number(count: int, what: str) -> Iterator[Callable[[], None]]:
    from rich.console import Console

    from linkscope.cli.cursor import given_back

    with given_back(sys.stderr), Console(stderr=True).status(f"{count} {what}") as status:

        def one_more() -> None:
            nonlocal count
            count += 1
            status.update(f"{count} {what}")

        yield one_more

"""How far a long run has come, on standard error, where a person is waiting there and sees nothing else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from linkscope.cli.output import Output

if TYPE_CHECKING:
    from rich.progress import Progress

Result = TypeVar("Result")
# Whoever waits for less than this (seconds) needs no bar.
_PATIENCE = 1.0


def shown(results: Iterable[Result], total: int, output: Output) -> Iterable[Result]:
    """RESULTS as they are; a bar shows how many of TOTAL have come once it takes long."""
    waiting = total > 1 and not output.terminal and sys.stderr is not None and sys.stderr.isatty()
    return _counted(results, total) if waiting else results


def _counted(results: Iterable[Result], total: int) -> Iterator[Result]:
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
    with _bar() as bar:
        task = bar.add_task("inspected", total=total, completed=count)
        for result in remaining:
            yield result
            bar.advance(task)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)

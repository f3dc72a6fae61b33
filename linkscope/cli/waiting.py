"""A sign of life on standard error while answers are gathered that are only shown together."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Result = TypeVar("Result")
# Whoever waits for less than this (seconds) needs no sign.
_PATIENCE = 0.5


def waited_for(results: Iterable[Result]) -> Iterable[Result]:
    """RESULTS as they are; where somebody waits in front of a terminal, it shows how many have come once it takes long.

    How many there will be is not known: processes come and go.
    """
    return _counted(results) if sys.stderr is not None and sys.stderr.isatty() else results


def _counted(results: Iterable[Result]) -> Iterator[Result]:
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
    from rich.console import Console

    with Console(stderr=True).status(f"{count} processes") as status:
        for result in remaining:
            yield result
            count += 1
            status.update(f"{count} processes")

"""The options of a live view, `--watch` and `--count`, each written once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
SECONDS = 2.0
"""Between two looks, where nobody says."""
_LEAST, _MOST = 0.1, 3600.0


class Rounds(msgspec.Struct, frozen=True):
    """How often to look: every so many seconds, and how many times (None: until an interrupt)."""

    seconds: float
    count: int | None


def watching(command: Decorated) -> Decorated:
    """Adds --watch and --count; the command gets them as `every` (None: not asked for) and `count`."""
    watch = click.option(
        "--watch",
        "every",
        metavar="[SECONDS]",
        type=click.FloatRange(_LEAST, None),
        is_flag=False,
        flag_value=SECONDS,
        help=f"Look again every SECONDS ({SECONDS:g} unless given), and report what comes and goes.",
    )
    count = click.option("--count", metavar="N", type=click.IntRange(1), help="With --watch, end after N looks.")
    return watch(count(command))


def rounds(every: float | None, count: int | None, form: str) -> Rounds | None:
    """What --watch and --count ask for; None: one look. Raises click.UsageError where they do not go together."""
    if every is None:
        if count is not None:
            raise click.UsageError("--count goes with --watch.")
        return None
    if form != "text":
        raise click.UsageError("--watch shows text; to look again as JSON, run the command again.")
    if not math.isfinite(every):
        raise click.UsageError(f"--watch takes a number of seconds; {every:g} is none.")
    if every > _MOST:
        raise click.UsageError(f"--watch takes at most {_MOST:g} seconds; was {every:g} meant to be a process?")
    return Rounds(every, count)

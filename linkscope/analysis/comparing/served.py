"""Servers that are compared: until they take connections, and what they cost in memory while they serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from linkscope.analysis.request import Running
from linkscope.errors import RunFailed
from linkscope.measure.command import Bounds, Command
from linkscope.measure.pagecache import read_anew
from linkscope.measure.servers import Served, serve
from linkscope.measure.spread import spread
from linkscope.model.compare import Program, ProgramRun

Told = Callable[[str], None]
# Servers are started one after the other and not in turn, so that what the machine does meanwhile is not common to all.
_DRIFT = 1.1


class ServedAll(msgspec.Struct, frozen=True):
    """What was measured of servers, by their numbers: each has either a run, and the times of its starts, or a failure.

    starts: seconds until it took a connection, of every start. notes: what could not be measured, and why.
    rounds, warm_ups: in how many all were started in turn.
    """

    runs: dict[int, ProgramRun]
    starts: dict[int, list[float]]
    failures: dict[int, RunFailed]
    notes: list[str]
    rounds: int = 0
    warm_ups: int = 0


def serve_all(programs: Sequence[Program], commands: Sequence[Command], running: Running, told: Told) -> ServedAll:
    """PROGRAMS, which are started with COMMANDS, as servers. Raises CannotRun.

    told: is called with what is being done.
    """
    found = ServedAll({}, {}, {}, [])
    for number, (program, command) in enumerate(zip(programs, commands, strict=True)):
        told(f"{program.path}: serves, with {running.connections[-1]} connections at most")
        read_anew(command.path)
        try:
            one = serve(
                command, running.serve or None, running.connections, Bounds(timeout=running.timeout), running.copies
            )
        except RunFailed as failure:
            found.failures[number] = failure
            continue
        found.notes.extend(f"{program.path}: {note}" for note in one.notes)
        found.starts[number] = one.ready
        found.runs[number] = _run(one)
    return found


def ready_later(mine: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether starts of two servers take truly different times."""
    first, second = sorted((spread(mine), spread(theirs)), key=lambda each: each.median)
    return first.high * _DRIFT < second.low


def _run(served: Served) -> ProgramRun:
    return ProgramRun(
        seconds=None,
        user=None,
        system=None,
        minor_faults=None,
        major_faults=None,
        instructions=None,
        peak_rss=None,
        copies=served.copies,
        one_more_copy=served.one_more_copy,
        memory_noise=served.noise,
        server=served.server,
    )

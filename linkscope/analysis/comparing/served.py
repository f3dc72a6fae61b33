"""Servers that are compared: until they take connections, in turn, and what each costs in memory while it serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from linkscope.analysis.comparing.found import Found
from linkscope.analysis.request import Running
from linkscope.errors import RunFailed
from linkscope.measure.command import Bounds, Command
from linkscope.measure.servers import Served, serve_in_turn
from linkscope.measure.spread import FEWEST, spread
from linkscope.measure.starts import start_rounds
from linkscope.model.compare import Program, ProgramRun, Spread

Told = Callable[[str], None]


def serve_all(programs: Sequence[Program], commands: Sequence[Command], running: Running, told: Told) -> Found:
    """PROGRAMS, which are started with COMMANDS, as servers. Raises PortTaken, CannotRun.

    told: is called with what is being done.
    """
    port, bounds = running.serve or None, Bounds(timeout=running.timeout)
    told("a round to warm up: each is started")
    started = start_rounds(
        commands, port, bounds, running.rounds, progress=lambda done: told(f"round {done + 1}: each is started")
    )
    found = Found(rounds=started.rounds, warm_ups=started.warm_ups)
    if any(one.failure is None for one in started.servers) and started.rounds < FEWEST:
        few = "one round is" if started.rounds == 1 else f"{started.rounds} rounds are"
        found.notes.append(f"{few} too few to call a server faster: that takes {FEWEST}")
    found.reasons = {number: one.failure.reason for number, one in enumerate(started.servers) if one.failure}
    numbers = [number for number in range(len(commands)) if number not in found.reasons]

    def progress(place: int) -> None:
        path = programs[numbers[place]].path
        told(f"{path}: memory while it serves, connections open: {running.connections[-1]} at most")

    all_served = serve_in_turn(
        [commands[number] for number in numbers],
        port,
        running.connections,
        bounds,
        running.copies,
        progress=progress,
    )
    for number, served in zip(numbers, all_served, strict=True):
        if isinstance(served, RunFailed):
            found.reasons[number] = served.reason
            continue
        path = programs[number].path
        found.notes.extend(f"{path}: {note}" for note in served.notes)
        found.samples[number] = started.servers[number].seconds
        found.memory[number] = served.samples
        found.connected[number] = served.connected
        found.runs[number] = _run(served, spread(started.servers[number].seconds))
    return found


def _run(served: Served, ready: Spread) -> ProgramRun:
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
        server=msgspec.structs.replace(served.server, ready=ready.median, ready_spread=ready),
    )

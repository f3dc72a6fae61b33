"""The programs that are compared, started and measured: what is in the document of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from linkscope.analysis.comparing.found import Found
from linkscope.analysis.comparing.ran import run_all
from linkscope.analysis.comparing.served import serve_all
from linkscope.analysis.inspect import error_of
from linkscope.analysis.request import Running
from linkscope.measure import conditions
from linkscope.measure.command import Command
from linkscope.measure.heavier import heavier, paired
from linkscope.measure.servers import one_more_connection
from linkscope.measure.spread import Difference, differ
from linkscope.model.compare import Measurement, Program
from linkscope.model.document import AnalysisError, text

Told = Callable[[str], None]


class Measured(msgspec.Struct, frozen=True):
    """programs: with their runs, in their order; without one where it failed, and stands among the errors.

    samples: by number, what the starts of a program took, in seconds and in the order of the rounds: of a program from
    start to end, of a server until it took a connection. memory: by number, bytes of PSS by how many copies were there
    at once, in the order of the rounds; connected: of servers, by how many connections were open.
    """

    programs: list[Program]
    measurement: Measurement
    errors: list[AnalysisError]
    samples: dict[int, list[float]]
    memory: dict[int, dict[int, list[int]]] = msgspec.field(default_factory=dict)
    connected: dict[int, dict[int, list[int]]] = msgspec.field(default_factory=dict)

    def starts(self, one: int, other: int) -> Difference:
        """How the times of the program at place ONE compare with those at OTHER, of the same rounds."""
        return differ(*(self.samples.get(place, []) for place in (one, other)))

    def heavier(self, one: int, other: int, count: int) -> Difference:
        """How the memory of COUNT copies of the program at place ONE compares with that of the one at OTHER."""
        return heavier(self.memory.get(one, {}), self.memory.get(other, {}), count)

    def serving(self, one: int, other: int) -> Difference:
        """How the memory of one server compares with that of the other, while the most connections are open."""
        mine, theirs = (self.connected.get(place, {}) for place in (one, other))
        most = max(mine.keys() & theirs.keys(), default=0)
        return paired(mine.get(most, ()), theirs.get(most, ()))

    def connection(self, one: int, other: int) -> Difference:
        """How the memory that one more connection costs of the one compares with that of the other."""
        mine, theirs = (one_more_connection(self.connected.get(place, {})) for place in (one, other))
        return paired(mine, theirs)


def measured(
    programs: Sequence[Program], paths: Sequence[str], running: Running, variables: Mapping[str, str], told: Told
) -> Measured:
    """PROGRAMS, which lie at PATHS, as they run with the environment VARIABLES. Raises CannotRun, and FileUnreadable.

    told: is called with what is being done. One that cannot be measured is an error, and the others go on.
    """
    environment = tuple(variables.items())
    commands = [
        Command(path, running.arguments, environment, running.input, running.accepted, running.output) for path in paths
    ]
    disturbances = list(conditions.disturbances())
    held = conditions.Held()
    found = (run_all if running.serve is None else serve_all)(programs, commands, running, told)
    return Measured(
        programs=[
            msgspec.structs.replace(program, run=found.runs.get(number)) for number, program in enumerate(programs)
        ],
        measurement=_measurement(commands, running, found, [*disturbances, *held.said(), *found.notes]),
        errors=[error_of(paths[number], reason) for number, reason in found.reasons.items()],
        samples=found.samples,
        memory=found.memory,
        connected=found.connected,
    )


def _measurement(commands: Sequence[Command], running: Running, found: Found, notes: Sequence[str]) -> Measurement:
    """What was asked for, and what of it was done how often; NOTES on it."""
    return Measurement(
        arguments=[text(word) for word in running.arguments],
        input=None if running.input is None else text(running.input),
        output=running.output,
        accepted=list(running.accepted),
        rounds=found.rounds,
        warm_ups=found.warm_ups,
        starts=max((command.tally.starts for command in commands), default=0),
        copies=list(running.copies),
        timeout=running.timeout,
        overhead=found.overhead,
        kernel=conditions.kernel(),
        cpu=text(conditions.processor()),
        notes=list(dict.fromkeys(notes)),
    )

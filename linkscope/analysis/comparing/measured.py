"""The programs that are compared, started and measured one after the other and in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

import msgspec

from linkscope.analysis.comparing.served import serve_all
from linkscope.analysis.inspect import error_of
from linkscope.analysis.request import Running
from linkscope.errors import Hangs, NotHeld, ProcessUnreadable, RunFailed
from linkscope.measure import conditions
from linkscope.measure.command import Bounds, Command
from linkscope.measure.copies import copies
from linkscope.measure.counters import counts
from linkscope.measure.overhead import overhead
from linkscope.measure.peak import peak_rss
from linkscope.measure.rounds import Runs, run_rounds
from linkscope.measure.spread import FEWEST, differ, spread
from linkscope.measure.trial import trial
from linkscope.model.compare import Copies, Measurement, Program, ProgramRun
from linkscope.model.document import AnalysisError, text
from linkscope.model.quantities import size

Told = Callable[[str], None]
_FAR_MORE, _NOTABLE = 1.5, 1 << 20  # times the memory at the end, and bytes more: what is worth a note


class Measured(msgspec.Struct, frozen=True):
    """programs: with their runs, in their order; without one where it failed, and stands among the errors.

    samples: by number, what the starts of a program took, in seconds and in the order of the rounds: of a program from
    start to end, of a server until it took a connection.
    """

    programs: list[Program]
    measurement: Measurement
    errors: list[AnalysisError]
    samples: dict[int, list[float]]

    def slower(self, one: Program, other: Program) -> bool:
        """Whether the starts of two of these programs take truly different times: the runs of a round belong together.

        Which they are say the objects and not their paths: one may be named twice, and what is no UTF-8 looks alike.
        """
        mine, theirs = (self._starts(program) for program in (one, other))
        return differ(mine, theirs).is_real

    def _starts(self, program: Program) -> list[float]:
        return next((self.samples.get(number, []) for number, one in enumerate(self.programs) if one is program), [])


def measured(
    programs: Sequence[Program], paths: Sequence[str], running: Running, variables: Mapping[str, str], told: Told
) -> Measured:
    """PROGRAMS, which lie at PATHS, as they run with the environment VARIABLES. Raises CannotRun.

    told: is called with what is being done. One that cannot be measured is an error, and the others go on.
    """
    notes = list(conditions.disturbances())
    measuring = _Measuring(running, told)
    commands = [Command(path, running.arguments, tuple(variables.items())) for path in paths]
    if running.serve is None:
        measuring.run(programs, commands)
    else:
        measuring.serve(programs, commands)
    measurement = Measurement(
        arguments=[text(word) for word in running.arguments],
        rounds=measuring.rounds,
        warm_ups=measuring.warm_ups,
        copies=list(running.copies),
        timeout=running.timeout,
        overhead=measuring.overhead,
        kernel=conditions.kernel(),
        cpu=text(conditions.processor()),
        notes=list(dict.fromkeys([*notes, *measuring.notes])),
    )
    with_runs = [
        msgspec.structs.replace(program, run=measuring.runs.get(number)) for number, program in enumerate(programs)
    ]
    return Measured(with_runs, measurement, measuring.errors, measuring.samples)


class _Measuring:
    """One call of `measured`, and what it has found so far."""

    def __init__(self, running: Running, told: Told) -> None:
        self._running = running
        self._bounds = Bounds(timeout=running.timeout)
        self._told = told
        self.runs: dict[int, ProgramRun] = {}
        self.samples: dict[int, list[float]] = {}
        self.errors: list[AnalysisError] = []
        self.notes: list[str] = []
        self.rounds = self.warm_ups = 0
        self.overhead: float | None = None

    def serve(self, programs: Sequence[Program], commands: Sequence[Command]) -> None:
        """Servers: all in turn until they take connections, then each for itself."""
        found = serve_all(programs, commands, self._running, self._told)
        self.runs, self.samples = found.runs, found.starts
        self.rounds, self.warm_ups = found.rounds, found.warm_ups
        self.notes += found.notes
        for number, failure in found.failures.items():
            self._failed(commands[number], failure)

    def run(self, programs: Sequence[Program], commands: Sequence[Command]) -> None:
        """Programs that end by themselves: each tried first, then all in turn, then what has runs of its own."""
        ready = [number for number, command in enumerate(commands) if self._is_fit(programs[number], command)]
        found = run_rounds(
            [commands[number] for number in ready],
            self._bounds,
            self._running.rounds,
            progress=lambda done: self._told(f"round {done + 1}"),
        )
        self.rounds, self.warm_ups = found.rounds, found.warm_ups
        if any(runs.failure is None for runs in found.programs) and found.rounds < FEWEST:
            self.notes.append(f"{found.rounds} rounds are too few to call a program faster: that takes {FEWEST}")
        for number, runs in zip(ready, found.programs, strict=True):
            program, command = programs[number], commands[number]
            self._told(f"{program.path}: memory of {self._running.copies[-1]} copies at most")
            try:
                if runs.failure is not None:
                    raise runs.failure
                self.samples[number] = runs.seconds
                self.runs[number] = self._of(program, command, runs)
            except RunFailed as failure:
                self._failed(command, failure, later=True)
        self._measure_overhead(commands)

    def _measure_overhead(self, commands: Sequence[Command]) -> None:
        """By the quickest program, whose own time varies least."""
        if self.runs:
            quickest = min(self.runs, key=lambda number: median(self.samples[number]))
            try:
                self.overhead = overhead(commands[quickest], self._bounds)
            except RunFailed as failure:  # it ran well until now
                self.notes.append(f"what measuring adds is not told: {failure.path} {failure.reason}")

    def _is_fit(self, program: Program, command: Command) -> bool:
        self._told(f"{program.path}: a first run")
        try:
            trial(command, self._bounds)
        except RunFailed as failure:
            self._failed(command, failure)
            return False
        return True

    def _of(self, program: Program, command: Command, runs: Runs) -> ProgramRun:
        """What several kinds of runs say of one program. Raises RunFailed and CannotRun."""
        counted = counts(command, self._bounds)
        memory = copies(command, self._running.copies, self._bounds)
        peak = self._peak(program, command)
        self.notes += counted.notes
        self._note(program, [*memory.notes, *_given_back(memory.copies, peak)])
        return ProgramRun(
            seconds=spread(runs.seconds),
            user=median(sample.user for sample in runs.samples),
            system=median(sample.system for sample in runs.samples),
            minor_faults=counted.minor_faults,
            major_faults=counted.major_faults,
            instructions=counted.instructions,
            peak_rss=peak,
            copies=memory.copies,
            one_more_copy=memory.one_more_copy,
            memory_noise=memory.noise,
        )

    def _peak(self, program: Program, command: Command) -> int | None:
        try:
            return peak_rss(command, self._bounds)
        except (NotHeld, ProcessUnreadable) as error:
            self._note(program, [f"the most memory that it has is not told: {error.reason}"])
            return None

    def _note(self, program: Program, notes: Sequence[str]) -> None:
        self.notes += [f"{program.path}: {note}" for note in notes]

    def _failed(self, command: Command, failure: RunFailed, later: bool = False) -> None:
        """later: its first run has ended well, which is told; of what hangs then, the failure itself says it."""
        said = ", after a first run that ended well" if later and not isinstance(failure, Hangs) else ""
        self.errors.append(error_of(command.path, failure.reason + said))


def _given_back(figures: Sequence[Copies], peak: int | None) -> Iterator[str]:
    """A note where memory at the end of the program says little of what it took before."""
    at_end = next((one.rss for one in figures if one.count == 1), None)
    if at_end is not None and peak is not None and peak > max(_FAR_MORE * at_end, at_end + _NOTABLE):
        yield f"it had {size(peak)} at most, and {size(at_end)} at its end, which is when memory is read"

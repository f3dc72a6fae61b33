"""Programs that are compared and end by themselves: each tried, all run in turn, then what has runs of its own."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from linkscope.analysis.comparing.found import Found
from linkscope.analysis.request import Running
from linkscope.errors import Failed, NeedsInput, NotHeld, NotStarted, ProcessUnreadable, RunFailed
from linkscope.measure.command import Bounds, Command
from linkscope.measure.copies import CopiesMeasured, copies_in_turn
from linkscope.measure.counters import Counts, counts
from linkscope.measure.overhead import overhead
from linkscope.measure.peak import peak
from linkscope.measure.plan import Cost, Plan, first_planned, planned
from linkscope.measure.rounds import Rounds, Runs, run_rounds
from linkscope.measure.spread import FEWEST, spread
from linkscope.measure.trial import later, trial
from linkscope.model.compare import Copies, Program, ProgramRun, Spread
from linkscope.model.quantities import duration, size

Told = Callable[[str], None]
_FAR_MORE, _NOTABLE = 1.5, 1 << 20  # times the memory at the end, and bytes more: what is worth a note
_FOR_BOUNDS = 8  # values, of which 99 % can be had: see `spread`
_SHELLS_OWN = (126, 127)  # of shells, and of ld.so(8): something could not be started, or not be loaded
_LESS, _LESS_SECONDS = 3, 0.02  # times the processor time of the runs, and seconds more: what the first one took
_EXPANDS = 16  # times what it reads, or 16 MiB: more output than that has no end
_NANO = 9  # decimals


def run_all(programs: Sequence[Program], commands: Sequence[Command], running: Running, told: Told) -> Found:
    """PROGRAMS, which are started with COMMANDS. Raises CannotRun, and FileUnreadable of what they are to read.

    told: is called with what is being done.
    """
    runner = _Runner(programs, commands, running, told)
    runner.run()
    return runner.found


class _Runner:
    """One call of `run_all`, and what it has found so far."""

    def __init__(self, programs: Sequence[Program], commands: Sequence[Command], running: Running, told: Told) -> None:
        self._programs = programs
        self._commands = commands
        self._running = running
        self._bounds = _bounds(running)
        self._told = told
        self.found = Found()

    def run(self) -> None:
        """All of it, as often as is planned once the time of each is known."""
        costs = {number: cost for number in range(len(self._commands)) if (cost := self._try(number)) is not None}
        if not costs:
            return
        plan = first_planned(list(costs.values()), self._running.copies, self._running.rounds)
        self._running.estimated(_estimate(plan))
        runs = self._run_in_turn(list(costs), plan)
        for number, one in runs.items() if self._running.output == "null" else ():
            self._note(number, list(_idle(costs[number].processor, one)))
        if runs:
            # The first run may have waited for the disk; by now it is known better what fits.
            again = planned([_cost(one) for one in runs.values()], self._running.copies, self._running.rounds)
            again = again.no_more_than(plan)  # which was announced
            self._measure(runs, again)
            self._measure_overhead(again.pairs)

    def _try(self, number: int) -> Cost | None:
        """What its first run took; None where it did not come to a good end."""
        self._told(f"{self._programs[number].path}: a first run")
        try:
            seen = trial(self._commands[number], self._bounds)
        except RunFailed as failure:
            self.found.reasons[number] = failure.reason + self._next_step(failure)
            return None
        return Cost(seen.seconds, seen.processor)

    def _run_in_turn(self, numbers: Sequence[int], plan: Plan) -> dict[int, Runs]:
        """The rounds, of those with NUMBERS; without one that failed in the middle."""
        self._told("a round to warm up" if plan.warm_ups == 1 else f"{plan.warm_ups} rounds to warm up")
        commands = [self._commands[number] for number in numbers]
        found = run_rounds(
            commands,
            self._bounds,
            self._running.rounds,
            plan.warm_ups,
            lambda done: self._told(_round(done, plan)),
            most=plan.most,
        )
        self.found.rounds, self.found.warm_ups = found.rounds, found.warm_ups
        good: dict[int, Runs] = {}
        for number, runs in zip(numbers, found.programs, strict=True):
            if runs.failure is None:
                good[number] = runs
            else:
                self._failed_later(number, runs.failure)
        self.found.notes += _remarks(found, [self._programs[number].path for number in numbers])
        return good

    def _measure(self, runs: dict[int, Runs], plan: Plan) -> None:
        """What has runs of its own, and all figures of each program."""
        counted, peaks = dict[int, Counts](), dict[int, int | None]()
        for number in runs:
            path = self._programs[number].path
            self._told(f"{path}: page faults, instructions and the most memory")
            try:
                counted[number] = counts(self._commands[number], self._bounds, plan.counted)
                peaks[number] = self._peak(number)
            except RunFailed as failure:
                self._failed_later(number, failure)
        numbers = list(peaks)
        found = copies_in_turn(
            [self._commands[number] for number in numbers],
            self._running.copies,
            self._bounds,
            plan.repeats,
            list(peaks.values()),
            lambda count: self._told("memory of one copy" if count == 1 else f"memory of {count} copies at once"),
        )
        for number, memory in zip(numbers, found, strict=True):
            if memory.failure is not None:
                self._failed_later(number, memory.failure)
                continue
            self.found.runs[number] = self._of(number, runs[number], counted[number], peaks[number], memory)
            self.found.samples[number] = runs[number].seconds
            self.found.memory[number] = memory.samples

    def _of(self, number: int, runs: Runs, counted: Counts, peak: int | None, memory: CopiesMeasured) -> ProgramRun:
        """All figures of one program."""
        self.found.notes += counted.notes
        self._note(number, [*memory.notes, *_given_back(memory.copies, peak)])
        return ProgramRun(
            seconds=_in_nanoseconds(spread(runs.seconds)),
            user=round(median(sample.user for sample in runs.samples), _NANO),
            system=round(median(sample.system for sample in runs.samples), _NANO),
            minor_faults=counted.minor_faults,
            major_faults=counted.major_faults,
            instructions=counted.instructions,
            peak_rss=peak,
            copies=memory.copies,
            one_more_copy=memory.one_more_copy,
            memory_noise=memory.noise,
        )

    def _peak(self, number: int) -> int | None:
        try:
            found = peak(self._commands[number], self._bounds)
        except NotStarted:
            raise
        except (NotHeld, ProcessUnreadable, RunFailed) as error:
            self._note(number, [f"the most memory that it has is not told: {error.reason}"])
            return None
        if found.of_child is not None:
            most = size(found.of_child)
            self._note(number, [f"a process that it starts has {most} at most, {size(found.rss)} are its own"])
        return found.rss

    def _measure_overhead(self, pairs: int) -> None:
        """By the quickest program, whose own time varies least."""
        if not self.found.runs:
            return
        if not pairs:
            self.found.notes.append("what measuring adds to a run is lost in the noise of programs that take so long")
            return
        quickest = min(self.found.runs, key=lambda number: median(self.found.samples[number]))
        self._told("what measuring adds")
        try:
            added = overhead(self._commands[quickest], self._bounds, pairs)
        except RunFailed as failure:  # it ran well until now
            self.found.notes.append(f"what measuring adds is not told: {failure.path} {failure.reason}")
            return
        if added > 0:
            self.found.overhead = added
        else:
            self.found.notes.append("what measuring adds to a run is lost in the noise of this machine")

    def _note(self, number: int, notes: Sequence[str]) -> None:
        self.found.notes += [f"{self._programs[number].path}: {note}" for note in notes]

    def _failed_later(self, number: int, failure: RunFailed) -> None:
        """Its first run has ended well, which is told: of a run that was started the failure itself says it."""
        failure = later(failure) if isinstance(failure, NotStarted) else failure
        self.found.reasons[number] = failure.reason + self._next_step(failure, self._running.accepted)

    def _next_step(self, failure: RunFailed, seen: Sequence[int] = ()) -> str:
        """By which option it would be measured after all. seen: codes with which it has ended as well."""
        if isinstance(failure, NeedsInput):
            return " (--input FILE gives it that)"
        if not isinstance(failure, Failed) or failure.status in _SHELLS_OWN:
            return ""
        wished = () if self._running.accepted == Running().accepted else self._running.accepted
        codes = ",".join(map(str, sorted({*wished, *seen, failure.status})))
        return f" (if that is how it should end: --accept {codes})"


# --- What is said -----------------------------------------------------------------------------------------------------


def _estimate(plan: Plan) -> str:
    """How often each is started at most, and how long all of it takes."""
    minutes, seconds = math.ceil(plan.seconds / 60), max(1, math.ceil(plan.seconds))
    time = f"{minutes} min" if minutes > 2 else f"{seconds} s"
    how_long = f"some {time}" if plan.least == plan.most else f"{time} at most"
    return f"each is started {plan.most_starts:,} times at most, which takes {how_long}"


def _round(done: int, plan: Plan) -> str:
    """Which round comes now, and how many there are."""
    which = min(done + 1, plan.most)
    if plan.least == plan.most:
        return f"round {which} of {plan.most}"
    return f"round {which} of at least {plan.least}" if which <= plan.least else f"round {which} of at most {plan.most}"


def _remarks(found: Rounds, paths: Sequence[str]) -> Iterator[str]:
    """What so few rounds do not say, and whether the programs may have done different things."""
    if all(runs.failure for runs in found.programs):
        return
    if found.rounds == 1:
        yield "one run says nothing of the spread"
    elif found.rounds < _FOR_BOUNDS:
        yield (
            f"low and high of {found.rounds} rounds are the least and the most that was measured: where a median lies "
            f"with a confidence of 99 % takes {_FOR_BOUNDS}"
        )
    if found.rounds < FEWEST:
        few = "one round is" if found.rounds == 1 else f"{found.rounds} rounds are"
        yield f"{few} too few to call a program faster: that takes {FEWEST}"
    codes = [sorted({sample.ending.status or 0 for sample in runs.samples}) for runs in found.programs]
    if len({code for each in codes for code in each}) > 1:
        ends = ", ".join(f"{path} with {' and '.join(map(str, each))}" for path, each in zip(paths, codes, strict=True))
        yield f"not all end with the same exit code, and may have done different things: {ends}"


def _idle(first: float, runs: Runs) -> Iterator[str]:
    """A note where the FIRST run, whose output was read, computed far longer than those whose output goes nowhere."""
    usual = median(sample.user + sample.system for sample in runs.samples)
    if first > max(_LESS * usual, usual + _LESS_SECONDS):
        yield (
            f"it computed {duration(first)} when its output was read, and {duration(usual)} where that goes to "
            "/dev/null: it may see the difference, as grep and tar do, and do less work (--output pipe)"
        )


def _given_back(figures: Sequence[Copies], peak: int | None) -> Iterator[str]:
    """A note where memory at the end of the program says little of what it took before."""
    at_end = next((one.rss for one in figures if one.count == 1), None)
    if at_end is not None and peak is not None and peak > max(_FAR_MORE * at_end, at_end + _NOTABLE):
        yield f"it had {size(peak)} at most, and {size(at_end)} at its end, which is when memory is read"


# --- Figures ----------------------------------------------------------------------------------------------------------


def _bounds(running: Running) -> Bounds:
    """With room for what a filter makes of a large file."""
    output = Bounds().output if running.input is None else max(Bounds().output, _EXPANDS * _length(running.input))
    return Bounds(timeout=running.timeout, output=output)


def _length(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # whoever reads it will say so
        return 0


def _cost(runs: Runs) -> Cost:
    return Cost(median(runs.seconds), median(sample.user + sample.system for sample in runs.samples))


def _in_nanoseconds(found: Spread) -> Spread:
    """Rounded to what the clock tells: the mean of two values has a digit more."""
    return Spread(median=round(found.median, _NANO), low=round(found.low, _NANO), high=round(found.high, _NANO))

"""What a program costs in memory when several copies of it are there at once, and what one more of them costs."""

from __future__ import annotations

import contextlib
import math
import os
import random
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Literal

import msgspec

from linkscope.errors import NotHeld, NotStarted, ProcessUnreadable, RunFailed
from linkscope.measure.command import Bounds, Command
from linkscope.measure.heavier import noise
from linkscope.measure.held import HeldCopy, Late, held_at_exit
from linkscope.measure.launch import Ending
from linkscope.measure.leftovers import Leftovers, none_left
from linkscope.measure.memory import Memory, available, memory_of, memory_of_all, past_of, peak_of_all
from linkscope.measure.trial import failure_later
from linkscope.model.compare import Copies
from linkscope.model.quantities import size

Moment = Literal["exit", "serving"]
REPEAT, LEAST = 5, 2  # of the fewest copies: without a second time nothing is known of the noise
_PAGE = os.sysconf("SC_PAGESIZE")
_NOTABLE = 0.1  # of a figure: what is worth a note
_BUDGET = 2.0  # seconds for the repetitions of one number of copies of one program
_SPARE = 0.9  # of the memory that is free: what copies may take


class Taken(msgspec.Struct, frozen=True):
    """What was read while some copies were there. statuses: how each ended, as waitpid(2) has it.

    others: processes that they had started, and that ran on. Servers are not at their end: statuses are () then.
    peak: bytes, the sum of the most that each of all these ever had resident. had_children: whether one of the copies
    has waited for the end of a process that it had started.
    """

    memory: Memory
    statuses: tuple[int, ...] = ()
    others: int = 0
    peak: int = 0
    had_children: bool = False


Take = Callable[[int], Taken]
"""Starts so many copies, reads their memory, and ends them. Raises NotHeld, RunFailed, ProcessUnreadable."""


class CopiesMeasured(msgspec.Struct, frozen=True):
    """The memory of copies, for each number of them: medians over the repetitions.

    one_more_copy: bytes of PSS, see `cost_of_one_more`. noise: bytes by which the sums of PSS of repetitions lay apart,
    or of five would have, the most of all numbers. samples: all these sums by the number of copies, in the order of the
    rounds, by which `heavier` compares. notes: what could not be measured, and why. failure: of a program that cannot
    even be started (any more); None mostly.
    """

    copies: list[Copies]
    one_more_copy: int | None
    noise: int
    notes: list[str]
    samples: dict[int, list[int]]
    failure: NotStarted | None = None


class Subject(msgspec.Struct, frozen=True):
    """One of those that are measured in turn.

    peak: bytes that one copy may have resident at most; None where that is not known yet.
    """

    take: Take
    peak: int | None = None


def copies(command: Command, counts: Sequence[int], bounds: Bounds, repeat: int = REPEAT) -> CopiesMeasured:
    """As `copies_in_turn`, of a single program. Raises NotStarted, CannotRun, and FileUnreadable of its input."""
    (found,) = copies_in_turn([command], counts, bounds, repeat)
    if found.failure is not None:
        raise found.failure
    return found


def copies_in_turn(
    commands: Sequence[Command],
    counts: Sequence[int],
    bounds: Bounds,
    repeat: int = REPEAT,
    peaks: Sequence[int | None] = (),
    progress: Callable[[int], None] = lambda _count: None,
) -> list[CopiesMeasured]:
    """The memory of COUNTS copies of programs at once, each held at the end of its life (`held`), in their order.

    For each number of copies there are REPEAT rounds, or as many as fit into two seconds for each program, but of the
    smallest two at least; in each round every program has its turn, in an order that changes, as `run_rounds` has it.
    So whatever other processes do meanwhile is the same for all. A number that was measured once has the noise of so
    many times the smallest. What cannot be measured has no figure, and a note with the reason: where ptrace(2) is not
    permitted, where copies wait for one another, or would take more memory than there is.

    peaks: the most that one copy of each has resident, in bytes, where that is known. progress: is called with each
    number of copies before it is measured. Raises CannotRun, and FileUnreadable of an input. The programs should have
    run before, so that their files are in the page cache.
    """

    def subject(number: int, command: Command) -> Subject:
        peak = peaks[number] if number < len(peaks) else None
        return Subject(lambda count: _taken(command, count, bounds), peak)

    subjects = [subject(number, command) for number, command in enumerate(commands)]
    found = measured(subjects, counts, "exit", bounds.timeout, repeat, progress)
    return [
        msgspec.structs.replace(one, notes=[*_rights(command), *one.notes])
        for command, one in zip(commands, found, strict=True)
    ]


def measured(
    subjects: Sequence[Subject],
    counts: Sequence[int],
    moment: Moment,
    seconds: float,
    repeat: int,
    progress: Callable[[int], None] = lambda _count: None,
) -> list[CopiesMeasured]:
    """What the SUBJECTS have of each number of copies, in turn, several times within SECONDS each.

    One that fails is left out from then on, and has no figures of that number.
    """
    takers = [_Taker(subject) for subject in subjects]
    for count in sorted(set(counts)):
        going_on = [taker for taker in takers if taker.goes_on]
        if going_on:
            progress(count)
        for taker in going_on:
            taker.look_for_room(count)
        _in_rounds(takers, count, seconds, repeat, LEAST if count == min(counts) else 1)
    return [taker.found(moment) for taker in takers]


def _in_rounds(takers: Sequence[_Taker], count: int, seconds: float, repeat: int, least: int) -> None:
    """COUNT copies of each several times, fewer where they last long: see `times`."""
    going_on = [taker for taker in takers if taker.goes_on]
    deadline = time.monotonic() + min(seconds, _BUDGET) * len(going_on)
    done = 0
    while going_on and done < repeat and (done < least or time.monotonic() < deadline):
        random.Random(done).shuffle(going_on)
        for taker in going_on:
            taker.take(count)
        going_on = [taker for taker in takers if taker.goes_on]
        done += 1


class _Taker:
    """One subject on its way through the rounds."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._peak = subject.peak
        self._taken: dict[int, list[Taken]] = {}
        self._notes: list[str] = []
        self._failure: NotStarted | None = None
        self.goes_on = True

    def look_for_room(self, count: int) -> None:
        """Leave it at the numbers before COUNT where so many copies would take more memory than there is."""
        if not self._taken and self._peak is None and count > 1:
            alone = self._once(1, count)
            self._peak = alone.peak if alone else None
        needed, there_is = self._needed(count), available()
        if self.goes_on and there_is is not None and needed > _SPARE * there_is:
            self._give_up(count, f"they might take {size(needed)} more, and {size(there_is)} are available")

    def _needed(self, count: int) -> int:
        """Bytes that COUNT copies might take together, if all have the most that one has at the same moment.

        Before several were seen nothing is known of what they share; after that, only what each has given back at its
        end is taken for its own.
        """
        if not self._taken:
            return (self._peak or 0) * count
        most = max(self._taken)
        seen = self._taken[most][0]
        given_back = max(0, seen.peak - seen.memory.rss, most * ((self._peak or 0) - seen.memory.rss // most))
        return (seen.memory.pss + given_back) * count // most

    def take(self, count: int) -> None:
        """COUNT copies of it once more."""
        taken = self._once(count, count)
        if taken is not None:
            self._taken.setdefault(count, []).append(taken)

    def _once(self, count: int, wanted: int) -> Taken | None:
        """COUNT copies; None where that fails, so that there are no figures of as many as WANTED."""
        try:
            return self._subject.take(count)
        except NotStarted as failure:
            self._failure, self.goes_on = failure, False
        except (NotHeld, RunFailed, ProcessUnreadable) as error:
            self._give_up(wanted, error.reason)
        return None

    def _give_up(self, count: int, reason: str) -> None:
        self.goes_on = False
        self._taken.pop(count, None)
        self._notes.append(f"the memory of {_called(count)} at once is not told: {reason}")

    def found(self, moment: Moment) -> CopiesMeasured:
        """What is known of it in the end."""
        taken = self._taken
        apart = _noises(taken)
        figures = [_medians(count, takes, moment, apart[count]) for count, takes in taken.items()]
        return CopiesMeasured(
            copies=figures,
            one_more_copy=cost_of_one_more(figures),
            noise=max(apart.values(), default=0),
            notes=[
                *self._notes,
                *_remarks(taken),
                *_charged_for_others(figures, taken),
                *_without_children(taken),
            ],
            samples={count: [one.memory.pss for one in takes] for count, takes in taken.items()},
            failure=self._failure,
        )


def cost_of_one_more(figures: Sequence[Copies]) -> int | None:
    """Bytes of PSS that each copy after the first adds: the slope between the smallest and the largest number.

    What N copies take is what one takes and N - 1 times this, exactly so for the largest number that was measured. A
    line through all numbers (least squares) would not be nearer to anything: the sum over numbers of copies is no line
    but bends, for the more copies there are, the more of the common pages they are charged with.

    It is what the *copies* are charged with. A page that M other processes on this machine have mapped as well (libc,
    mostly) was there before: N copies are charged with N / (N + M) of it, although they cost the machine nothing. So
    this lies above `own_memory`, what one more costs the machine, where other programs share the libraries, and is the
    same where they do not. Tables of pages are not in it (`page_tables`). None for less than two numbers of copies.
    """
    few, many = _ends(figures)
    if few is None or many is None:
        return None
    return round((many.pss - few.pss) / (many.count - few.count))


def own_memory(figures: Sequence[Copies]) -> int | None:
    """Bytes that one more copy costs the machine: what each has for itself alone while others are there too.

    What a copy shares with processes that it has started itself is not in it. None where only one copy was measured.
    """
    _, many = _ends(figures)
    return round(many.private / many.count) if many else None


def _ends(figures: Sequence[Copies]) -> tuple[Copies, Copies] | tuple[None, None]:
    """The figures of the smallest and of the largest number of copies."""
    ordered = sorted(figures, key=lambda one: one.count)
    return (ordered[0], ordered[-1]) if len(ordered) > 1 else (None, None)


def times(seconds: float, repeat: int, least: int) -> int:
    """How often a number of copies is measured that takes SECONDS each time: as long as the two seconds are not over.

    repeat, least: as often at most, and at least.
    """
    return min(repeat, max(least, math.ceil(_BUDGET / seconds)))


def _taken(command: Command, count: int, bounds: Bounds) -> Taken:
    """COUNT copies held at once. They have as much longer to get there as they have to share processors.

    Raises what `failure_later` has of the first one that fails, and NotHeld.
    """
    seconds = bounds.timeout * max(1.0, count / len(os.sched_getaffinity(0)))
    with none_left() as leftovers:
        try:
            with held_at_exit([command] * count, seconds) as held:
                taken = _read(held, leftovers)
            endings = dict.fromkeys(copy.ending for copy in held)
        except Late:
            if count > 1:
                raise
            endings = {Ending(): None}
        for ending in endings:
            failure = failure_later(command, ending, seconds, leftovers)
            if failure is not None:
                failure.reason = f"one of them {failure.reason}" if count > 1 else failure.reason
                raise failure
    return taken


def _read(held: Sequence[HeldCopy], leftovers: Leftovers) -> Taken:
    """The memory of copies that are held, and of whoever they have started."""
    pids = [copy.pid for copy in held]
    others = {pid for _, pid in leftovers.alive()} - set(pids)
    own = [past_of(pid) for pid in pids]
    memory = memory_of_all(others)
    for pid in pids:  # a copy that was killed out of its end is not to be missing in a sum
        memory = memory.plus(memory_of(pid))
    return Taken(
        memory=memory,
        statuses=tuple(copy.status for copy in held),
        others=len(others),
        peak=sum(past.peak for past in own) + peak_of_all(others),
        had_children=any(past.had_children for past in own),
    )


def _medians(count: int, takes: Sequence[Taken], moment: Moment, apart: int) -> Copies:
    """The median of each figure over the takes."""

    def of(figure: Callable[[Memory], int]) -> int:
        return round(median(figure(one.memory) for one in takes))

    told = all(one.memory.anonymous is not None for one in takes)
    return Copies(
        count=count,
        rss=of(lambda memory: memory.rss),
        pss=of(lambda memory: memory.pss),
        private=of(lambda memory: memory.private),
        page_tables=of(lambda memory: memory.page_tables),
        anonymous=of(lambda memory: memory.anonymous or 0) if told else None,
        noise=apart,
        moment=moment,
    )


def _noises(taken: dict[int, list[Taken]]) -> dict[int, int]:
    """The noise of each number of copies; of what was measured once that of so many times the fewest."""
    found = {count: noise([one.memory.pss for one in takes]) for count, takes in taken.items()}
    fewest = min(found, default=1)
    return {
        count: apart if len(taken[count]) > 1 else found[fewest] * count // fewest for count, apart in found.items()
    }


def _remarks(taken: dict[int, list[Taken]]) -> Iterator[str]:
    """What went otherwise than with one copy."""
    expected = next((one.statuses[0] for takes in taken.values() for one in takes if one.statuses), None)
    for count, takes in taken.items():
        strange = next((status for one in takes for status in one.statuses if status != expected), None)
        if strange is not None:
            code = os.waitstatus_to_exitcode(strange)
            yield f"of {_called(count)} at once not all end alike: one with exit code {code}"
        others = max(one.others for one in takes)
        if others and expected is not None:
            what = "a process" if others == 1 else f"{others} processes"
            yield f"with {_called(count)}, {what} of the program ran on at the end, and the sums have that memory too"


def _charged_for_others(figures: Sequence[Copies], taken: dict[int, list[Taken]]) -> Iterator[str]:
    """How much of the cost of one more is none to the machine; not told where a copy is several processes."""
    if any(one.others for takes in taken.values() for one in takes):
        return
    slope, own = cost_of_one_more(figures), own_memory(figures)
    if slope is not None and own is not None and slope - own > max(_PAGE, _NOTABLE * slope):
        yield (
            f"of the {size(slope)} that one more copy costs, {size(slope - own)} are its part of pages that other "
            "programs on this machine have mapped as well"
        )


def _without_children(taken: dict[int, list[Taken]]) -> Iterator[str]:
    """A note where processes have ended before memory was read, as those that a shell starts."""
    if any(one.had_children for takes in taken.values() for one in takes):
        yield "it waits for the end of processes that it starts: what these take is in no figure of memory"


def _called(count: int) -> str:
    return "one copy" if count == 1 else f"{count} copies"


def _rights(command: Command) -> Iterator[str]:
    """A note where the kernel gives the program fewer rights because it is held (execve(2), ptraced)."""
    if os.geteuid() == 0:
        return
    try:
        mode = os.stat(command.path).st_mode
    except OSError:
        return
    if mode & (stat.S_ISUID | stat.S_ISGID):
        yield "the program is set-user-id or set-group-id, and has not got these rights while its memory is measured"
    with contextlib.suppress(OSError):
        os.getxattr(command.path, "security.capability")
        yield "the program has file capabilities, and has not got these rights while its memory is measured"

"""Several programs run in turn, again and again, so that whatever disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import msgspec

from linkscope.errors import RunFailed
from linkscope.measure import launch
from linkscope.measure.command import Bounds, Command
from linkscope.measure.launch import Prepared, Sample
from linkscope.measure.leftovers import Leftovers, none_left
from linkscope.measure.pagecache import read_anew
from linkscope.measure.spread import FEWEST, spread
from linkscope.measure.trial import bad_ending, hangs_later

WARM_UPS = 3
LEAST, MOST = 20, 1000  # rounds, where nobody says how many
BUDGET = 7.0  # seconds for all rounds, once there are enough for a comparison
_PRECISE = 0.01  # of the median: how far its bounds may lie from it when there are enough rounds
_BETWEEN_LOOKS = 10  # rounds


class Runs(msgspec.Struct, frozen=True):
    """The runs of one program, in the order of the rounds. failure: why it ended before the others; None mostly."""

    samples: list[Sample]
    failure: RunFailed | None = None

    @property
    def seconds(self) -> list[float]:
        """From spawn to exit, by rounds."""
        return [sample.seconds for sample in self.samples]


class Rounds(msgspec.Struct, frozen=True):
    """programs: the runs of each, in the order of the commands. rounds, warm_ups: how many there were."""

    programs: list[Runs]
    rounds: int
    warm_ups: int


def run_rounds(
    commands: Sequence[Command],
    bounds: Bounds,
    rounds: int | None = None,
    warm_ups: int = WARM_UPS,
    progress: Callable[[int], None] = lambda _done: None,
) -> Rounds:
    """What the runs of all commands took: each once in each round, in an order that changes from round to round.

    rounds: how many; None: until the bounds of every median lie within 1 % of it, at least 20 and at most 1000, or
    until 7 seconds are over and there are at least 11. WARM_UPS rounds before these do not count. progress: is called
    with the number of rounds that are done, 0 before the first. The order is the same in every call: it comes from a
    random number generator that starts with the number of the round (a rotation would let each program follow the same
    other one always, and find the caches as that one left them). Before all that the files are read anew (pagecache).

    A program that fails in the middle is left out from then on, with its failure; the others go on. Raises CannotRun.
    """
    takers = [_Taker(Prepared(command), bounds.timeout) for command in commands]
    for path in {command.path for command in commands}:
        read_anew(path)
    with none_left() as leftovers, launch.nowhere() as null:
        for number in range(-warm_ups, 0):
            _round(takers, number, null, leftovers)
        for taker in takers:
            taker.samples.clear()
        done = 0
        progress(done)
        start = time.monotonic()
        while not _is_enough(takers, done, rounds, time.monotonic() - start):
            _round(takers, done, null, leftovers)
            done += 1
            progress(done)
    return Rounds([Runs(taker.samples, taker.failure) for taker in takers], done, warm_ups)


class _Taker:
    """One program on its way through the rounds."""

    def __init__(self, prepared: Prepared, timeout: float) -> None:
        self._prepared = prepared
        self._timeout = timeout
        self.samples: list[Sample] = []
        self.failure: RunFailed | None = None

    def take(self, null: int) -> None:
        """Run it once; after a failure no more."""
        command = self._prepared.command
        try:
            sample = launch.run(self._prepared, null, self._timeout)
        except RunFailed as failure:  # the file may have gone meanwhile
            self.failure = failure
            return
        if sample.ending.is_overdue:
            self.failure = hangs_later(command.path, self._timeout)
        else:
            self.failure = bad_ending(command, sample.ending)
        if self.failure is None:
            self.samples.append(sample)


def _round(takers: Sequence[_Taker], number: int, null: int, leftovers: Leftovers) -> None:
    order = [taker for taker in takers if taker.failure is None]
    random.Random(number).shuffle(order)
    for taker in order:
        taker.take(null)
        leftovers.end()


def _is_enough(takers: Sequence[_Taker], done: int, rounds: int | None, seconds: float) -> bool:
    going_on = [taker for taker in takers if taker.failure is None]
    if not going_on:
        return True
    if rounds is not None:
        return done >= rounds
    if done < FEWEST:
        return False
    if done >= MOST or seconds > BUDGET:
        return True
    return done >= LEAST and done % _BETWEEN_LOOKS == 0 and all(_is_precise(taker) for taker in going_on)


def _is_precise(taker: _Taker) -> bool:
    found = spread([sample.seconds for sample in taker.samples])
    return max(found.high - found.median, found.median - found.low) <= _PRECISE * found.median

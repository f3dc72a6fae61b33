"""Several programs run in turn, again and again, so that whatever disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from linkscope.errors import RunFailed
from linkscope.measure import launch
from linkscope.measure.command import Bounds, Command
from linkscope.measure.launch import Prepared, Sample
from linkscope.measure.leftovers import Leftovers, none_left
from linkscope.measure.pagecache import read_anew
from linkscope.measure.spread import FEWEST, spread
from linkscope.measure.trial import failure_later

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
    most: int = MOST,
) -> Rounds:
    """What the runs of all commands took: each once in each round, in an order that changes from round to round.

    rounds: how many; None: until the bounds of every median lie within 1 % of it, at least 20 and at most MOST, or
    until 7 seconds are over and there are at least 11. WARM_UPS rounds before these do not count. progress: is called
    with the number of rounds that are done, 0 before the first. The order is the same in every call: it comes from a
    random number generator that starts with the number of the round (a rotation would let each program follow the same
    other one always, and find the caches as that one left them). Before all that the files are read anew (pagecache).

    A program that fails in the middle, or leaves processes behind, is left out from then on, with its failure; the
    others go on. Raises CannotRun.
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
        while not is_enough(takers, done, rounds, start, BUDGET, most=most):
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

    @property
    def seconds(self) -> list[float]:
        """What its runs took."""
        return [sample.seconds for sample in self.samples]

    def take(self, null: int, leftovers: Leftovers) -> None:
        """Run it once, and wait until all of it is gone; after a failure no more."""
        try:
            sample = launch.run(self._prepared, null, self._timeout)
        except RunFailed as failure:  # the file may have gone meanwhile
            self.failure = failure
            return
        self.failure = failure_later(self._prepared.command, sample.ending, self._timeout, leftovers)
        if self.failure is None:
            self.samples.append(sample)


def _round(takers: Sequence[_Taker], number: int, null: int, leftovers: Leftovers) -> None:
    for taker in in_turn(takers, number):
        taker.take(null, leftovers)


# --- What programs and servers have in common -------------------------------------------------------------------------


class Runner(Protocol):
    """Who runs again and again, until it fails."""

    failure: RunFailed | None

    @property
    def seconds(self) -> Sequence[float]:
        """What it took, by rounds."""


_Runner = TypeVar("_Runner", bound=Runner)


def in_turn(runners: Sequence[_Runner], number: int) -> list[_Runner]:
    """Those that have not failed, in the order of the round NUMBER, which is one of chance and the same each time."""
    order = [runner for runner in runners if runner.failure is None]
    random.Random(number).shuffle(order)
    return order


def is_enough(
    runners: Sequence[Runner],
    done: int,
    wanted: int | None,
    since: float,
    budget: float,
    limit: float = math.inf,
    most: int = MOST,
) -> bool:
    """Whether no further round is to come after DONE ones, the first of which began at SINCE (time.monotonic()).

    wanted: how many; None: until every median is known well, or it takes too long. budget, limit: seconds that all of
    them may take, once there are enough for a comparison, and however few there are. most: rounds in any case.
    """
    going_on = [runner for runner in runners if runner.failure is None]
    if not going_on:
        return True
    if wanted is not None:
        return done >= wanted
    seconds = time.monotonic() - since
    if done < min(FEWEST, most):
        return done > 0 and seconds > limit
    if done >= most or seconds > budget:
        return True
    return done >= LEAST and done % _BETWEEN_LOOKS == 0 and all(_is_precise(runner.seconds) for runner in going_on)


def _is_precise(seconds: Sequence[float]) -> bool:
    found = spread(seconds)
    return max(found.high - found.median, found.median - found.low) <= _PRECISE * found.median

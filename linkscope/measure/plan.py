"""How often everything is run, so that it does not take too long: planned once each program has run, and so its time
is known.

A quick program is run so often that chance has little to say. With a slow one that would take minutes: it gets the
rounds that a comparison takes, and of everything else what fits into a few seconds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from linkscope.measure import copies, counters, overhead, rounds
from linkscope.measure.spread import FEWEST

_FOR_WARM_UPS, _FOR_COUNTERS, _FOR_COPIES, _FOR_OVERHEAD = 1.0, 1.0, 4.0, 1.0  # seconds
# What holding copies takes beyond their own time (observed): seconds for each time, and for each copy.
_HOLDING, _COPYING = 0.01, 0.005
_SPAWNING = 0.0002  # seconds of a run that are none of the program's
_QUICKER = 4  # times: so much more a first run may take, which is watched, and may wait for the disk
_TOLD_APART = 0.1  # seconds of a program in which what measuring adds is not lost: it is less than a thousandth


class Cost(msgspec.Struct, frozen=True):
    """What one run of a program takes, in seconds. processor: of it computed, by whoever of its processes."""

    seconds: float
    processor: float

    def together(self, count: int) -> float:
        """Seconds until COUNT copies that are started at once have all come to their end."""
        shared = self.processor * count / len(os.sched_getaffinity(0))
        return max(self.seconds, shared) + _HOLDING + _COPYING * count


class Plan(msgspec.Struct, frozen=True):
    """How many runs of which kind. least, most: rounds; warm_ups: rounds before that. counted: runs for the counters.

    repeats: how often each number of copies is looked at. pairs: of runs by which the overhead is found; 0: it is not.
    seconds: what all of it takes, about, or at most where LEAST and MOST are apart. most_starts: of each program, with
    its first run: no program is started more often, also where its later runs turn out to be quicker.
    """

    warm_ups: int
    least: int
    most: int
    counted: int
    repeats: int
    pairs: int
    seconds: float
    most_starts: int

    def no_more_than(self, other: Plan) -> Plan:
        """This one, with nothing done more often than by the OTHER."""
        return msgspec.structs.replace(
            self,
            counted=min(self.counted, other.counted),
            repeats=min(self.repeats, other.repeats),
            pairs=min(self.pairs, other.pairs),
        )


def first_planned(costs: Sequence[Cost], counts: Sequence[int], wanted: int | None) -> Plan:
    """As `planned`, of costs that are those of a first run, which may be slower than all others.

    It allows for as much as quicker runs let be done, and takes the time of those that were seen.
    """
    seen = planned(costs, counts, wanted)
    if wanted is None and seen.most == FEWEST:  # slow: what is quicker later gets no more than was promised for this
        return seen
    quicker = [Cost(cost.seconds / _QUICKER, cost.processor / _QUICKER) for cost in costs]
    allowed = planned(quicker, counts, wanted)
    return msgspec.structs.replace(allowed, warm_ups=seen.warm_ups, seconds=seen.seconds)


def planned(costs: Sequence[Cost], counts: Sequence[int], wanted: int | None) -> Plan:
    """A plan for at least one program.

    counts: how many copies there are at once, in ascending order. wanted: so many rounds; nothing else is repeated more
    often then, except that the fewest copies are looked at twice. None: as many rounds as make the medians certain.
    """
    each = sum(cost.seconds + _SPAWNING for cost in costs)
    quickest = min(cost.seconds for cost in costs)
    often = rounds.MOST if wanted is None else wanted
    warm_ups = _fitting(_FOR_WARM_UPS, each, min(often, rounds.WARM_UPS))
    counted = _fitting(_FOR_COUNTERS, each, min(often, counters.REPEAT))
    repeats = _repeats(costs, counts, min(often, copies.REPEAT))
    copying = _copying(costs, counts, repeats)
    copied = repeats * sum(counts) + (counts[0] > 1)  # whose memory is not known runs alone before
    pairs = _fitting(_FOR_OVERHEAD, 2 * (quickest + _SPAWNING), min(often, overhead.PAIRS))
    if quickest > _TOLD_APART:
        pairs = 0
    least, most = _rounds(each) if wanted is None else (wanted, wanted)
    others = 2 + warm_ups + counted + copied + 2 * pairs
    return Plan(
        warm_ups=warm_ups,
        least=least,
        most=most,
        counted=counted,
        repeats=repeats,
        pairs=pairs,
        seconds=(warm_ups + most + counted + 1) * each + copying + 2 * pairs * quickest,
        most_starts=others + most,
    )


def _fitting(seconds: float, each: float, most: int) -> int:
    """How many that take EACH fit into SECONDS, MOST at most; one in any case."""
    return max(1, min(most, int(seconds / each)))


def _repeats(costs: Sequence[Cost], counts: Sequence[int], most: int) -> int:
    """How often each number of copies can be looked at, MOST at most, and the fewest of them twice."""
    for repeats in range(most, copies.LEAST, -1):
        if _copying(costs, counts, repeats) <= _FOR_COPIES:
            return repeats
    return copies.LEAST


def _copying(costs: Sequence[Cost], counts: Sequence[int], repeats: int) -> float:
    """The seconds that COUNTS copies of all programs take in turn, in ascending order, each looked at so often."""
    seconds = 0.0
    for count in counts:
        together = sum(cost.together(count) for cost in costs)
        times = copies.times(together / len(costs), repeats, copies.LEAST if count == counts[0] else 1)
        seconds += times * together
    return seconds


def _rounds(each: float) -> tuple[int, int]:
    """The fewest rounds and the most, where nobody says how many: see `rounds.run_rounds`."""
    most = max(FEWEST, min(rounds.MOST, int(rounds.BUDGET / each) + 1))
    return min(rounds.LEAST, most), most

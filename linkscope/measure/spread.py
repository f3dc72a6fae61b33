"""Medians, how sure they are, and whether two programs differ by more than the noise."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from statistics import median

import msgspec

from linkscope.model.compare import Copies, Spread

CONFIDENCE = 0.99
# Of a difference, since one comparison has many. Of 3,700 comparisons of a program with its own copy over 20 rounds, on
# a machine that did much else, none was called real, and of as many of 8 rounds with the same bounds some 20.
_SURE = 0.999
# Where in memory the pages of a file lie makes it up to 2 % slower than its own copy, 1000 rounds long (observed); and
# which of them are there, and who else has them, is as much of its memory.
NOTABLE = 0.03
FEWEST = 11  # of which 99.9 % can be had
PAGE = os.sysconf("SC_PAGESIZE")


class Difference(msgspec.Struct, frozen=True):
    """What the one of two takes for each unit of the other. ratio: the median over the rounds.

    low, high: where it lies, with 99.9 %. is_real: whether the two differ by more than the noise, see `differ`; rounds:
    how many it rests on.
    """

    ratio: float
    low: float
    high: float
    is_real: bool
    rounds: int

    @property
    def share(self) -> float:
        """By how much the one takes more, as a share of what the other does: 0.03 are 3 %."""
        return max(self.ratio, 1 / self.ratio) - 1

    @property
    def is_sure_and_small(self) -> bool:
        """Whether the one surely takes more, but no more than a copy of the other may."""
        return not self.is_real and self.share < NOTABLE and (self.low > 1 or self.high < 1)


def spread(values: Sequence[float], confidence: float = CONFIDENCE) -> Spread:
    """The median of at least one value, with bounds that hold it with CONFIDENCE, if they are independent values.

    The bounds are values, whatever the distribution: of N, the K-th from each end, where K is the largest for which the
    chance that fewer than K of N lie on one side of the median is at most half of what is left (binomial, exact). Fewer
    than 8 values cannot give 99 %; low and high are the smallest and the largest then.
    """
    ordered = sorted(values)
    outside = _outside(len(ordered), confidence)
    return Spread(median=median(ordered), low=ordered[outside], high=ordered[-1 - outside])


def _outside(count: int, confidence: float) -> int:
    """How many values of COUNT may lie beyond each bound."""
    below, outside = 1, 0  # of all 2**count ways to lie below or above the median: those with so few below it
    while below / (1 << count) <= (1 - confidence) / 2:
        outside += 1
        below += math.comb(count, outside)
    return max(0, outside - 1)


def differ(one: Sequence[float], other: Sequence[float]) -> Difference:
    """How ONE compares with OTHER, which were measured in turn: values of the same round stand at the same place.

    The ratio is taken in each round, since what disturbs a machine for longer than a round is the same for both then:
    on a busy one the medians of two copies of one program lay up to 18 % apart, the median of the ratios never more
    than 4 % from 1. A difference is real if it is at least 3 % at both bounds, the medians say the same, and there are
    at least 11 rounds. So a tie is a tie, and what differs does so in the same direction every time.
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a > 0 and b > 0]
    if not pairs:
        return Difference(ratio=1.0, low=1.0, high=1.0, is_real=False, rounds=0)
    ratios = spread([a / b for a, b in pairs], _SURE)
    medians = median(a for a, _ in pairs) / median(b for _, b in pairs)
    more = ratios.low >= 1 + NOTABLE and medians > 1
    less = ratios.high <= 1 / (1 + NOTABLE) and medians < 1
    return Difference(
        ratio=ratios.median,
        low=ratios.low,
        high=ratios.high,
        is_real=len(pairs) >= FEWEST and (more or less),
        rounds=len(pairs),
    )


def least_apart(one: float, other: float, noise: float) -> float:
    """By how many bytes two figures of memory have to be apart, at least, to say anything.

    That is NOISE, by which repetitions of one and the same lie apart, 3 % of the larger one, and a page.
    """
    return max(noise, NOTABLE * max(one, other), PAGE)


def noise_of_one_more(few: Copies, many: Copies) -> float:
    """Bytes by which the cost of one more copy may be wrong: it is the slope between the sums of FEW and of MANY."""
    return (few.noise + many.noise) / (many.count - few.count)

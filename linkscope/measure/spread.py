"""Medians, how sure they are, and whether two programs differ by more than the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import msgspec

from linkscope.model.compare import Spread

CONFIDENCE = 0.99


class Difference(msgspec.Struct, frozen=True):
    """How much the one of two takes for each unit of the other. ratio: the median over the rounds.

    low, high: where it lies, as Spread has it. is_real: whether it is more than noise: see `differ`.
    """

    ratio: float
    low: float
    high: float
    is_real: bool


def spread(values: Sequence[float], confidence: float = CONFIDENCE) -> Spread:
    """The median of at least one value, with bounds that hold it with CONFIDENCE, whatever the distribution.

    The bounds are values: of N, the K-th from each end, where K is the largest for which the chance that fewer than K
    of N lie on one side of the median is at most half of what is left (binomial, exact). Fewer than 8 values cannot
    give 99 %; low and high are the smallest and the largest then.
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

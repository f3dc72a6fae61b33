"""From how many copies on one program takes less memory than another that takes less when it runs alone."""

from __future__ import annotations

from collections.abc import Sequence

from linkscope.measure.spread import least_apart
from linkscope.model.compare import Copies

_Point = tuple[int, int]
"""How many copies, and how many bytes they save against as many of the other program."""


def crossing(lean: Sequence[Copies], rival: Sequence[Copies]) -> tuple[int, int] | None:
    """The fewest and the most copies from which on LEAN may be the one that takes less, for all figures are noisy.

    Between two numbers that were measured it lies on a straight line, and beyond the largest on the last one: the sum
    of PSS over copies bends, so that a line from the first to the last would contradict what was measured in between.
    None where it is never less, or may never be: then the noise is as large as what a copy saves.
    """
    theirs = {one.count: one for one in rival}
    optimistic: list[_Point] = []
    pessimistic: list[_Point] = []
    for mine in sorted(lean, key=lambda one: one.count):
        other = theirs.get(mine.count)
        if other is not None:
            noise = round(least_apart(mine.pss, other.pss, max(mine.noise, other.noise)))
            optimistic.append((mine.count, other.pss - mine.pss + noise))
            pessimistic.append((mine.count, other.pss - mine.pss - noise))
    if len(optimistic) < 2:
        return None
    fewest = _above_zero(optimistic, pessimistic[-2])
    most = _above_zero(pessimistic, optimistic[-2])
    return None if fewest is None or most is None else (fewest, most)


def _above_zero(points: Sequence[_Point], before_last: _Point) -> int | None:
    """The first number from which on the line through POINTS is above zero; None where it never is.

    It goes on behind the last as it comes from BEFORE_LAST, so that the noise of both ends is in its slope.
    """
    below = max((place for place, (_, saved) in enumerate(points) if saved <= 0), default=-1)
    if below < 0:
        return points[0][0]
    is_last = below == len(points) - 1
    (few, start), (many, end) = (before_last, points[-1]) if is_last else (points[below], points[below + 1])
    if end <= start:
        return None
    return few + -start * (many - few) // (end - start) + 1

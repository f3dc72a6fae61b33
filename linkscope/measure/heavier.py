"""Whether a program takes more memory than another: by pairs of what was read in turn.

What a page costs a process depends on who else has it mapped at that moment (libc, libstdc++), and so it changes from
one second to the next, for all programs alike. Repetitions of one program, right behind one another, do not show that:
of a C++ program and a copy of its file they differed truly, as it seemed, in 4 of 14 calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from linkscope.measure.spread import Difference, least_apart

Samples = Mapping[int, Sequence[int]]
"""By the number of copies: bytes of PSS of all of them together, in the order of the rounds."""
# How far five values lie apart over how far fewer do, on the average, of a normal distribution (Tippett, On the Extreme
# Individuals and the Range of Samples, Biometrika 17, 1925): two say little of what a third would be.
_WIDER = {2: 2.06, 3: 1.37, 4: 1.13}
_LEAST_RATIO = 1e-9


def heavier(one: Samples, other: Samples, count: int) -> Difference:
    """How the memory of COUNT copies of ONE compares with that of OTHER, which were taken in turn: see `paired`.

    What was taken once may be wrong by as much as so many times the smallest number of copies that was taken twice.
    """
    mine, theirs = (samples.get(count, ()) for samples in (one, other))
    if min(len(mine), len(theirs)) != 1:
        return paired(mine, theirs)
    for few in sorted(one.keys() & other.keys()):
        differences = [a - b for a, b in zip(one[few], other[few], strict=False)]
        if len(differences) > 1:
            return paired(mine, theirs, noise(differences) * count / few)
    return paired(mine, theirs)


def paired(one: Sequence[int], other: Sequence[int], wrong_by: float | None = None) -> Difference:
    """How the bytes of ONE compare with those of OTHER: values of the same round stand at the same place.

    A difference is real if it is in every pair at least 3 %, and a page, and always in the same direction. Of fewer
    than five pairs it has to be as much as five would have, going by how far these lie apart. The chance that five
    pairs of equals, whose ratios scatter by 2.5 %, do so is below 1 in 10,000. Of a single pair nothing
    is real unless WRONG_BY says by how many bytes its difference may be wrong. low, high: the bounds.
    """
    differences = [a - b for a, b in zip(one, other, strict=False)]
    if not differences:
        return Difference(ratio=1.0, low=1.0, high=1.0, is_real=False, rounds=0)
    middle, wider = median(differences), _WIDER.get(len(differences), 1.0)
    low, high = (middle + (end - middle) * wider - (wrong_by or 0) * sign for end, sign in _ends(differences))
    mine, theirs = (max(1.0, median(values[: len(differences)])) for values in (one, other))
    least = least_apart(mine, theirs, 0)
    return Difference(
        ratio=max(_LEAST_RATIO, 1 + middle / theirs),
        low=1 + low / theirs,
        high=1 + high / theirs,
        is_real=(len(differences) > 1 or wrong_by is not None) and (low >= least or -high >= least),
        rounds=len(differences),
    )


def _ends(values: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The smallest and the largest, each with the direction in which it bounds the others."""
    return (min(values), 1), (max(values), -1)


def noise(values: Sequence[int]) -> int:
    """How far they lie apart, or would if there were five."""
    return round((max(values) - min(values)) * _WIDER.get(len(values), 1.0))

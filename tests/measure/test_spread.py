"""Bounds of a median, and when two programs differ."""

import random
import shutil
from collections.abc import Callable
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest

from linkscope.measure.command import Bounds
from linkscope.measure.rounds import run_rounds
from linkscope.measure.spread import FEWEST, PAGE, differ, least_apart, noise_of_one_more, spread
from linkscope.model.compare import Copies
from tests.measure.nasty import command

# Ranks of the values that bound a median with 99 %, as textbooks of nonparametric statistics print them (Conover,
# "Practical Nonparametric Statistics"; Gibbons, "Nonparametric Statistical Inference": quantile intervals).
RANKS = {8: (1, 8), 10: (1, 10), 11: (1, 11), 12: (2, 11), 15: (3, 13), 20: (4, 17), 25: (6, 20), 30: (8, 23)}


@pytest.mark.parametrize(("count", "ranks"), RANKS.items())
def test_the_bounds_are_the_values_of_the_textbook(count: int, ranks: tuple[int, int]) -> None:
    values = [float(number) for number in range(1, count + 1)]
    random.Random(count).shuffle(values)
    found = spread(values)
    assert (found.low, found.high) == ranks
    assert found.median == (count + 1) / 2


@pytest.mark.parametrize("count", [*range(8, 60), 199, 1000])
@pytest.mark.parametrize("confidence", [0.95, 0.99, 0.999])
def test_the_bounds_are_the_narrowest_that_hold_the_median_so_often(count: int, confidence: float) -> None:
    """The chance that the true median lies outside is counted here in whole numbers."""
    found = spread([float(number) for number in range(count)], confidence)
    outside = int(found.low)

    def chance(beyond: int) -> Fraction:
        return Fraction(2 * sum(comb(count, few) for few in range(beyond + 1)), 2**count)

    allowed = Fraction(1) - Fraction(str(confidence))
    assert found.high == count - 1 - outside
    assert chance(outside) <= allowed or outside == 0
    assert chance(outside + 1) > allowed


def test_few_values_are_bound_by_the_least_and_the_largest() -> None:
    for values in ([3.0], [3.0, 1.0], [5.0, 1.0, 2.0, 4.0, 3.0, 7.0, 6.0]):
        found = spread(values)
        assert (found.low, found.high) == (min(values), max(values))
        assert found.low <= found.median <= found.high


def test_outliers_do_not_move_it() -> None:
    quiet = [1.0 + number / 1000 for number in range(97)]
    assert spread([*quiet, 50.0, 60.0, 70.0]).high < 1.1


def _noisy(base: float, disturbance: list[float], seed: int) -> list[float]:
    """Values of rounds that were disturbed alike, each with a noise of its own that only adds."""
    noise = random.Random(seed)
    return [base * common * (1 + noise.expovariate(20)) for common in disturbance]


@pytest.mark.parametrize("seed", range(20))
def test_what_disturbs_both_in_a_round_hides_no_difference(seed: int) -> None:
    """The machine is up to four times slower for a while, more than the two differ."""
    disturbance = [1.0] * 30 + [4.0] * 30 + [2.0] * 40
    less, more = _noisy(1.0, disturbance, seed), _noisy(1.15, disturbance, seed + 1000)
    found = differ(more, less)
    assert found.is_real
    assert found.low <= found.ratio <= found.high
    assert found.ratio == pytest.approx(1.15, rel=0.05)
    assert differ(less, more).is_real
    assert differ(less, more).ratio == pytest.approx(1 / found.ratio, rel=0.001)


@pytest.mark.parametrize("seed", range(50))
def test_noise_is_no_difference(seed: int) -> None:
    disturbance = [1.0] * 30 + [4.0] * 30 + [2.0] * 40
    assert not differ(_noisy(1.0, disturbance, seed), _noisy(1.0, disturbance, seed + 1000)).is_real


def test_a_difference_below_three_percent_is_none_however_sure_it_is() -> None:
    values = [1.0 + number / 1e6 for number in range(1000)]
    assert not differ([value * 1.029 for value in values], values).is_real
    assert differ([value * 1.031 for value in values], values).is_real
    assert not differ(values, [value * 1.029 for value in values]).is_real
    assert differ(values, [value * 1.031 for value in values]).is_real


def test_what_is_sure_and_small_is_told_from_noise() -> None:
    values = [1.0 + number / 1e6 for number in range(1000)]
    small = differ([value * 1.029 for value in values], values)
    assert small.is_sure_and_small
    assert small.share == pytest.approx(0.029, rel=0.05)
    assert differ(values, [value * 1.029 for value in values]).share == pytest.approx(small.share, rel=0.05)
    assert not differ(values, values).is_sure_and_small
    assert not differ([value * 1.031 for value in values], values).is_sure_and_small
    noise = random.Random(1)
    assert not differ([noise.gauss(1.01, 0.3) for _ in range(50)], values[:50]).is_sure_and_small


@pytest.mark.parametrize(
    ("one", "other", "noise", "least"),
    [(10 * PAGE, 9 * PAGE, 0, PAGE), (1000 * PAGE, 900 * PAGE, 5, 30 * PAGE), (1000, 900 * PAGE, 99 * PAGE, 99 * PAGE)],
)
def test_memory_is_apart_by_its_noise_by_three_percent_and_by_a_page(
    one: int, other: int, noise: int, least: int
) -> None:
    assert least_apart(one, other, noise) == least_apart(other, one, noise) == pytest.approx(least)


def test_the_cost_of_one_more_is_wrong_by_what_both_ends_of_its_slope_are() -> None:
    few, many = (
        Copies(count=count, rss=0, pss=0, private=0, page_tables=0, noise=noise, moment="exit")
        for count, noise in ((1, 30), (16, 120))
    )
    assert noise_of_one_more(few, many) == 10


def test_few_rounds_show_no_difference() -> None:
    assert not differ([2.0] * (FEWEST - 1), [1.0] * (FEWEST - 1)).is_real
    assert differ([2.0] * FEWEST, [1.0] * FEWEST).is_real
    assert not differ([], []).is_real


def test_only_rounds_that_both_had_count() -> None:
    assert differ([2.0] * 40, [1.0] * 20).is_real
    assert not differ([2.0] * 40, [1.0] * 5).is_real


def test_what_differs_differs_in_the_same_direction_ten_times_and_copies_tie(
    fixture_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """Hello in three linkages that differ, each with a copy of itself, measured ten times."""
    paths = [fixture_file(f"hello/hello-{name}") for name in ("dynamic-pie", "static", "musl-static")]
    copies = [Path(shutil.copy(path, tmp_path)) for path in paths]
    commands = [command(path) for path in (*paths, *copies)]
    seen: dict[tuple[int, int], list[bool]] = {}
    for _ in range(10):
        programs = run_rounds(commands, Bounds(timeout=30), 50).programs
        for one in range(len(programs)):
            for other in range(one):
                found = differ(programs[one].seconds, programs[other].seconds)
                if found.is_real:
                    seen.setdefault((one, other), []).append(found.ratio > 1)
    assert all(len(set(directions)) == 1 for directions in seen.values())
    assert {(1, 0), (2, 0), (2, 1)} <= seen.keys()
    # Chance alone has one in some thousands; what is not chance would come again.
    assert all(len(seen.get(pair, [])) <= 1 for pair in [(3, 0), (4, 1), (5, 2)])

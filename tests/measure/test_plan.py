"""How often is planned what is slow and what is quick; the clock is the judge of how long that takes."""

import os
import time

import pytest

from linkscope.measure import copies as holding
from linkscope.measure import counters, overhead, rounds
from linkscope.measure.command import Bounds
from linkscope.measure.copies import copies
from linkscope.measure.plan import Cost, first_planned, planned
from linkscope.measure.rounds import run_rounds
from linkscope.measure.spread import FEWEST
from tests.measure.nasty import command

COPIES = (1, 4, 16)
QUICK, SLOW = Cost(0.0005, 0.0005), Cost(0.6, 0.001)


def test_of_a_quick_program_everything_is_run_as_often_as_it_says_something() -> None:
    plan = planned([QUICK] * 5, COPIES, None)
    assert (plan.warm_ups, plan.counted, plan.repeats, plan.pairs) == (
        rounds.WARM_UPS, counters.REPEAT, holding.REPEAT, overhead.PAIRS,
    )  # fmt: skip
    assert (plan.least, plan.most) == (rounds.LEAST, rounds.MOST)
    assert plan.seconds < 15
    assert 1000 < plan.most_starts < 1200


def test_a_slow_program_gets_the_rounds_of_a_comparison_and_little_else() -> None:
    """Two that take 0.6 s took 50 s once."""
    plan = planned([SLOW] * 2, COPIES, None)
    assert plan.least == plan.most == FEWEST
    assert plan.warm_ups == plan.counted == 1
    assert plan.repeats == holding.LEAST
    assert plan.pairs == 0
    assert plan.seconds < 26
    assert plan.most_starts < 65


@pytest.mark.parametrize("seconds", [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("programs", [1, 2, 6])
def test_beyond_the_rounds_of_a_comparison_nothing_takes_long(seconds: float, programs: int) -> None:
    """Some ten seconds, or what is done once of everything, and of copies twice at most."""
    costs = [Cost(seconds, 0.0)] * programs
    once = 3 * seconds * programs + 2 * sum(cost.together(count) for cost in costs for count in COPIES)
    plan = planned(costs, COPIES, None)
    assert plan.seconds < FEWEST * seconds * programs + max(once, 15.0) + 0.1
    assert plan.least >= FEWEST


@pytest.mark.parametrize("wanted", [1, 2, 12, 500])
def test_who_says_how_many_rounds_gets_these_and_no_more_of_anything_else(wanted: int) -> None:
    """The overhead takes pairs of runs."""
    plan = planned([QUICK], (1,), wanted)
    assert plan.least == plan.most == wanted
    assert max(plan.warm_ups, plan.counted, plan.pairs) <= wanted
    assert plan.repeats <= max(wanted, holding.LEAST)


def test_many_copies_that_compute_are_looked_at_once() -> None:
    """Sixteen of 0.6 s on two processors take 5 s."""
    cores = len(os.sched_getaffinity(0))
    plan = planned([Cost(0.6, 0.6)] * 2, (1, 8 * cores), None)
    assert plan.repeats == holding.LEAST
    assert plan.most_starts == 1 + 1 + FEWEST + 1 + 1 + 2 * (1 + 8 * cores)


def test_programs_that_compute_share_the_processors() -> None:
    cores = len(os.sched_getaffinity(0))
    assert Cost(1.0, 1.0).together(4 * cores) == pytest.approx(4.0, rel=0.3)
    assert Cost(1.0, 0.0).together(4 * cores) == pytest.approx(1.0, rel=0.3)


def test_how_long_a_plan_takes_is_about_what_it_says() -> None:
    """A busy machine makes it longer, but the sleep itself is no shorter than it is."""
    sleeps = command("/bin/sleep", "0.1")
    plan = planned([Cost(0.1, 0.001)], (1, 4), 11)
    bounds = Bounds(timeout=30)
    start = time.monotonic()
    run_rounds([sleeps], bounds, plan.most, plan.warm_ups)
    counters.counts(sleeps, bounds, plan.counted)
    copies(sleeps, (1, 4), bounds, plan.repeats)
    overhead.overhead(sleeps, bounds, plan.pairs)
    assert plan.seconds * 0.8 < time.monotonic() - start < plan.seconds * 2 + 3


def test_a_very_quick_one_is_no_division_by_nothing() -> None:
    assert planned([Cost(0.0, 0.0)], (1,), None).most == rounds.MOST


@pytest.mark.parametrize("seconds", [0.0005, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("later", [1.0, 4.0, 100.0])
def test_a_plan_made_anew_for_quicker_runs_does_nothing_more_often_than_the_first(seconds: float, later: float) -> None:
    first = first_planned([Cost(seconds, seconds)] * 2, COPIES, None)
    again = planned([Cost(seconds / later, seconds / later)] * 2, COPIES, None).no_more_than(first)
    assert (again.counted, again.repeats, again.pairs) <= (first.counted, first.repeats, first.pairs)
    once = 2 + first.warm_ups + first.most
    assert once + again.counted + again.repeats * sum(COPIES) + 2 * again.pairs <= first.most_starts


def test_no_more_rounds_are_run_than_are_planned() -> None:
    assert run_rounds([command("/bin/true")], Bounds(timeout=30), None, 0, most=12).rounds == 12

"""From how many copies on a program takes less memory: counted out, copy by copy."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linkscope.analysis.comparing.crossing import crossing
from tests.analysis.compared import KIB, copies


def _counted(more: int, less: int) -> int:
    """From how many copies on one whose first copy costs MORE than the other's and each further one LESS is ahead."""
    count = 1
    while more >= (count - 1) * less:
        count += 1
    return count


@given(
    first=st.integers(1, 500), more=st.integers(1, 500), step=st.integers(1, 100), less=st.integers(1, 99),
    noise=st.integers(0, 20), errors=st.lists(st.integers(-10, 10), min_size=6, max_size=6),
)  # fmt: skip
@example(first=100, more=50, step=50, less=10, noise=0, errors=[0] * 6)
def test_the_true_number_lies_in_what_is_told_as_long_as_the_figures_are_wrong_by_no_more_than_their_noise(
    first: int, more: int, step: int, less: int, noise: int, errors: list[int]
) -> None:
    """Each figure is wrong by half of the noise at most, so that no difference of two is by more."""
    wrong = [round(KIB * noise * error / 20) for error in errors]
    counts = (1, 4, 16)
    lean = {n: KIB * (first + more + (n - 1) * step) + e for n, e in zip(counts, wrong[:3], strict=True)}
    rival = {n: KIB * (first + (n - 1) * (step + less)) + e for n, e in zip(counts, wrong[3:], strict=True)}
    found = crossing(copies(lean, KIB * noise), copies(rival, KIB * noise))
    if found is not None:
        fewest, most = found
        assert fewest <= _counted(more, less) <= most


def test_it_is_told_as_exactly_as_memory_can_be() -> None:
    """A copy of the same file may differ by 3 %."""
    lean, rival = ({1: 150 * KIB, 16: 900 * KIB}, {1: 100 * KIB, 16: 1000 * KIB})
    assert crossing(copies(lean), copies(rival)) == (5, 8)
    assert crossing(copies(lean, 30 * KIB), copies(rival)) == (4, 10)


def test_it_lies_between_the_numbers_that_were_measured_where_the_sums_change_places_there() -> None:
    """The sum over copies bends: a line from one copy to sixteen would say 7."""
    lean, rival = {1: 700 * KIB, 4: 720 * KIB, 16: 1400 * KIB}, {1: 200 * KIB, 4: 900 * KIB, 16: 2000 * KIB}
    assert crossing(copies(lean), copies(rival)) == (4, 4)


def test_it_may_lie_beyond_what_was_measured() -> None:
    lean, rival = {1: 700 * KIB, 4: 850 * KIB}, {1: 200 * KIB, 4: 500 * KIB}
    fewest, most = crossing(copies(lean), copies(rival)) or (0, 0)
    assert fewest <= _counted(500, 50) <= most


@pytest.mark.parametrize(
    ("lean", "rival", "noise"),
    [
        ({1: 200 * KIB, 4: 600 * KIB}, {1: 100 * KIB, 4: 500 * KIB}, 0),  # each copy costs as much
        ({1: 200 * KIB, 4: 700 * KIB}, {1: 100 * KIB, 4: 500 * KIB}, 0),  # more
        ({1: 200 * KIB, 4: 590 * KIB}, {1: 100 * KIB, 4: 500 * KIB}, 20 * KIB),  # less, by what is noise
        ({1: 200 * KIB}, {1: 100 * KIB}, 0),
        ({1: 200 * KIB, 2: 300 * KIB}, {1: 100 * KIB, 4: 500 * KIB}, 0),
    ],
)
def test_where_it_may_never_be_nothing_is_told(lean: dict[int, int], rival: dict[int, int], noise: int) -> None:
    assert crossing(copies(lean, noise), copies(rival, noise)) is None


def test_who_is_not_behind_with_one_copy_is_ahead_from_there() -> None:
    lean, rival = {1: 100 * KIB, 4: 200 * KIB}, {1: 100 * KIB, 4: 500 * KIB}
    fewest, most = crossing(copies(lean, KIB), copies(rival, KIB)) or (0, 0)
    assert (fewest, most) == (1, 2)

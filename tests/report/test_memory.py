"""Sizes, shares and bars never say nothing or all where it is neither."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.model.quantities import percent, size
from linkscope.report.memory import bar
from linkscope.report.page import Page, cells

_SIZES = st.integers(0, 1 << 60)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0"),
        (1, "1 KiB"),
        (4096, "4 KiB"),
        (999 << 10, "999 KiB"),
        (1000 << 10, "1.0 MiB"),
        (1 << 20, "1.0 MiB"),
        (99_900 << 10, "97.6 MiB"),
        (100 << 20, "100 MiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 50, "1024 TiB"),
    ],
)
def test_a_size_in_its_largest_unit(count: int, said: str) -> None:
    assert size(count) == said


@given(st.integers(0, 999 << 40))
def test_a_size_takes_eight_columns_at_most(count: int) -> None:
    assert len(size(count)) <= 8


@given(_SIZES, _SIZES)
def test_a_larger_size_never_reads_smaller(one: int, other: int) -> None:
    smaller, larger = (_bytes(size(count)) for count in sorted((one, other)))
    assert smaller <= larger


def _bytes(said: str) -> float:
    number, _, unit = said.partition(" ")
    return float(number) * (1 << (10 * (["", "KiB", "MiB", "GiB", "TiB"].index(unit))))


@given(_SIZES, _SIZES, st.integers(2, 40))
def test_a_bar_and_a_percentage_are_empty_or_full_only_where_it_is_so(one: int, other: int, width: int) -> None:
    part, whole = sorted((one, other))
    (full, _), (empty, _) = bar(part, whole, Page(), width)
    assert cells(full) + cells(empty) == width
    assert (full == "" or percent(part, whole) == "0 %") == (part == 0) or not full
    assert bool(full) == (part > 0)
    assert bool(empty) == (part < whole or not whole)
    assert (percent(part, whole) == "0 %") == (part == 0)
    assert (percent(part, whole) == "100 %") == (0 < part == whole)

"""Names of compared programs stay apart, however little room there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.report.compare.names import called, in_common, narrowed, titles
from linkscope.report.page import cells
from tests.report.comparisons import program

_NAMES = st.lists(st.text("abc-_./", min_size=1, max_size=40), min_size=2, max_size=12, unique=True)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["build/app-static", "/opt/app-dynamic"], ["app-static", "app-dynamic"]),
        (["old/app", "new/app", "new/other"], ["old/app", "new/app", "other"]),
        (["app"], ["app"]),
        (["old/app", "new/lib", "old/app"], ["app#1", "lib", "app#2"]),
        (["old/app", "old/app", "new/app"], ["old/app#1", "old/app#2", "new/app"]),
    ],
)
def test_a_program_is_called_by_the_last_part_of_its_path_unless_another_is_called_so(
    paths: list[str], names: list[str]
) -> None:
    assert called([program(path) for path in paths]) == names


@pytest.mark.parametrize(
    ("names", "begin"),
    [
        (["hello-static", "hello-static-pie", "hello-musl"], "hello-"),
        (["server", "server-static"], ""),
        (["server-", "server-static"], ""),
        (["dist/app_1.0", "dist/app_1.1"], "dist/app_1."),
        (["dynamic", "dyn"], ""),
        (["alone-static"], ""),
    ],
)
def test_what_names_have_in_common_ends_at_a_separator(names: list[str], begin: str) -> None:
    assert in_common(names) == begin


@given(_NAMES, st.integers(6, 50))
def test_narrowed_names_fit_and_differ(names: list[str], width: int) -> None:
    shown = narrowed(names, width)
    assert len(set(shown)) == len(names)
    assert max(map(cells, shown)) <= width


@given(_NAMES, st.integers(6, 50))
def test_titles_in_lines_fit_and_differ(names: list[str], width: int) -> None:
    shown = titles(names, width)
    assert len(set(map(tuple, shown))) == len(names)
    assert max(cells(line) for lines in shown for line in lines) <= width


def test_a_program_that_is_named_twice_has_two_numbers() -> None:
    assert narrowed(["app", "app"], 20) == ["app#1", "app#2"]

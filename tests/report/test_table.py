"""A table is as wide as its cells, and as narrow as its page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.report.lines import clipped, painted
from linkscope.report.page import Page, cells
from linkscope.report.table import Column, table

_COLUMNS = (
    Column(title="n", right=True),
    Column(title="name", least=4),
    Column(title="spare", spare=1),
    Column(title="empty"),
    Column(title="path", least=8, middle=True),
)
_ROWS = [
    [("1", ""), ("short", ""), ("x", ""), ("", ""), ("/usr/lib/libc.so.6", "")],
    [("1000", ""), ("somewhat-longer", ""), ("y", ""), ("", ""), ("/a", "")],
]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (
            None,
            """\
   n  name             spare  path
   1  short            x      /usr/lib/libc.so.6
1000  somewhat-longer  y      /a
""",
        ),
        (
            40,
            """\
   n  name             spare  path
   1  short            x      /us…c.so.6
1000  somewhat-longer  y      /a
""",
        ),
        (34, "   n  name         spare  path\n   1  short        x      /us…so.6\n1000  somewhat-l…  y      /a\n"),
        (24, "   n  name      path\n   1  short     /us…so.6\n1000  somewha…  /a\n"),
        (17, "   n  name  path\n   1  sho…  /u….6\n1000  som…  /a\n"),
    ],
    ids=str,
)
def test_the_last_columns_are_narrowed_first_and_spare_ones_left_out(width: int | None, shown: str) -> None:
    assert painted(table(_COLUMNS, _ROWS, Page(width=width), 0), Page()) == shown


@given(
    st.lists(st.tuples(*[st.text(st.characters(codec=None), max_size=30)] * 5), max_size=5),
    st.one_of(st.none(), st.integers(26, 90)),
    st.integers(0, 4),
)
def test_all_lines_are_of_one_make_and_none_is_wider_than_the_page(
    rows: list[tuple[str, ...]], width: int | None, indent: int
) -> None:
    titles, *lines = table(_COLUMNS, [[(text, "") for text in row] for row in rows], Page(width=width), indent)
    assert len(lines) == len(rows)
    assert {len(line) for line in lines} <= {len(titles)}
    assert all(text.isprintable() for line in lines for text, _ in line)


@given(st.text(st.characters(codec=None), max_size=40), st.integers(0, 40))
def test_a_clipped_text_has_room(text: str, width: int) -> None:
    assert cells(clipped(text, width)) <= width
    assert clipped(text, width).isprintable()

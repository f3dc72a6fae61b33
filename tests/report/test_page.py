"""Lines keep to the width of their page, and colours and line art to pages that have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.report.lines import clipped
from linkscope.report.page import LINE_ART, Page, Span, cells, cut, flow, paint

_TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@given(_TEXT, st.integers(min_value=1, max_value=40))
def test_a_cut_text_has_room_in_its_column(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= width


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("libc.so.6", 9, "libc.so.6"),
        ("/lib/x86_64-linux-gnu/libpython3.11.so.1.0", 24, "/lib/x86…thon3.11.so.1.0"),
        ("库库库库库库", 7, "库…库库"),
        ("\x1b[31m", 5, r"\x…1m"),
    ],
    ids=["as it is", "middle", "wide characters", "counted as escaped"],
)
def test_a_text_that_is_too_long_loses_its_middle(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown


@given(st.lists(st.text("abc", min_size=1, max_size=30), min_size=1), st.integers(min_value=34, max_value=60))
def test_flowing_items_stay_whole_and_within_the_width(items: list[str], width: int) -> None:
    lines = list(flow([(item, "") for item in items], Page(width=width), [("  ", "")], [], ", "))
    texts = [paint(line, Page()) for line in lines]
    assert all(cells(text) <= width for text in texts)
    assert "".join(texts).replace(" ", "").split(",") == items


def test_a_page_without_an_edge_has_everything_on_one_line() -> None:
    assert len(list(flow([("word", "")] * 500, Page(), [], [], " "))) == 1


@pytest.mark.parametrize(("colour", "line"), [(True, "\x1b[32mfine\x1b[0m"), (False, "fine")])
def test_only_a_page_with_colour_gets_any(colour: bool, line: str) -> None:
    spans: list[Span] = [("fine", "good")]
    assert paint(spans, Page(colour=colour)) == line


def test_a_page_without_line_art_is_plain_ascii() -> None:
    assert paint([(LINE_ART, "")], Page(unicode=False)).isascii()


def test_a_title_is_cut_in_time_linear_in_the_width_however_long_it_is() -> None:
    """A command line may have megabytes of what is no ASCII."""
    assert clipped("é" * 2_000_000, 10) == "é" * 9 + "…"
    assert clipped("e\u0301" * 5, 5) == "e\u0301" * 5
    assert clipped("日本語", 4) == "日…"
    assert clipped("short", 5) == "short"

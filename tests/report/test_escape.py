"""No text out of a file reaches a terminal as anything but visible characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.report.escape import escape, exact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("libc.so.6", "libc.so.6"),
        ("/opt/größe/库.so", "/opt/größe/库.so"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\x7f", r"a\x0ab\x09c\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("lib\u202eos.a", r"lib\u202eos.a"),
        ("\u2066\u200b\u2028", r"\u2066\u200b\u2028"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("no\xa0break", r"no\xa0break"),
    ],
)
def test_what_does_not_print_becomes_a_visible_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text(st.characters(codec=None, categories=None)))
def test_escaped_text_only_prints_and_stays_what_it_is(text: str) -> None:
    assert escape(text).isprintable()
    assert escape(escape(text)) == escape(text)


def test_exact_bytes_beside_a_path_win_over_the_replacement_in_it() -> None:
    assert exact("caf\ufffd", "Y2Fm6Q==") == "caf\udce9"
    assert exact("café", None) == "café"

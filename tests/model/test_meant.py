"""Who misspells a name is asked for the one that was meant, everywhere by the same measure."""

from pathlib import Path

import pytest

import linkscope
from linkscope.model.meant import asked, meant

_RULES = ("missing-library", "missing-preload", "not-pie", "executable-stack", "no-relro")


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("mising-library", _RULES, ["missing-library"]),
        ("executable_stack", _RULES, ["executable-stack"]),
        ("nope", _RULES, []),  # nothing but letters of not-pie
        ("missing", _RULES, []),  # two begin so
        ("exec", _RULES, ["executable-stack"]),
        ("no", _RULES, []),  # as much begins so
        ("warn", ("error", "warning", "note", "off"), ["warning"]),
        ("", _RULES, []),
    ],
)
def test_a_slip_of_the_pen_and_a_beginning_say_what_was_meant(
    word: str, known: tuple[str, ...], expected: list[str]
) -> None:
    assert meant(word, known) == expected


def test_who_needs_to_be_surer_may_ask_for_more_likeness() -> None:
    assert meant("GLBC", ("GLIBC",)) == ["GLIBC"]
    assert meant("GLBC", ("GLIBC",), likeness=0.95) == []


def test_several_may_be_meant() -> None:
    assert asked(meant("debian:1", ("debian:11", "debian:12", "ubuntu:22.04"), 2)) in (
        "; did you mean debian:11 or debian:12?",
        "; did you mean debian:12 or debian:11?",
    )
    assert asked([]) == ""


def test_nobody_else_has_a_measure_of_likeness() -> None:
    """What `explain` does not take for a slip, no policy's file and no option may either."""
    package = Path(linkscope.__file__).parent
    users = [
        path.relative_to(package) for path in package.rglob("*.py") if "import get_close_matches" in path.read_text()
    ]
    assert users == [Path("model/meant.py")]

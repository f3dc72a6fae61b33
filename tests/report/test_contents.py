"""The part of a file's text that says what is inside it."""

import pytest

from linkscope.model.inspect import Content, Evidence
from linkscope.report.contents import contents
from linkscope.report.lines import painted
from linkscope.report.page import Page, cells
from tests.report.documents import program

ZLIB = Content(
    name="zlib",
    ecosystem="generic",
    version="1.2.13",
    evidence=[
        Evidence(kind="banner", text="deflate 1.2.13 Copyright 1995-2022 Jean-loup Gailly and Mark Adler"),
        Evidence(kind="banner", text="inflate 1.2.13 Copyright 1995-2022 Mark Adler"),
    ],
)
MODULE = Content(
    name="golang.org/x/crypto", ecosystem="go", version=None, evidence=[Evidence(kind="go-buildinfo", text="dep x")]
)


PLAIN = Page()


def _text(inside: list[Content] | None, page: Page = PLAIN, linkage: str = "dynamic") -> str:
    return painted(list(contents(program([], contents=inside, linkage=linkage), page)), page)


def test_each_has_its_name_its_version_and_its_first_proof() -> None:
    assert _text([MODULE, ZLIB]).splitlines() == [
        "  inside the file itself",
        "    go golang.org/x/crypto  version unknown  dep x",
        f"    zlib                    1.2.13           {ZLIB.evidence[0].text} (and 1 more)",
    ]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_line_fits_the_page(width: int) -> None:
    long = Content(name="n" * 90, ecosystem="go", version="v" * 90, evidence=ZLIB.evidence)
    for line in _text([ZLIB, long], Page(width=width)).splitlines():
        assert cells(line) <= max(width, 92)


def test_what_was_not_asked_for_is_a_hint_for_static_files_only() -> None:
    given = Page(given=("--root", "/my image"))
    assert _text(None) == ""
    assert "`linkscope inspect --contents --root '/my image' app`" in _text(None, given, linkage="static")


def test_nothing_found_is_said() -> None:
    assert _text([]) == "  inside       nothing that is known by its traces\n"
    assert "\x1b" not in _text([Content(name="\x1b[31m", ecosystem="\n", version="\r", evidence=[])])

"""The answer of `why` for people."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.model.why import SearchStep, WhyDocument
from linkscope.report.page import Page, cells
from linkscope.report.why import render

_MID = "/opt/app/lib/libmid.so"


def _step(source: str, outcome: str, **other: str | None) -> SearchStep:
    facts = {"of": None, "element": None, "candidate": None, "asked_by": "./app", **other}
    return SearchStep(source=source, outcome=outcome, **facts)  # type: ignore[arg-type]  # a row of a table


_FOUND = WhyDocument(
    path="./app",
    library="libfoo.so.1",
    chains=[["./app", "libmid.so", "libfoo.so.1"], ["./app", "libfoo.so.1"]],
    search=[
        _step("rpath", "not-applicable", asked_by=_MID, of="libmid.so", reason="libmid.so has a RUNPATH"),
        _step("runpath", "absent", asked_by=_MID, of=_MID, element="$ORIGIN", candidate="/opt/app/lib/libfoo.so.1"),
        _step("runpath", "wrong-class", asked_by=_MID, of=_MID, element="", candidate="libfoo.so.1"),
        _step("ld.so.cache", "absent", asked_by=_MID),
        _step("default", "found", element="/usr/lib/", candidate="/usr/lib/libfoo.so.1"),
    ],
    path_found="/usr/lib/libfoo.so.1",
    hints=[],
    errors=[],
)
_REPORT = """\
./app → libmid.so → libfoo.so.1
./app → libfoo.so.1

The search on behalf of /opt/app/lib/libmid.so:
  rpath of libmid.so  does not count: libmid.so has a RUNPATH
  runpath of libmid.so  $ORIGIN:(empty)
    /opt/app/lib/libfoo.so.1  not there
    libfoo.so.1               passed over: wrong class
  ld.so.cache  not there

The search on behalf of ./app:
  default folders
    /usr/lib/libfoo.so.1      found

found: /usr/lib/libfoo.so.1
"""


def test_a_whole_answer() -> None:
    assert render(_FOUND, Page(width=80)) == _REPORT


def test_what_is_not_found_ends_with_what_would_mend_it() -> None:
    refused = _step("default", "refused", element="/lib", candidate="/lib/libfoo.so.1", reason="file too short")
    document = WhyDocument(
        path="./app",
        library="libfoo.so.1",
        chains=[["./app", "libfoo.so.1"]],
        search=[refused],
        path_found=None,
        hints=["Put a library there."],
        errors=[],
    )
    shown = render(document, Page(width=80))
    assert "/lib/libfoo.so.1  refused: the search ends\n      file too short\n" in shown
    assert shown.endswith(
        "libfoo.so.1 is not loaded: the search ends at /lib/libfoo.so.1 (file too short)\n→ Put a library there.\n"
    )


def _document(search: list[SearchStep], chains: list[list[str]]) -> WhyDocument:
    return WhyDocument(
        path="./app", library="libfoo.so.1", chains=chains, search=search, path_found="/lib/x", hints=[], errors=[]
    )


def test_those_that_are_served_by_what_is_loaded_already_share_one_line() -> None:
    askers = ["/lib/a", "/lib/b"]
    served = [_step("loaded", "found", candidate="/lib/x", asked_by=asker, reason="it is loaded") for asker in askers]
    shown = render(_document([*_FOUND.search, *served], _FOUND.chains), Page(width=80))
    assert shown.replace("\nIt is loaded already when these ask for it:\n  a, b\n", "") == (
        _REPORT.replace("found: /usr/lib/libfoo.so.1", "found: /lib/x")
    )


def test_a_search_that_is_spared_by_luck_is_told_from_one_that_is_made() -> None:
    loaded = _step("loaded", "found", candidate="/lib/x", reason="it is loaded already, for /lib/a")
    spared = msgspec.structs.replace(_step("default", "absent", candidate="/lib/libfoo.so.1"), made=False)
    shown = render(_document([loaded, spared], [["./app", "libfoo.so.1"]]), Page(width=80))
    assert "It is loaded already when these ask for it:\n  app\n" in shown
    assert "Without that, ./app would be served like this:\n  default folders\n    /lib/libfoo.so.1" in shown


def test_many_chains_are_not_all_told() -> None:
    chains = [["./app", f"lib{number}.so", "libc.so.6"] for number in range(60)]
    shown = render(_document([], chains), Page(width=80))
    assert shown.count("→") < 40
    assert re.search(r"and along \d+ more chains\n", shown)


def test_an_element_that_does_not_count_is_named_among_others() -> None:
    search = [
        _step("runpath", "not-applicable", of="./app", element="$LIB/x", reason="$LIB has no value here"),
        _step("runpath", "absent", of="./app", element="/opt", candidate="/opt/libfoo.so.1"),
    ]
    shown = render(_document(search, []), Page(width=80))
    assert "  runpath of app  $LIB/x:/opt\n    $LIB/x does not count: $LIB has no value here\n    /opt/lib" in shown


def test_a_library_that_nobody_asks_for_is_said_to_be_one() -> None:
    document = WhyDocument(path="./app", library="x", chains=[], search=[], path_found=None, hints=[], errors=[])
    assert render(document, Page()).startswith("Nothing that ./app loads asks for x.\n")


@pytest.mark.parametrize("width", [60, 80])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    candidate = f"/opt/{'long/' * 30}libfoo.so.1"
    long = [_step("ld.so.cache", "absent", candidate=candidate), *_FOUND.search]
    document = WhyDocument(
        path="./app", library="x", chains=[["libaverage.so"] * 20], search=long, path_found="x", hints=[], errors=[]
    )
    assert max(map(cells, render(document, Page(width=width)).splitlines())) <= width


@given(st.text(st.characters(codec=None, categories=None), min_size=1, max_size=20))
def test_no_name_puts_anything_into_the_answer_that_does_not_print(name: str) -> None:
    step = _step("runpath", "refused", of=name, element=name, candidate=name, reason=name, asked_by=name)
    document = WhyDocument(
        path=name, library=name, chains=[[name]], search=[step], path_found=None, hints=[name], errors=[]
    )
    assert all(line.isprintable() for line in render(document, Page(width=80)).split("\n"))

"""The list of paths is what a copying script wants: exact, in order, nothing twice."""

from typing import Any

import msgspec
import pytest

from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.inspect import ClosureEntry, File, Problem
from linkscope.report.paths import render, visible
from tests.report.documents import library, program

_NO_LOADER = Problem(code="missing-interpreter", fatal=True, subject="/ld.so", needed_by="app", message="")


def test_the_file_comes_first_then_what_the_loader_opens_without_what_is_missing() -> None:
    file = program([library("b", ["app"]), library("gone", ["app"], found_by=None), library("a", ["app"])])
    assert b"".join(render([file], b"\n")) == b"app\n/lib64/ld-linux-x86-64.so.2\n/lib/b\n/lib/a\n"


def test_several_files_give_the_union_and_errors_nothing() -> None:
    shared = library("c", ["app"])
    files: list[File | AnalysisError] = [
        program([shared]),
        AnalysisError(path="x", error="y"),
        program([library("d", ["two"]), shared], path="two"),
    ]
    assert b"".join(render(files, b"\0")) == b"app\0/lib64/ld-linux-x86-64.so.2\0/lib/c\0two\0/lib/d\0"


@pytest.mark.parametrize(
    ("closure", "other", "listed"),
    [
        pytest.param([], {}, ["app", "/ld.so"], id="nothing needed: the kernel opens it all the same"),
        pytest.param(
            [library("a", ["app"]), library("ld.so", ["/lib/a"], path="/ld.so", found_by="interpreter")],
            {},
            ["app", "/lib/a", "/ld.so"],
            id="listed already: in its place",
        ),
        pytest.param([], {"linkage": "static", "interpreter": None}, ["app"], id="static"),
        pytest.param([], {"linkage": None, "kind": "shared-library"}, ["app"], id="a library is not started"),
        pytest.param([], {"problems": [_NO_LOADER]}, ["app"], id="not there"),
    ],
)
def test_the_loader_is_listed_once(closure: list[ClosureEntry], other: dict[str, Any], listed: list[str]) -> None:
    file = program(closure, **{"interpreter": "/ld.so", **other})
    assert b"".join(render([file], b"\n")).decode().splitlines() == listed


def test_bytes_that_are_no_utf8_come_out_as_they_are() -> None:
    path = "/opt/caf\udce9"
    entry = msgspec.structs.replace(library("c", ["app"]), path=text(path), path_bytes=exact_bytes(path))
    assert b"".join(render([program([entry])], b"\n")) == b"app\n/lib64/ld-linux-x86-64.so.2\n/opt/caf\xe9\n"


def test_a_terminal_is_shown_escapes() -> None:
    assert visible(b"a\x1b[31m\n\xff\n") == b"a\\x1b[31m\n\\xff\n"

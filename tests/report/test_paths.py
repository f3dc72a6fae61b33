"""The list of paths is what a copying script wants: exact, in order, nothing twice."""

import msgspec

from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.inspect import File
from linkscope.report.paths import render, visible
from tests.report.documents import library, program


def test_the_file_comes_first_then_what_the_loader_opens_without_what_is_missing() -> None:
    file = program([library("b", ["app"]), library("gone", ["app"], found_by=None), library("a", ["app"])])
    assert b"".join(render([file], b"\n")) == b"app\n/lib/b\n/lib/a\n"


def test_several_files_give_the_union_and_errors_nothing() -> None:
    shared = library("c", ["app"])
    files: list[File | AnalysisError] = [
        program([shared]),
        AnalysisError(path="x", error="y"),
        program([library("d", ["two"]), shared], path="two"),
    ]
    assert b"".join(render(files, b"\0")) == b"app\0/lib/c\0two\0/lib/d\0"


def test_bytes_that_are_no_utf8_come_out_as_they_are() -> None:
    path = "/opt/caf\udce9"
    entry = msgspec.structs.replace(library("c", ["app"]), path=text(path), path_bytes=exact_bytes(path))
    assert b"".join(render([program([entry])], b"\n")) == b"app\n/opt/caf\xe9\n"


def test_a_terminal_is_shown_escapes() -> None:
    assert visible(b"a\x1b[31m\n\xff\n") == b"a\\x1b[31m\n\\xff\n"

"""What is written piece by piece is the document, and a terminal is shown the same one."""

import json

import msgspec
import pytest

from linkscope.model.document import AnalysisError
from linkscope.model.inspect import File, InspectDocument
from linkscope.report.json import lines, streamed, visible
from tests.report.documents import hostile, library, program

_FILE = program([library("libc.so.6", ["app"])])
_ERROR = AnalysisError(path="/etc/passwd", error="not an ELF file")
_EVIL = hostile("\x1b[31m\x9b1m\u202e\x7f\U000e0041café")


@pytest.mark.parametrize(
    "results",
    [[], [_FILE], [_ERROR], [_FILE, _ERROR, _EVIL, _ERROR, _FILE]],
    ids=["nothing", "a file", "an error", "many"],
)
def test_the_streamed_document_is_the_encoded_document(results: list[File | AnalysisError]) -> None:
    document = InspectDocument(
        files=[result for result in results if isinstance(result, File)],
        errors=[result for result in results if isinstance(result, AnalysisError)],
    )
    assert b"".join(streamed(results)) == msgspec.json.encode(document) + b"\n"


def test_each_file_is_a_line_and_an_error_none() -> None:
    written = list(lines([_FILE, _ERROR, _EVIL]))
    assert written == [msgspec.json.encode(_FILE) + b"\n", msgspec.json.encode(_EVIL) + b"\n"]


def test_a_terminal_is_shown_the_same_document_without_anything_that_it_would_act_on() -> None:
    encoded = b"".join(streamed([_FILE, _EVIL]))
    shown = visible(encoded)
    assert json.loads(shown) == json.loads(encoded)
    assert shown.decode().rstrip("\n").isprintable()
    assert "café" in shown.decode()

"""The formats of check: found by their files' names, and all of them take any document."""

import json

import msgspec
import pytest
from hypothesis import given, settings

from linkscope.model.check import CheckDocument
from linkscope.report.formats import DEFAULT, names, pieces
from linkscope.report.page import Page
from tests.report.checks import document, hostile, hostile_text, several


def test_the_formats_are_those_that_are_promised_the_one_for_people_first() -> None:
    assert names() == (DEFAULT, "github", "gitlab", "json", "junit", "markdown", "sarif")


@pytest.mark.parametrize("form", names())
@pytest.mark.parametrize("checked", [document([], files=0), several()], ids=["nothing", "something"])
def test_every_format_ends_its_last_line(form: str, checked: CheckDocument) -> None:
    assert "".join(pieces(form, checked, Page(), "1.0")).endswith("\n")


@settings(max_examples=20)
@given(hostile_text)
def test_every_format_can_be_written_as_utf_8(text: str) -> None:
    for form in names():
        for piece in pieces(form, hostile(text), Page(width=80), "1.0"):
            piece.encode("utf-8")


def test_json_is_the_document() -> None:
    assert json.loads("".join(pieces("json", several(), Page(), "1.0"))) == msgspec.to_builtins(several())

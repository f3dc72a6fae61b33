"""`linkscope why`: its formats and its exit codes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import pytest

from linkscope.model.why import WhyDocument
from tests.cli.conftest import Linkscope

FixtureFile = Callable[[str], Path]


@pytest.mark.parametrize(
    ("program", "library", "code"),
    [
        ("chain/diamond/app", "libc.so.6", 0),
        ("chain/no-search-path/app", "libleaf.so", 1),
        ("chain/diamond/app", "libnobody-asks-for-this.so", 1),
        ("hello/hello-static", "libc.so.6", 1),
    ],
)
def test_the_exit_code_says_whether_the_file_gets_the_library(
    linkscope: Linkscope, fixture_file: FixtureFile, program: str, library: str, code: int
) -> None:
    for layout in ("text", "json"):
        ran = linkscope("why", "--format", layout, fixture_file(program), library)
        assert (ran.returncode, ran.stderr) == (code, b"")


def test_json_is_one_document_of_the_published_schema(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    written = linkscope("why", "--format", "json", fixture_file("chain/by-luck/app"), "libleaf.so").stdout
    jsonschema.Draft202012Validator(json.loads(linkscope("schema", "why").stdout)).validate(json.loads(written))
    assert msgspec.json.encode(msgspec.json.decode(written, type=WhyDocument)) + b"\n" == written


@pytest.mark.parametrize("name", ["nothing", "/etc/passwd"])
def test_what_cannot_be_analysed_is_an_error(linkscope: Linkscope, name: str) -> None:
    text = linkscope("why", name, "libc.so.6")
    assert (text.returncode, text.stdout) == (2, b"")
    assert text.stderr.startswith(b"linkscope: " + os.fsencode(name) + b": ")
    document = linkscope("why", "--format", "json", name, "libc.so.6")
    assert (document.returncode, document.stderr) == (2, b"")
    assert [error["path"] for error in json.loads(document.stdout)["errors"]] == [name]


def test_a_missing_argument_is_explained(linkscope: Linkscope) -> None:
    ran = linkscope("why", "app")
    assert ran.returncode == 2
    assert b"Missing argument 'LIBRARY'" in ran.stderr

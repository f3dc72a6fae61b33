"""`linkscope diff`: its formats, its exit codes, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import pytest

from linkscope.model.diff import DiffDocument
from tests.cli.conftest import Linkscope

FixtureFile = Callable[[str], Path]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--fail-on", "floor-raised"), 1),
        (("--fail-on", "deployment-risk"), 1),
        (("--fail-on", "abi-break"), 0),
        (("--fail-on", "abi-break, hardening-lost"), 1),
        (("--max-growth", "5"), 0),
    ],
)
def test_only_a_change_that_was_named_fails(
    linkscope: Linkscope, fixture_file: FixtureFile, options: tuple[str, ...], code: int
) -> None:
    ran = linkscope("diff", *options, fixture_file("diff/old/app"), fixture_file("diff/new/app"))
    assert (ran.returncode, ran.stderr) == (code, b"")


def test_a_file_may_grow_by_as_much_as_was_said(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    small, large = fixture_file("hello/hello-dynamic-pie"), fixture_file("hello/hello-static")
    more = 100 * (large.stat().st_size - small.stat().st_size) / small.stat().st_size
    assert linkscope("diff", "--max-growth", str(more - 1), small, large).returncode == 1
    assert linkscope("diff", "--max-growth", str(more + 1), small, large).returncode == 0


def test_json_is_one_document_of_the_published_schema(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    ran = linkscope("diff", "--format", "json", fixture_file("diff/old"), fixture_file("diff/new"))
    document = json.loads(ran.stdout)
    jsonschema.Draft202012Validator(json.loads(linkscope("schema", "diff").stdout)).validate(document)
    assert msgspec.json.encode(msgspec.json.decode(ran.stdout, type=DiffDocument)) + b"\n" == ran.stdout
    assert {"code", "path", "subject", "old", "new", "message"} <= document["changes"][0].keys()


def test_the_text_names_the_risk_and_its_figure(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    text = linkscope("diff", fixture_file("diff/old/app"), fixture_file("diff/new/app")).stdout.decode()
    assert "deployment risk: needs GLIBC_2.36, needed 2.34 before" in text
    assert "security: RELRO is none, was full" in text


def test_an_unknown_name_is_refused_with_the_one_that_was_meant(linkscope: Linkscope) -> None:
    ran = linkscope("diff", "--fail-on", "flor-raised", "a", "b")
    assert ran.returncode == 2
    assert b"did you mean floor-raised?" in ran.stderr


def test_a_gate_that_names_nothing_is_refused(linkscope: Linkscope) -> None:
    assert linkscope("diff", "--fail-on", "", "a", "b").returncode == 2


def test_what_cannot_be_analysed_is_said_and_exits_with_2(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    ran = linkscope("diff", fixture_file("diff/old/app"), "nothing")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr == b"linkscope: nothing: no such file or directory\n"

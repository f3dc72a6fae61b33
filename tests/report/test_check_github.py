"""GitHub's workflow commands: each line is one command, read back as its runner reads it."""

import re

import pytest
from hypothesis import given

from linkscope.model.check import CheckDocument
from linkscope.report.check.github import render
from linkscope.report.escape import escape
from tests.report.checks import document, finding, hostile, hostile_text, several

_COMMAND = re.compile(r"::(?P<name>\w+) (?P<properties>[^:]*)::(?P<message>.*)\n")
# "Workflow commands for GitHub Actions" and its toolkit: what stands for what, in values of properties and messages.
_MESSAGE = {"%0D": "\r", "%0A": "\n", "%25": "%"}
_PROPERTY = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}


def _unescaped(text: str, table: dict[str, str]) -> str:
    assert set(re.findall("%..?", text)) <= set(table)
    return re.sub("|".join(table), lambda found: table[found[0]], text)


def _commands(checked: CheckDocument) -> list[tuple[str, dict[str, str], str]]:
    """The commands of the report, whose last line is none."""
    *lines, counts = render(checked)
    assert re.fullmatch(r"\d+ files?: [\w ,]+\n", counts)
    read = []
    for line in lines:
        command = _COMMAND.fullmatch(line)
        assert command, line
        properties = dict(part.split("=", 1) for part in command["properties"].split(","))
        values = {key: _unescaped(value, _PROPERTY) for key, value in properties.items()}
        read.append((command["name"], values, _unescaped(command["message"], _MESSAGE)))
    return read


def test_each_level_has_its_command_the_gravest_first_and_what_is_accepted_has_none() -> None:
    assert [(name, values.get("file"), values["title"]) for name, values, _ in _commands(several())] == [
        ("error", "dist/README", "not analysed"),
        ("error", "dist/app", "missing-library"),
        ("warning", "dist/app", "executable-stack"),
        ("warning", "dist/app.whl", "executable-stack"),
        ("notice", None, "no-canary"),
    ]


def test_evidence_is_part_of_the_message_and_bounded() -> None:
    message = _commands(several())[1][2].split("\n")
    assert message[:2] == ["libfoo.so.1 is found nowhere", "needed by dist/app"]
    assert message[-1] == "and 14 more"


def test_a_note_about_many_files_is_one_notice() -> None:
    assert _commands(several())[-1][2] == "13 files: No function of the file has a stack canary."
    few = document([finding("no-canary", path) for path in ("a", "b")])
    assert [values["file"] for _, values, _ in _commands(few)] == ["a", "b"]


@pytest.mark.parametrize(
    ("path", "written"),
    [("a,b", "a%2Cb"), ("c:d", "c%3Ad"), ("50%", "50%25"), ("%2C", "%252C"), ("./x", "x"), ("a\nb", r"a\x0ab")],
)
def test_a_property_is_escaped_as_the_runner_wants_it(path: str, written: str) -> None:
    assert next(iter(render(document([finding("no-canary", path)])))).startswith(f"::notice file={written},title=")


@given(hostile_text)
def test_no_name_ends_a_command_or_begins_one(text: str) -> None:
    commands = _commands(hostile(text))
    assert len(commands) == 1 + 3 * 2
    assert all(escape(text) in message for _, _, message in commands)

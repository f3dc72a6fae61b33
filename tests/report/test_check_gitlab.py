"""GitLab's code quality report: the keys, values and paths that its documentation asks for."""

import json
from typing import Any

from hypothesis import given

from linkscope.model.check import CheckDocument
from linkscope.report.check.gitlab import render
from linkscope.report.escape import escape
from tests.report.checks import document, finding, hostile, hostile_text, several

# "Code Quality report format": the severities that there are.
_SEVERITIES = {"info", "minor", "major", "critical", "blocker"}


def _entries(checked: CheckDocument) -> list[Any]:
    text = "".join(render(checked))
    assert not text.startswith("\ufeff")  # a byte order mark is refused
    entries: list[Any] = json.loads(text)
    for entry in entries:
        assert entry.keys() == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in _SEVERITIES
        assert isinstance(entry["location"]["lines"]["begin"], int)
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)
    return entries


def test_nothing_found_is_an_empty_array() -> None:
    assert _entries(document([])) == []


def test_what_is_open_is_told_with_its_severity_and_what_is_accepted_is_not() -> None:
    told = [(entry["check_name"], entry["severity"], entry["location"]["path"]) for entry in _entries(several())]
    assert told[:5] == [
        ("not-analysed", "major", "dist/README"),
        ("missing-library", "major", "dist/app"),
        ("executable-stack", "minor", "dist/app"),
        ("executable-stack", "minor", "dist/app.whl"),
        ("no-canary", "info", "dist/app"),
    ]
    assert len(told) == 5 + 12


def test_two_findings_with_one_fingerprint_are_two_entries() -> None:
    assert len(_entries(document([finding("no-canary"), finding("no-canary")]))) == 2


def test_a_path_is_relative_to_the_repository_without_a_leading_dot() -> None:
    assert _entries(document([finding("no-canary", "./dist/app")]))[0]["location"]["path"] == "dist/app"


@given(hostile_text)
def test_no_name_breaks_the_report(text: str) -> None:
    entries = _entries(hostile(text))
    assert len(entries) == 1 + 3 * 2
    assert all(entry["description"].endswith(escape(text)) for entry in entries)

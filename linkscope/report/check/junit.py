"""`linkscope check` as JUnit's XML, which every CI service shows as tests: those of a file are what its rules say."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from linkscope.model.check import CheckDocument, Finding, RuleText
from linkscope.model.document import AnalysisError
from linkscope.report.escape import escape, exact
from linkscope.report.verdict import bounded, by_rule, count_of, rules_by_id

_NAME = "linkscope check"
_EVIDENCE = 50


def render(document: CheckDocument) -> Iterator[str]:
    """A suite a file, in it a case for each rule that says something; a last suite of the rules that do not.

    A new error is a failure, what is accepted is skipped, what could not be analysed is an error. Warnings and notes
    pass, with what they say as output. Times are left out: a case takes none.
    Source: the schema of the Jenkins xUnit plugin (junit), which other readers keep to; it has no attributes for
    `skipped`, and of several failures readers take the first.
    """
    top = Element("testsuites", name=_NAME)
    rules = rules_by_id(document)
    for path, found in _by_path(document).items():
        suite = SubElement(top, "testsuite", name=path)
        for item in found:
            if isinstance(item, AnalysisError):
                _not_analysed(suite, path, item)
        for rule, findings in by_rule(item for item in found if isinstance(item, Finding)).items():
            _case(suite, path, rule, findings, rules.get(rule))
    _silent(top, document)
    for suite in top:
        _count(suite, list(suite))
    _count(top, list(top.iter("testcase")))
    del top.attrib["skipped"]  # the schema knows it of a suite only
    indent(top)
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(top, encoding="unicode")}\n'


def _by_path(document: CheckDocument) -> dict[str, list[Finding | AnalysisError]]:
    groups: dict[str, list[Finding | AnalysisError]] = {}
    items: list[Finding | AnalysisError] = [*document.errors, *document.findings]
    for item in items:
        groups.setdefault(escape(exact(item.path, item.path_bytes)), []).append(item)
    return groups


def _not_analysed(suite: Element, path: str, error: AnalysisError) -> None:
    case = SubElement(suite, "testcase", name="analysis", classname=path)
    SubElement(case, "error", type="not-analysed", message=escape(error.error)).text = escape(error.error)


def _case(suite: Element, path: str, rule: str, findings: list[Finding], text: RuleText | None) -> None:
    """One rule's word on one file, which fails as soon as one of its findings does."""
    case = SubElement(suite, "testcase", name=escape(rule), classname=path)
    failing = [finding for finding in findings if finding.level == "error" and finding.status == "new"]
    if failing:
        message = escape(failing[0].message)
        if len(failing) > 1:
            message += f" (and {len(failing) - 1} more)"
        remedy = [] if text is None else ["", text.remedy]
        failure = SubElement(case, "failure", type=escape(rule), message=message)
        failure.text = "\n".join([*_said(failing), *remedy])
    elif all(finding.status != "new" for finding in findings):
        SubElement(case, "skipped").text = "\n".join(map(_accepted, findings))
    rest = [finding for finding in findings if finding.status == "new" and finding.level != "error"]
    if rest:
        SubElement(case, "system-out").text = "\n".join(_said(rest))


def _said(findings: list[Finding]) -> list[str]:
    lines: list[str] = []
    for finding in findings:
        lines.append(escape(f"{finding.level}: {finding.message}"))
        lines += [f"  {escape(line)}" for line in bounded(finding.evidence, _EVIDENCE)]
    return lines


def _accepted(finding: Finding) -> str:
    if finding.waived is None:
        return escape(f"in the baseline: {finding.message}")
    until = f" until {finding.waived.until}" if finding.waived.until else ""
    return escape(f"waived{until}, {finding.waived.reason}: {finding.message}")


def _silent(top: Element, document: CheckDocument) -> None:
    """Rules that object to no file pass. Without them a run in which all is well would hold no test, a fault to CI."""
    files = count_of(document.summary.files, "file")
    speaking = {finding.rule for finding in document.findings}
    silent = [rule for rule in document.rules if rule.id not in speaking]
    if silent and document.summary.files:
        suite = SubElement(top, "testsuite", name=f"{files} in all")
        for rule in silent:
            SubElement(suite, "testcase", name=rule.id, classname=_NAME)


def _count(element: Element, cases: list[Element]) -> None:
    element.set("tests", str(len(cases)))
    for attribute, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(case.find(child) is not None for case in cases)))

"""`linkscope check` in SARIF 2.1.0 (OASIS), for code scanners and viewers. Sections named are of that standard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from linkscope.model.check import LEVELS, CheckDocument, Finding, RuleText
from linkscope.model.document import AnalysisError
from linkscope.report.escape import escape
from linkscope.report.places import Place, message_of, place_of
from linkscope.report.verdict import bounded, marks, reason_of

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# The folder that relative URIs are relative to; what it is, the reader knows (3.14.14, GitHub's name for its checkout).
_BASE = "%SRCROOT%"
_EVIDENCE = 20
_PLACEHOLDER = re.compile(r"\{(\d+)\}")
_LINK = re.compile(r"\[([^\[\]]*)\](?=\()")

Json = dict[str, object]


def render(document: CheckDocument, version: str) -> Iterator[str]:
    """One SARIF log of one run. VERSION is LinkScope's own.

    Accepted findings are among the results, each with its suppression (3.27.23), so that a viewer can show them.
    """
    places = {rule.id: number for number, rule in enumerate(document.rules)}
    compared = document.summary.baseline > 0
    driver = {"name": "LinkScope", "version": version, "rules": [_rule(rule) for rule in document.rules]}
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(document.errors)],
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, mark, places, compared) for finding, mark in marks(_gravest_first(document))],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    yield msgspec.json.encode(log).decode("utf-8") + "\n"


def _gravest_first(document: CheckDocument) -> list[Finding]:
    """A reader that takes only so many results takes the first ones."""
    return sorted(document.findings, key=lambda finding: LEVELS.index(finding.level))


def _rule(rule: RuleText) -> Json:
    """A reportingDescriptor (3.49). The remedy is Markdown already."""
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.remedy, "markdown": rule.remedy},
        "defaultConfiguration": {"level": rule.level},
    }


def _invocation(errors: list[AnalysisError]) -> Json:
    """What could not be analysed is told by notifications (3.58), for it says nothing about a file's quality."""
    notifications = [
        {"level": "error", "message": {"text": _text(message_of(error))}, "locations": [_location(place_of(error))]}
        for error in errors
    ]
    return {"executionSuccessful": not errors, "toolExecutionNotifications": notifications}


def _result(finding: Finding, mark: str, places: dict[str, int], compared: bool) -> Json:
    """A result (3.27). GitHub tells results apart by primaryLocationLineHash, and would count lines to make its own.

    compared: whether there is a baseline; then every result has a baselineState, else none.
    """
    result: Json = {
        "ruleId": finding.rule,
        "level": finding.level,
        "message": {"text": "\n".join(map(_text, [message_of(finding), *bounded(finding.evidence, _EVIDENCE)]))},
        "locations": [_location(place_of(finding))],
        "partialFingerprints": {"linkscope/v1": mark, "primaryLocationLineHash": f"{mark[:16]}:1"},
        "suppressions": _suppressions(finding),
    }
    if finding.rule in places:
        result["ruleIndex"] = places[finding.rule]
    if finding.subject:
        result["properties"] = {"subject": escape(finding.subject)}
    if compared:
        result["baselineState"] = "unchanged" if finding.status == "baseline" else "new"
    return result


def _suppressions(finding: Finding) -> list[Json]:
    """Who accepted it; [] for nobody, because either all results have the list or none (3.27.23)."""
    if finding.status == "new":
        return []
    reason = "It is in the baseline."
    if finding.waived is not None:
        reason = escape(reason_of(finding.waived))
    return [{"kind": "external", "status": "accepted", "justification": reason}]


def _location(place: Place) -> Json:
    """The file, or the archive with the member as a logical location (3.33), which code hosts pass over.

    A binary has no lines, and a location without a region means all of it (3.29.4); but GitHub wants a first line.
    """
    artifact: Json = {"uri": place.uri}
    if not place.path.startswith("/"):
        artifact["uriBaseId"] = _BASE
    location: Json = {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": 1}}}
    if place.member is not None:
        name = {"name": escape(place.member), "fullyQualifiedName": escape(place.whole), "kind": "module"}
        location["logicalLocations"] = [name]
    return location


def _text(text: str) -> str:
    """TEXT in a plain message: neither a placeholder (3.11.5) nor an embedded link (3.11.6) can come out of a file."""
    return _LINK.sub(r"\\[\1\\]", _PLACEHOLDER.sub(r"{{\1}}", escape(text)))

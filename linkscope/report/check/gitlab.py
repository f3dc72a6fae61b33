"""`linkscope check` as a GitLab code quality report, which a merge request shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from linkscope.model.check import CheckDocument, Level
from linkscope.model.document import AnalysisError
from linkscope.report.escape import escape
from linkscope.report.places import Place, message_of, place_of
from linkscope.report.verdict import marks, open_findings

_SEVERITIES: dict[Level, str] = {"error": "major", "warning": "minor", "note": "info"}


def render(document: CheckDocument) -> Iterator[str]:
    """One JSON array of what nobody has accepted; what could not be analysed is among it.

    Source: GitLab, "Code Quality", "Code Quality report format": these five keys are required, the fingerprint must
    be unique, the path relative to the repository and without `./`.
    """
    entries = [_not_analysed(error) for error in document.errors]
    for finding, mark in marks(open_findings(document)):
        severity = _SEVERITIES[finding.level]
        entries.append(_entry(message_of(finding), finding.rule, mark, severity, place_of(finding)))
    yield msgspec.json.encode(entries).decode("utf-8") + "\n"


def _not_analysed(error: AnalysisError) -> dict[str, object]:
    mark = hashlib.sha256(f"not-analysed\0{error.path}\0{error.error}".encode()).hexdigest()
    return _entry(f"not analysed: {message_of(error)}", "not-analysed", mark, "major", place_of(error))


def _entry(description: str, check: str, mark: str, severity: str, place: Place) -> dict[str, object]:
    """One entry. There are no lines in a binary, but the first one has to be named."""
    return {
        "description": escape(description),
        "check_name": check,
        "fingerprint": mark,
        "severity": severity,
        "location": {"path": escape(place.path), "lines": {"begin": 1}},
    }

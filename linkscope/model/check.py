"""The document of `linkscope check`: what of some files is not as it was asked for, and the rules that say so."""

from __future__ import annotations

from typing import Literal, get_args

from linkscope.model.document import AnalysisError, Document

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""The levels, the gravest first."""
Status = Literal["new", "baseline", "waived"]


class Waived(Document, frozen=True, kw_only=True):
    """Why a finding is accepted, in the policy's own words; until: the last day on which it is (ISO 8601)."""

    reason: str
    until: str | None


class Finding(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a rule objects to in one file.

    subject: what in the file it is about (a library, a version, an element of a search path), "" for the file itself.
    evidence: what shows it, a line each. fingerprint: the same in every run for the same finding, wherever the file
    was built, for baselines and code scanners. waived: only where `status` is `waived`.
    """

    rule: str
    level: Level
    path: str
    subject: str
    status: Status
    message: str
    evidence: list[str]
    fingerprint: str
    waived: Waived | None = None
    path_bytes: str | None = None


class RuleText(Document, frozen=True, kw_only=True):
    """What a rule is about: `summary` in one line, `why` it matters, and the `remedy`. level: its own default."""

    id: str
    level: Level
    summary: str
    why: str
    remedy: str


class Summary(Document, frozen=True, kw_only=True):
    """files: how many were checked. errors, warnings, notes: findings that are new, by level; the others by status."""

    files: int
    errors: int
    warnings: int
    notes: int
    waived: int
    baseline: int = 0


class Checked(Document, frozen=True, kw_only=True):
    """One file that was checked, and what was found: a step on the way to the document, not a part of it.

    archive: it is a package, whose files are checked each for itself.
    """

    path: str
    findings: list[Finding]
    path_bytes: str | None = None
    archive: bool = False


class CheckDocument(Document, frozen=True, kw_only=True):
    """All that one call of `linkscope check` found; `rules` are those that were applied, by id."""

    schema: Literal["linkscope/check/1"] = "linkscope/check/1"
    findings: list[Finding]
    rules: list[RuleText]
    summary: Summary
    errors: list[AnalysisError]


def summary_of(findings: list[Finding], files: int) -> Summary:
    """FINDINGS of FILES files, counted."""
    new = [finding.level for finding in findings if finding.status == "new"]
    status = [finding.status for finding in findings]
    return Summary(
        files=files,
        errors=new.count("error"),
        warnings=new.count("warning"),
        notes=new.count("note"),
        waived=status.count("waived"),
        baseline=status.count("baseline"),
    )

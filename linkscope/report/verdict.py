"""What `check` found, counted and put in order, the same in every format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from linkscope.model.check import LEVELS, CheckDocument, Finding, Level, RuleText, Waived


def open_findings(document: CheckDocument, *levels: Level) -> list[Finding]:
    """The findings of LEVELS (none: of any) that nobody has accepted, the gravest first, else in their order."""
    wanted = levels or LEVELS
    new = [finding for finding in document.findings if finding.status == "new" and finding.level in wanted]
    return sorted(new, key=lambda finding: LEVELS.index(finding.level))


def by_rule(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """FINDINGS of each rule, in the order in which the rules come first."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.rule, []).append(finding)
    return groups


def rules_by_id(document: CheckDocument) -> dict[str, RuleText]:
    """The rules that were applied."""
    return {rule.id: rule for rule in document.rules}


def counts(document: CheckDocument) -> list[tuple[str, str]]:
    """What was found, each with its kind: `1 error` with `error`; kinds beyond the levels: waived, baseline, failed."""
    summary = document.summary
    numbers = (
        ("error", summary.errors, "{} {}"),
        ("warning", summary.warnings, "{} {}"),
        ("note", summary.notes, "{} {}"),
        ("waived", summary.waived, "{} waived"),
        ("baseline", summary.baseline, "{} in the baseline"),
        ("failed", len(document.errors), "{} not analysed"),
    )
    return [(text.format(number, _plural(kind, number)), kind) for kind, number, text in numbers if number]


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"


def count_of(number: int, word: str) -> str:
    """NUMBER of things called WORD: `1 file`, `2 files`."""
    return f"{number} {_plural(word, number)}"


def all_well(document: CheckDocument) -> bool:
    """Whether nothing was found that anybody should do something about."""
    return not (document.summary.errors or document.summary.warnings or document.errors)


def waived_for(document: CheckDocument) -> dict[tuple[str, str], list[Finding]]:
    """The findings that waivers accept, by rule and reason, the reason with its last day."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in document.findings:
        if finding.waived is not None:
            groups.setdefault((finding.rule, reason_of(finding.waived)), []).append(finding)
    return groups


def reason_of(waived: Waived) -> str:
    """Why a finding is accepted, and until when."""
    return f"{waived.reason} (until {waived.until})" if waived.until else waived.reason


def summary_line(document: CheckDocument) -> str:
    """All counts in one line: `3 files: 1 error, 2 warnings, 4 notes, 1 waived`."""
    found = [text for text, _ in counts(document)]
    if all_well(document):
        found.insert(0, "ok")
    return f"{count_of(document.summary.files, 'file')}: {', '.join(found)}"


def bounded(lines: Sequence[str], most: int) -> list[str]:
    """LINES, of which no more than MOST are shown, the last then says how many more there are."""
    if len(lines) <= most:
        return list(lines)
    shown = lines[: most - 1]
    return [*shown, f"and {len(lines) - len(shown)} more"]


def marks(findings: Iterable[Finding]) -> Iterator[tuple[Finding, str]]:
    """Each of FINDINGS with a fingerprint that no other of them has: several of a rule may have one subject."""
    seen: dict[str, int] = {}
    for finding in findings:
        before = seen.get(finding.fingerprint, 0)
        seen[finding.fingerprint] = before + 1
        mark = finding.fingerprint
        yield finding, hashlib.sha256(f"{mark}\0{before}".encode()).hexdigest() if before else mark

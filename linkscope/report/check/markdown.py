"""`linkscope check` as Markdown for a comment on a pull request, or for the summary of a CI job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from linkscope.model.check import CheckDocument, Finding, RuleText
from linkscope.model.document import AnalysisError
from linkscope.report.escape import exact
from linkscope.report.lines import clipped
from linkscope.report.markup import block, code, prose, sentence
from linkscope.report.page import cut
from linkscope.report.verdict import bounded, by_rule, count_of, open_findings, rules_by_id, summary_line, waived_for

_ROOM = 65_000
"""Characters of the whole: GitHub refuses a comment of more than 65,536."""
_LAST = 400  # kept free for the line that says what is left out
_FOLDS = 25_000  # kept free by the table for what is folded below it
_PATH, _MESSAGE, _LINE, _NAME = 200, 400, 200, 100  # columns that one of them may take
_FINDINGS, _EVIDENCE, _FILES = 10, 10, 3  # how many of them are shown where there are more
Item = TypeVar("Item")
_MARKS = {"error": "❌ error", "warning": "⚠️ warning"}


def render(document: CheckDocument) -> Iterator[str]:
    """The counts, a table of errors and warnings, then folded: what shows and mends them, and the notes.

    What finds no room is left out, and counted in the last line. What is accepted is counted only.
    """
    sheet = _Sheet()
    sheet.put(f"### LinkScope: {sentence(summary_line(document))}\n")
    grave, notes = open_findings(document, "error", "warning"), open_findings(document, "note")
    rules = rules_by_id(document)
    if grave and sheet.put("\n| | File | Finding | Rule |\n| --- | --- | --- | --- |\n"):
        sheet.each("errors and warnings", grave, _row, _FOLDS)
    sheet.put("\n")
    sheet.each("files that could not be analysed", document.errors, _error, _FOLDS)
    groups = list(by_rule(grave).values())
    sheet.each("rules with what shows and mends it", groups, lambda found: _details(found, rules))
    if notes:
        sheet.each("the notes", [by_rule(notes)], lambda noted: _notes(noted, rules))
    if waived := waived_for(document):
        sheet.each("what is waived", [waived], _waived)
    yield sheet.text()


def _waived(groups: Mapping[tuple[str, str], Sequence[Finding]]) -> str:
    """What is accepted, and why."""
    rows = [
        f"- {code(rule)}, {_files(list(alike))}: {sentence(clipped(reason, _MESSAGE))}\n"
        for (rule, reason), alike in groups.items()
    ]
    return _folded(f"{count_of(sum(map(len, groups.values())), 'finding')} waived", rows)


class _Sheet:
    """Text that does not outgrow its room."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room = _ROOM - _LAST
        self._left_out: list[str] = []

    def put(self, part: str, free: int = 0) -> bool:
        """Adds PART, where there is room for it, and FREE characters more."""
        if len(part) + free > self._room:
            return False
        self._parts.append(part)
        self._room -= len(part)
        return True

    def each(self, what: str, items: Sequence[Item], write: Callable[[Item], str], free: int = 0) -> None:
        """Adds what WRITE makes of ITEMS up to the first that finds no room; the rest, called WHAT, is left out."""
        for place, item in enumerate(items):
            if not self.put(write(item), free):
                self._left_out.append(f"{what} ({len(items) - place})")
                return

    def text(self) -> str:
        """The whole, with a line about what is left out."""
        if not self._left_out:
            return "".join(self._parts)
        return "".join([*self._parts, f"\nLeft out, for a comment has no room for it: {', '.join(self._left_out)}.\n"])


def _row(finding: Finding) -> str:
    message = sentence(clipped(finding.message, _MESSAGE))
    return f"| {_MARKS[finding.level]} | {code(_path(finding))} | {message} | {code(finding.rule)} |\n"


def _path(finding: Finding) -> str:
    return cut(exact(finding.path, finding.path_bytes), _PATH)


def _error(error: AnalysisError) -> str:
    path = cut(exact(error.path, error.path_bytes), _PATH)
    return f"- {code(path)} could not be analysed: {sentence(clipped(error.error, _MESSAGE))}\n"


def _details(findings: list[Finding], rules: dict[str, RuleText]) -> str:
    """Of one rule why it matters, what mends it, and the evidence of its FINDINGS."""
    rule = findings[0].rule
    text = rules.get(rule)
    parts = [] if text is None else [f"{prose(text.why)}\n\n**What mends it:** {prose(text.remedy)}\n"]
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        if finding.evidence:
            alike.setdefault((finding.message, *finding.evidence), []).append(finding)
    parts += [_evidence(group) for group in list(alike.values())[:_FINDINGS]]
    if len(alike) > _FINDINGS:
        parts.append(f"and {len(alike) - _FINDINGS} more\n")
    return _folded(f"{code(rule)}: {count_of(len(findings), 'finding')}", parts)


def _evidence(alike: list[Finding]) -> str:
    """What shows findings that say the same of several files."""
    lines = [clipped(line, _LINE) for line in bounded(alike[0].evidence, _EVIDENCE)]
    return f"{_files(alike)}: {sentence(clipped(alike[0].message, _MESSAGE))}\n\n{block(lines)}"


def _notes(groups: dict[str, list[Finding]], rules: dict[str, RuleText]) -> str:
    """All notes in one fold, a line for each rule with the first files."""
    lines = []
    for rule, notes in groups.items():
        summary = f" {prose(rules[rule].summary)}" if rule in rules else ""
        lines.append(f"- {code(rule)}:{summary} {_files(notes)}\n")
    return _folded(count_of(sum(map(len, groups.values())), "note"), ["".join(lines)])


def _files(findings: list[Finding]) -> str:
    """The first files of FINDINGS, and how many more there are."""
    paths = list(dict.fromkeys(exact(finding.path, finding.path_bytes) for finding in findings))
    named = ", ".join([code(cut(path, _NAME)) for path in paths[:_FILES]])
    return named if len(paths) <= _FILES else f"{named} and {len(paths) - _FILES} more"


def _folded(title: str, parts: list[str]) -> str:
    inside = "\n".join(parts)
    return f"\n<details><summary>{title}</summary>\n\n{inside}\n</details>\n"

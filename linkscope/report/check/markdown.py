"""`linkscope check` as Markdown for a comment on a pull request, or for the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkscope.model.check import CheckDocument, Finding, RuleText
from linkscope.report.escape import exact
from linkscope.report.lines import clipped
from linkscope.report.markup import block, code, prose, sentence
from linkscope.report.page import cut
from linkscope.report.verdict import bounded, by_rule, count_of, open_findings, rules_by_id, summary_line

_ROOM = 65_000
"""Characters of the whole: GitHub refuses a comment of more than 65,536."""
_LAST = 400  # kept free for the line that says what is left out
_FOLDS = 25_000  # kept free by the table for what is folded below it
_PATH, _MESSAGE, _LINE, _NOTED = 200, 400, 200, 80  # columns that one of them may take
_FINDINGS, _EVIDENCE, _FILES = 10, 10, 3  # how many of them are shown where there are more
_MARKS = {"error": "❌ error", "warning": "⚠️ warning"}


def render(document: CheckDocument) -> Iterator[str]:
    """The counts, a table of errors and warnings, then folded: what shows and mends them, and the notes.

    What finds no room is left out, and counted in the last line. What is accepted is counted only.
    """
    sheet = _Sheet()
    sheet.put(f"### LinkScope: {sentence(summary_line(document))}\n")
    grave, notes = open_findings(document, "error", "warning"), open_findings(document, "note")
    rules = rules_by_id(document)
    _table(sheet, grave)
    sheet.each("files that could not be analysed", _errors(document))
    sheet.each("rules with what shows and mends it", _details(by_rule(grave), rules))
    sheet.each("fold with the notes", _notes(by_rule(notes), rules))
    yield sheet.text()


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

    def each(self, what: str, parts: Iterable[str], free: int = 0) -> None:
        """Adds PARTS up to the first that finds no room; the rest, of which each is one of WHAT, is left out."""
        left = 0
        for part in parts:
            if left or not self.put(part, free):
                left += 1
        if left:
            self._left_out.append(f"{left} {what}")

    def text(self) -> str:
        """The whole, with a line about what is left out."""
        if not self._left_out:
            return "".join(self._parts)
        return "".join([*self._parts, f"\nLeft out, for a comment has no room for it: {', '.join(self._left_out)}.\n"])


def _table(sheet: _Sheet, findings: list[Finding]) -> None:
    if findings and sheet.put("\n| | File | Finding | Rule |\n| --- | --- | --- | --- |\n"):
        sheet.each("errors and warnings", map(_row, findings), _FOLDS)


def _row(finding: Finding) -> str:
    message = sentence(clipped(finding.message, _MESSAGE))
    return f"| {_MARKS[finding.level]} | {code(_path(finding))} | {message} | {code(finding.rule)} |\n"


def _path(finding: Finding) -> str:
    return cut(exact(finding.path, finding.path_bytes), _PATH)


def _errors(document: CheckDocument) -> Iterator[str]:
    for number, error in enumerate(document.errors):
        path = cut(exact(error.path, error.path_bytes), _PATH)
        line = f"- {code(path)} could not be analysed: {sentence(clipped(error.error, _MESSAGE))}\n"
        yield line if number else f"\n{line}"


def _details(groups: dict[str, list[Finding]], rules: dict[str, RuleText]) -> Iterator[str]:
    """For each rule why it matters, what mends it, and the evidence of its findings."""
    for rule, findings in groups.items():
        text = rules.get(rule)
        parts = [] if text is None else [f"{prose(text.why)}\n\n**What mends it:** {prose(text.remedy)}\n"]
        proven = [finding for finding in findings if finding.evidence]
        parts += [_evidence(finding) for finding in proven[:_FINDINGS]]
        if len(proven) > _FINDINGS:
            parts.append(f"and {len(proven) - _FINDINGS} more\n")
        yield _folded(f"{code(rule)}: {count_of(len(findings), 'finding')}", parts)


def _evidence(finding: Finding) -> str:
    lines = [clipped(line, _LINE) for line in bounded(finding.evidence, _EVIDENCE)]
    return f"{code(_path(finding))}: {sentence(clipped(finding.message, _MESSAGE))}\n\n{block(lines)}"


def _notes(groups: dict[str, list[Finding]], rules: dict[str, RuleText]) -> Iterator[str]:
    """All notes in one fold, a line for each rule with the first files."""
    lines = []
    for rule, notes in groups.items():
        files = list(dict.fromkeys(exact(note.path, note.path_bytes) for note in notes))
        named = ", ".join([code(cut(path, _NOTED)) for path in files[:_FILES]])
        more = f", and {len(files) - _FILES} more" if len(files) > _FILES else ""
        summary = f" {prose(rules[rule].summary)}" if rule in rules else ""
        lines.append(f"- {code(rule)}:{summary} {count_of(len(files), 'file')}: {named}{more}\n")
    if lines:
        yield _folded(count_of(sum(map(len, groups.values())), "note"), ["".join(lines)])


def _folded(title: str, parts: list[str]) -> str:
    inside = "\n".join(parts)
    return f"\n<details><summary>{title}</summary>\n\n{inside}\n</details>\n"

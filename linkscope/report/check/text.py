"""`linkscope check` for people: what is wrong with each file, the gravest first, and at the end what mends it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from linkscope.model.check import LEVELS, CheckDocument, Finding
from linkscope.report.escape import escape, exact
from linkscope.report.lines import painted
from linkscope.report.page import INDENT, Page, Span, cells, flow, padded, words
from linkscope.report.verdict import (
    all_well,
    bounded,
    by_rule,
    count_of,
    counts,
    open_findings,
    rules_by_id,
    waived_for,
)

_EVIDENCE = 8
# Notes of one rule about more files than this are summed up; so it shows what all files of a kind have in common.
_NOTES = 3
# More notes than this about one file are told by the names of their rules alone.
_FEW = 2
_STYLES = {"error": "bad", "warning": "warn", "note": "faint", "failed": "warn"}
_LEVEL = max(map(len, LEVELS)) + 2
_LEAST = 24  # columns that a wrapped sentence needs to be readable beside a name


def render(document: CheckDocument, page: Page) -> Iterator[str]:
    """The report in pieces: a file each, the notes that many files share, the remedies, and a line with the counts.

    What the baseline accepts is counted only, and so is what could not be analysed, which the caller has complained of.
    """
    open_ = open_findings(document)
    shared = {rule: notes for rule, notes in by_rule(_notes(open_)).items() if len(notes) > _NOTES}
    shown = [finding for finding in open_ if finding.level != "note" or finding.rule not in shared]
    by_path = itertools.groupby(_in_order(document, shown), key=lambda finding: finding.path)
    parts = [_file(list(findings), page) for _, findings in by_path]
    if shared:
        parts.append(_shared(document, shared, page))
    if remedies := _remedies(document, shown):
        parts.append(_mending(remedies, page))
    if waived := waived_for(document):
        parts.append(_waived(waived, page))
    for part in parts:
        yield painted([*part, []], page)
    yield painted(_counts(document, page), page)


def _notes(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "note"]


def _in_order(document: CheckDocument, findings: Sequence[Finding]) -> list[Finding]:
    """FINDINGS file by file, as the files come in DOCUMENT, each file's in the order that they have."""
    places: dict[str, int] = {}
    for finding in document.findings:
        places.setdefault(finding.path, len(places))
    return sorted(findings, key=lambda finding: places[finding.path])


def _file(findings: Sequence[Finding], page: Page) -> Iterator[list[Span]]:
    yield [(exact(findings[0].path, findings[0].path_bytes), "title")]
    notes = _notes(findings)
    told = findings if len(notes) <= _FEW else [finding for finding in findings if finding.level != "note"]
    for finding in told:
        yield from _finding(finding, page)
    if len(told) < len(findings):
        first: list[Span] = [(" " * INDENT, ""), padded("notes", _STYLES["note"], _LEVEL)]
        yield from flow([(rule, "faint") for rule in by_rule(notes)], page, first, [], ", ")


def _finding(finding: Finding, page: Page) -> Iterator[list[Span]]:
    """The message with its rule behind it; of an error and a warning also what shows it, a line each."""
    style = _STYLES[finding.level]
    first: list[Span] = [(" " * INDENT, ""), padded(finding.level, style, _LEVEL)]
    message: list[Span] = [(word, "") for word in escape(finding.message).split(" ")]
    yield from flow([*message, (f"[{finding.rule}]", "faint")], page, first, [], " ")
    if finding.level == "note":
        return
    start = " " * (INDENT + _LEVEL + INDENT)
    for line in bounded(finding.evidence, _EVIDENCE):
        yield from words(line, "faint", page, [(start, "")])


def _shared(document: CheckDocument, shared: dict[str, list[Finding]], page: Page) -> Iterator[list[Span]]:
    yield [("Of many files", "title")]
    rules = rules_by_id(document)
    rows = []
    for rule, notes in shared.items():
        files = count_of(len({note.path for note in notes}), "file")
        rows.append((f"{rule}: {files}", rules[rule].summary if rule in rules else ""))
    yield from _rows(rows, "faint", page)


def _remedies(document: CheckDocument, shown: Sequence[Finding]) -> list[tuple[str, str]]:
    """Of each rule whose errors or warnings are SHOWN, what mends them."""
    rules = rules_by_id(document)
    grave = by_rule(finding for finding in shown if finding.level != "note")
    return [(rule, rules[rule].remedy) for rule in grave if rule in rules]


def _mending(remedies: Sequence[tuple[str, str]], page: Page) -> Iterator[list[Span]]:
    yield from words("(linkscope explain RULE says more)", "faint", page, [("What mends it ", "title")])
    yield from _rows(remedies, "how", page)


def _waived(groups: Mapping[tuple[str, str], Sequence[Finding]], page: Page) -> Iterator[list[Span]]:
    yield [("Waived", "title")]
    rows = []
    for (rule, reason), alike in groups.items():
        paths = list(dict.fromkeys(exact(finding.path, finding.path_bytes) for finding in alike))
        where = paths[0] if len(paths) == 1 else count_of(len(paths), "file")
        rows.append((rule, f"{escape(where)}: {reason}"))
    yield from _rows(rows, "faint", page)


def _rows(rows: Sequence[tuple[str, str]], style: str, page: Page) -> Iterator[list[Span]]:
    """Names with a sentence beside each, or below it where the page leaves too little room for that."""
    width = max(cells(escape(name)) for name, _ in rows) + 2
    beside = page.width is None or page.width - INDENT - width >= _LEAST
    for name, sentence in rows:
        if beside:
            yield from words(sentence, "", page, [(" " * INDENT, ""), padded(name, style, width)])
        else:
            yield [(" " * INDENT, ""), (name, style)]
            yield from words(sentence, "", page, [(" " * 2 * INDENT, "")])


def _counts(document: CheckDocument, page: Page) -> Iterator[list[Span]]:
    found: list[Span] = [(text, _STYLES.get(kind, "faint")) for text, kind in counts(document)]
    if all_well(document):
        found.insert(0, ("ok", "good"))
    files = f"{count_of(document.summary.files, 'file')}: "
    return flow(found, page, [(files, "")], [(" " * INDENT, "")], ", ")

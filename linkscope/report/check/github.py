"""`linkscope check` as GitHub workflow commands, which become annotations of the commit and the pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkscope.model.check import CheckDocument, Finding, Level
from linkscope.report.escape import escape
from linkscope.report.places import message_of, place_of
from linkscope.report.verdict import bounded, by_rule, count_of, open_findings, rules_by_id, summary_line

_COMMANDS: dict[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}
_EVIDENCE = 8
# GitHub shows ten annotations of a kind for each step; notes of one rule about more files than this share one.
_NOTES = 3


def render(document: CheckDocument) -> Iterator[str]:
    """One command a line, the gravest first, for only ten of a kind are shown; then a line with the counts.

    What is accepted is counted only. Source: GitHub, "Workflow commands for GitHub Actions"; the escapes are those of
    its toolkit (packages/core/src/command.ts, escapeData and escapeProperty).
    """
    for error in document.errors:
        yield _command("error", place_of(error).path, "not analysed", [message_of(error)])
    for finding in open_findings(document, "error", "warning"):
        yield _about(finding)
    for rule, notes in by_rule(open_findings(document, "note")).items():
        if len(notes) <= _NOTES:
            yield from map(_about, notes)
        else:
            yield _many(document, rule, notes)
    yield f"{summary_line(document)}\n"


def _about(finding: Finding) -> str:
    lines = [message_of(finding), *bounded(finding.evidence, _EVIDENCE)]
    return _command(_COMMANDS[finding.level], place_of(finding).path, finding.rule, lines)


def _many(document: CheckDocument, rule: str, notes: list[Finding]) -> str:
    files = count_of(len({note.path for note in notes}), "file")
    text = rules_by_id(document).get(rule)
    return _command("notice", None, rule, [f"{files}: {text.summary}" if text else files])


def _command(name: str, file: str | None, title: str, lines: Iterable[str]) -> str:
    given = {"title": title} if file is None else {"file": file, "title": title}
    properties = ",".join([f"{key}={_property(value)}" for key, value in given.items()])
    return f"::{name} {properties}::{'%0A'.join(map(_data, lines))}\n"


def _data(text: str) -> str:
    """TEXT as the message of a command. Line ends do not print, so that `escape` has made them visible before."""
    return escape(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

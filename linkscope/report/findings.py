"""What there is to say of one process, what calls for a restart first; and the same in a word or two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from linkscope.model.pid import FindingCode, Process, ProcessFinding
from linkscope.report.escape import exact
from linkscope.report.page import INDENT, Page, Span, words

STALE: tuple[FindingCode, ...] = ("stale-object", "stale-script")
"""What only a restart of the process mends."""
_GRAVE: tuple[FindingCode, ...] = (*STALE, "text-modified")
_FOLDED_FROM = 2
# A word or two for a row of a table: of one, of several. A code that is not here is counted as a finding.
_BRIEFLY: dict[FindingCode, tuple[str, str]] = {
    "stale-object": ("stale", "{} stale"),
    "stale-script": ("script changed", "{} scripts changed"),
    "text-modified": ("code modified", "code modified"),
    "other-path": ("other path", "{} other paths"),
    "missing-object": ("1 not mapped", "{} not mapped"),
    "preloaded": ("preloaded", "{} preloaded"),
    "audited": ("audited", "audited"),
    "executable-anonymous-memory": ("code without a file", "code without a file"),
    "writable-executable-memory": ("writable code", "writable code"),
    "zombie-children": ("1 zombie", "{} zombies"),
    "old-kernel": ("old kernel", "old kernel"),
}


def is_stale(process: Process) -> bool:
    """Whether only a restart makes the process run what stands on disk now."""
    return any(finding.code in STALE for finding in process.findings)


def findings(process: Process, page: Page) -> Iterator[list[Span]]:
    """What calls for a restart, then what deserves action, then what explains an answer; what mends it below."""
    stale = [finding for finding in process.findings if finding.code in STALE]
    for finding in _folded(stale, exact_paths(process)):
        yield from _finding(finding, page)
    if stale:
        yield from words(_restart(process), "", page, [(" " * (INDENT + 2), ""), ("→ ", "warn")])
    rest = [finding for finding in process.findings if finding.code not in STALE]
    for finding in sorted(rest, key=lambda finding: (finding.code not in _GRAVE, finding.level == "note")):
        yield from _finding(finding, page)


def _finding(finding: ProcessFinding, page: Page) -> Iterator[list[Span]]:
    mark, style = _mark(finding)
    kind = "faint" if finding.level == "note" else ""
    return words(finding.message, kind, page, [(" " * INDENT, ""), (f"{mark} ", style)])


def _mark(finding: ProcessFinding) -> Span:
    if finding.code in _GRAVE:
        return "✗", "bad"
    return ("!", "warn") if finding.level == "warning" else ("·", "faint")


def exact_paths(process: Process) -> dict[str, str]:
    """For the path of each object the same with its exact bytes: findings have it as JSON has."""
    known = {mapped.path: exact(mapped.path, mapped.path_bytes) for mapped in process.objects or ()}
    if process.executable is not None:
        known[process.executable.path] = exact(process.executable.path, process.executable.path_bytes)
    return known


def _folded(stale: Sequence[ProcessFinding], known: Mapping[str, str]) -> list[ProcessFinding]:
    """STALE, in which several objects are one sentence: the table of the objects shows what became of each."""
    objects = [finding for finding in stale if finding.code == "stale-object"]
    if len(objects) < _FOLDED_FROM:
        return list(stale)
    paths = [finding.path or "" for finding in objects]
    names = ", ".join([known.get(path, path).rpartition("/")[2] for path in paths])
    message = f"{len(objects)} of the objects are no longer the files on disk: {names}"
    folded = ProcessFinding(code="stale-object", level="warning", path=None, message=message)
    return [folded, *(finding for finding in stale if finding.code != "stale-object")]


def _restart(process: Process) -> str:
    if process.container is not None:
        return f"restart the container {process.container}"
    return f"restart {process.unit}" if process.unit is not None else "restart it"


def briefly(process: Process) -> Span:
    """The findings in a few words, the gravest first; "" where nothing deserves a look."""
    counts: dict[FindingCode, int] = {}
    others = 0
    for finding in sorted(process.findings, key=lambda finding: finding.code not in _GRAVE):
        if finding.level == "note":
            continue
        if finding.code in _BRIEFLY:
            counts[finding.code] = counts.get(finding.code, 0) + max(1, len(finding.pids))
        else:
            others += 1
    said = [_BRIEFLY[code][count > 1].format(count) for code, count in counts.items()]
    if others:
        said.append(f"{others} more")
    if not said and any(finding.code == "not-permitted" for finding in process.findings):
        return "not permitted", "faint"
    return ", ".join(said), "bad" if any(code in _GRAVE for code in counts) else "warn"

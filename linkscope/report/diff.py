"""What changed between two releases, for people: file by file, what matters most first, each change a line."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.model.diff import Change, ChangeCode, DiffDocument, Impact
from linkscope.report.escape import exact
from linkscope.report.page import INDENT, Page, Span, flow, paint, words

_IMPACTS: tuple[tuple[Impact, str, str], ...] = (
    ("abi-break", "ABI break", "bad"),
    ("deployment-risk", "deployment risk", "bad"),
    ("security", "security", "bad"),
    ("none", "", ""),
)
_CALLED = {impact: (called, style) for impact, called, style in _IMPACTS}
_ORDER = [impact for impact, _, _ in _IMPACTS]
# Of these there can be hundreds: they are told by name, several in a line.
_LISTED: dict[ChangeCode, str] = {"symbol-added": "added", "symbol-removed": "removed"}
_MOST = 12
_SECTIONS = 6


def render(document: DiffDocument, page: Page) -> Iterator[str]:
    """The pieces of the text, each a line or more, newlines included."""
    by_path: dict[str, list[Change]] = {}
    for change in document.changes:
        by_path.setdefault(exact(change.path, change.path_bytes), []).append(change)
    for path, alike in by_path.items():
        yield paint([(path, "title")], page) + "\n"
        for line in _file(alike, page):
            yield paint(line, page) + "\n"
        yield "\n"
    if not document.errors or document.changes:
        yield paint(_summary(document), page) + "\n"


def _file(alike: list[Change], page: Page) -> Iterator[list[Span]]:
    for impact in _ORDER:
        chosen = [change for change in alike if change.impact == impact]
        called, style = _CALLED[impact]
        mark: list[Span] = [(" " * INDENT, "")]
        if called:
            mark += [(called, style), (": ", "")]
        for change in chosen:
            if change.code not in _LISTED and change.code != "size":
                yield from words(change.message, "", page, mark)
        for code, what in _LISTED.items():
            names = [change.new or change.old or change.subject for change in chosen if change.code == code]
            if names:
                yield from _names(names, what, mark, page)
    yield from _sizes([change for change in alike if change.code == "size"], page)


def _names(names: list[str], what: str, mark: list[Span], page: Page) -> Iterator[list[Span]]:
    shown: list[Span] = [(name, "name") for name in names[:_MOST]]
    if len(names) > _MOST:
        shown.append((f"and {len(names) - _MOST} more", "faint"))
    yield from flow(
        shown,
        page,
        [*mark, (f"{len(names)} {_plural('symbol', len(names))} {what}: ", "")],
        [(" " * 2 * INDENT, "")],
        ", ",
    )


def _sizes(sizes: list[Change], page: Page) -> Iterator[list[Span]]:
    """The whole file first, then the sections that changed most."""
    whole = [change for change in sizes if not change.subject]
    parts = sorted((change for change in sizes if change.subject), key=lambda change: -abs(change.bytes or 0))
    for change in whole:
        yield from words(change.message, "", page, [(" " * INDENT, "")])
    told: list[Span] = [(f"{change.subject} {change.bytes or 0:+,}", "") for change in parts[:_SECTIONS]]
    if len(parts) > _SECTIONS:
        told.append((f"and {len(parts) - _SECTIONS} more sections", "faint"))
    if told:
        yield from flow(told, page, [(" " * 2 * INDENT, "")], [(" " * 2 * INDENT, "")], ", ")


def _summary(document: DiffDocument) -> list[Span]:
    if not document.changes:
        return [("nothing changed", "good")]
    counted = [change for change in document.changes if change.code != "size" or not change.subject]
    counts = dict.fromkeys(_ORDER, 0)
    for change in counted:
        counts[change.impact] += 1
    told = [
        f"{counts[impact]} {called}{'s' if counts[impact] != 1 and called != 'security' else ''}"
        for impact, called, _ in _IMPACTS
        if called and counts[impact]
    ]
    total = len(counted)
    return [(f"{total} {_plural('change', total)}", "title"), (f": {', '.join(told)}" if told else "", "bad")]


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"

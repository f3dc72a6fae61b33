"""The libraries of one file as a tree in columns, and those that the file says it may load later."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.model.inspect import ClosureEntry, File
from linkscope.report.escape import escape, exact
from linkscope.report.page import INDENT, Page, Span, cells, cut, flow, padded
from linkscope.report.tree import Row, rows

_GAP = 2
# What a narrow page leaves of a path, of the tree with its names, and of the name in it.
_PATH, _TREE, _NAME = 16, 16, 8
# Line art wider than this, and a line of names longer than this, is no longer read.
_DEEPEST, _READABLE = 120, 100
_FOUND_BY = {"path": "its own path", "default": "default path"}


class _Columns(msgspec.Struct, frozen=True):
    """Widths: of the line art at most, of the tree with its names, of what found them, of the paths (None: no edge).

    whole: whether every path has room, so that they are shown in full.
    """

    guide: int
    tree: int
    source: int
    path: int | None
    whole: bool


def libraries(file: File, page: Page) -> Iterator[list[Span]]:
    """One row a library: its name in the tree, what found it, and where; below it who else needs it."""
    tree = list(rows(file))
    if not tree:
        return
    sources = [_source(row.entry, file) for row in tree]
    columns = _columns(tree, max(len(text) for text, _ in sources), page)
    for row, (source, style) in zip(tree, sources, strict=True):
        guide = _guide(row.guide, columns)
        room = columns.tree - len(guide)
        yield [
            (" " * INDENT + guide, "faint"),
            padded(cut(row.name, room), "name" if row.entry.path else "bad", room + _GAP),
            padded(source, style, columns.source + _GAP),
            (_where(row, columns), ""),
        ]
        if row.also:
            yield _also(row, page, columns)


def _columns(tree: list[Row], source: int, page: Page) -> _Columns:
    widest = max(min(len(row.guide), _DEEPEST) + cells(escape(row.name)) for row in tree)
    if page.width is None:
        return _Columns(_DEEPEST, widest, source, None, True)
    room = page.width - INDENT - source - 2 * _GAP
    names = min(widest, max(_TREE, room - _PATH))
    path = max(_PATH, room - names)
    whole = all(cells(escape(row.entry.path or "")) <= path for row in tree)
    return _Columns(_DEEPEST if names == widest else names - _NAME, names, source, path, whole)


def _also(row: Row, page: Page, columns: _Columns) -> list[Span]:
    """Who else needs the library: as many as one line holds, and how many more; all of them where there is no edge."""
    start = f"{'':{INDENT}}{_guide(row.below, columns)}also needed by "
    if page.width is None:
        return [(start + ", ".join(row.also), "faint")]
    room = min(page.width, _READABLE) - len(start)
    shown = 1
    while shown < len(row.also) and cells(_listed(row.also, shown + 1)) <= room:
        shown += 1
    return [(start + _listed(row.also, shown), "faint")]


def _listed(names: list[str], shown: int) -> str:
    left = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {left} more" if left else "")


def _guide(guide: str, columns: _Columns) -> str:
    """The line art of a very deep tree loses its beginning, so that the name stays in sight."""
    return guide if len(guide) <= columns.guide else f"…{guide[1 - columns.guide :]}"


def _source(entry: ClosureEntry, file: File) -> Span:
    """What found the library, in a word or two; a search that ended at a bad file is no missing library."""
    if entry.found_by == "rpath" and entry.of is not None and entry.of not in entry.needed_by[:1]:
        return (f"rpath of {escape(entry.of.rpartition('/')[2])}", "how")  # inherited along the chain of loaders
    if entry.found_by is not None:
        return (_FOUND_BY.get(entry.found_by, entry.found_by), "how")
    return ("not found" if entry.requested in file.missing else "refused", "bad")


def _where(row: Row, columns: _Columns) -> str:
    """The path, or only its folder where the page is narrow and the file's name is what was asked for."""
    path = exact(row.entry.path or "", row.entry.path_bytes)
    if not columns.whole and path.endswith(f"/{row.name}"):
        path = path[: -len(row.name)]
    return path if columns.path is None else cut(path, columns.path)


def declared(file: File, page: Page) -> Iterator[list[Span]]:
    """The libraries of `.note.dlopen`, which the program may load while it runs."""
    if not file.dlopen:
        return
    yield [(" " * INDENT + "may load while it runs", "faint")]
    names = [escape(" or ".join(entry.soname)) for entry in file.dlopen]
    reasons = [escape(", ".join([word for word in (entry.priority, entry.feature) if word])) for entry in file.dlopen]
    name_width, reason_width = max(map(cells, names)), max(map(cells, reasons))
    for entry, name, reason in zip(file.dlopen, names, reasons, strict=True):
        columns = [padded(name, "name", name_width), padded(reason, "how", reason_width)]
        where = (entry.found, "") if entry.found else ("not found", "warn")
        yield from flow([*columns, where], page, [(" " * 2 * INDENT, "")], [(" " * 3 * INDENT, "")], " " * _GAP)

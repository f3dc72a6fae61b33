"""The libraries of one file as a tree in columns, and those that the file says it may load later."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.model.inspect import ClosureEntry, Dlopen, File
from linkscope.report.escape import exact
from linkscope.report.page import INDENT, Page, Span, cells, cut, flow, padded
from linkscope.report.tree import Row, rows

_GAP = 2
# A narrow page leaves at least this much of a name, and of a path.
_LEAST = 16
# A line longer than this is no longer read.
_READABLE = 100
_FOUND_BY = {"path": "its own path", "default": "default path"}


def libraries(file: File, page: Page) -> Iterator[list[Span]]:
    """One row a library: its name in the tree, what found it, and where; below it what else it asks for."""
    tree = list(rows(file))
    if not tree:
        return
    found = [_found(row.entry, file) for row in tree]
    names = max(len(row.guide) + cells(row.entry.requested) for row in tree)
    sources = max(len(text) for text, _ in found)
    paths = None
    if page.width is not None:
        room = page.width - INDENT - sources - 2 * _GAP
        names = min(names, max(_LEAST, room - _LEAST))
        paths = max(_LEAST, room - names)
    whole = paths is None or all(cells(row.entry.path or "") <= paths for row in tree)
    for row, (source, style) in zip(tree, found, strict=True):
        guide = _guide(row.guide, names - _LEAST // 2)
        missing = row.entry.path is None
        name = cut(row.entry.requested, names - len(guide))
        yield [
            (" " * INDENT + guide, "faint"),
            padded(name, "bad" if missing else "name", names - len(guide) + _GAP),
            padded(source, style, sources + _GAP),
            (_where(row.entry, whole, paths), ""),
        ]
        if row.also:
            yield _also(row, page, names)


def _also(row: Row, page: Page, names: int) -> list[Span]:
    """Who else needs the library, as many as one line holds, and how many more there are."""
    start = f"{'':{INDENT}}{_guide(row.below, names - _LEAST // 2)}also needed by "
    room = min(page.width or _READABLE, _READABLE) - len(start)
    shown = 1
    while shown < len(row.also) and cells(_listed(row.also, shown + 1)) <= room:
        shown += 1
    return [(start + _listed(row.also, shown), "faint")]


def _listed(names: list[str], shown: int) -> str:
    left = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {left} more" if left else "")


def _guide(guide: str, limit: int) -> str:
    """The line art of a very deep tree loses its beginning, so that the name stays in sight."""
    return guide if len(guide) <= limit else f"…{guide[1 - limit :]}"


def _found(entry: ClosureEntry, file: File) -> Span:
    """What found the library, in a word or two; a search that ended at a bad file is no missing library."""
    if entry.found_by is not None:
        return (_FOUND_BY.get(entry.found_by, entry.found_by), "how")
    return ("not found" if entry.requested in file.missing else "refused", "bad")


def _where(entry: ClosureEntry, whole: bool, width: int | None) -> str:
    """The path, or only its folder where the page is narrow and the file's name is what was asked for."""
    path = exact(entry.path or "", entry.path_bytes)
    if not whole and path.endswith(f"/{entry.requested}"):
        path = path[: -len(entry.requested)]
    return path if width is None else cut(path, width)


def declared(file: File, page: Page) -> Iterator[list[Span]]:
    """The libraries of `.note.dlopen`, which the program may load while it runs."""
    if not file.dlopen:
        return
    yield [(" " * INDENT + "may load while it runs", "faint")]
    for entry in file.dlopen:
        yield from flow(_declared(entry), page, [(" " * (2 * INDENT), "")], [], "  ")


def _declared(entry: Dlopen) -> list[Span]:
    reason = ", ".join([word for word in (entry.priority, entry.feature) if word])
    names = " or ".join(entry.soname)
    where = (entry.found, "") if entry.found else ("not found", "warn")
    return [(names, "name"), *([(f"for {reason}" if not entry.priority else reason, "how")] if reason else []), where]

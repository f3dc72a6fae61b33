"""The objects that a process has mapped, in columns: where each comes from, what became of its file, its memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkscope.model.pid import Disk, MappedObject, Origin, Usage
from linkscope.model.quantities import size
from linkscope.report.escape import escape, exact
from linkscope.report.page import INDENT, Page, Span, words
from linkscope.report.table import Column, table

_ORIGINS: dict[Origin, str] = {
    "executable": "program",
    "interpreter": "interpreter",
    "needed": "needed",
    "preload": "preloaded",
    "audit": "auditor",
    "dlopen": "dlopen",
    "dlopen-needed": "via dlopen",
    "vdso": "kernel",
}
# What is said of a file that is not simply the one on disk; of the vdso there is none.
_DISKS: dict[Disk, Span] = {
    "same": ("", ""),
    "replaced": ("replaced", "bad"),
    "deleted": ("deleted", "bad"),
    "overwritten": ("overwritten", "bad"),
    "renamed": ("renamed", "warn"),
    "memfd": ("memfd", "how"),
    "unknown": ("unknown", "warn"),
}
# A narrow page leaves out sizes before it shortens what is left beyond recognition.
_COLUMNS = (
    Column(title="object", least=20),
    Column(title="origin", least=11),
    Column(title="on disk"),
    Column(title="RSS", right=True, spare=4),
    Column(title="PSS", right=True, spare=1),
    Column(title="shared", right=True, spare=3),
    Column(title="own", right=True, spare=2),
    Column(title="path", least=22, middle=True),
)


def disk_state(disk: Disk) -> Span:
    """The word for what became of a mapped file, in its style; "" where it is what stands on disk."""
    return _DISKS[disk]


def name_of(mapped: MappedObject) -> str:
    """What the object is called: its soname, or the name of its file."""
    path = exact(mapped.path, mapped.path_bytes)
    return mapped.soname or path.rpartition("/")[2] or path


def origin_of(mapped: MappedObject) -> str:
    """Where the object comes from, in a few words."""
    said = _ORIGINS[mapped.origin]
    if mapped.opened_by:
        said += f" by {mapped.opened_by[0].path.rpartition('/')[2]}"
        if len(mapped.opened_by) > 1:
            said += f" or {len(mapped.opened_by) - 1} more"
    if mapped.namespaces and 0 not in mapped.namespaces:
        said += f", namespace {mapped.namespaces[0]}"
    return said


def objects(mapped: Sequence[MappedObject], page: Page, indent: int = INDENT) -> Iterator[list[Span]]:
    """The table, and below an object what a restart would map in its place."""
    if not mapped:
        return
    titles, *lines = _laid_out(mapped, page, indent)
    yield titles
    for entry, line in zip(mapped, lines, strict=True):
        yield line
        if entry.restart is not None:
            yield from _restart(entry, page, indent)


def _laid_out(mapped: Sequence[MappedObject], page: Page, indent: int) -> list[list[Span]]:
    """The lines of the table; where a path has no room its folder says enough, if the file has the object's name."""
    paths = [_path(entry) for entry in mapped]
    lines = table(_COLUMNS, list(map(_row, mapped, paths)), page, indent)
    if all(escape(path) in (text for text, _ in line) for path, line in zip(paths, lines[1:], strict=True)):
        return lines
    return table(_COLUMNS, list(map(_row, mapped, map(_folder, mapped, paths))), page, indent)


def _path(mapped: MappedObject) -> str:
    """The path; "" where the object's name is all there is (the vdso)."""
    path = exact(mapped.path, mapped.path_bytes)
    return "" if path == name_of(mapped) else path


def _folder(mapped: MappedObject, path: str) -> str:
    name = name_of(mapped)
    return path[: -len(name)] if path.endswith(f"/{name}") else path


def _row(mapped: MappedObject, path: str) -> list[Span]:
    state = ("", "") if mapped.origin == "vdso" else disk_state(mapped.disk)
    style = "bad" if state[1] == "bad" else "name"
    return [(name_of(mapped), style), (origin_of(mapped), "how"), state, *_sizes(mapped.memory), (path, "")]


def _sizes(memory: Usage | None) -> list[Span]:
    if memory is None:
        return [("", "")] * 4
    return [(size(count), "") for count in (memory.rss, memory.pss, memory.shared, memory.private)]


def _restart(mapped: MappedObject, page: Page, indent: int) -> Iterator[list[Span]]:
    if mapped.restart is None:
        return
    start: list[Span] = [(" " * (indent + 2), ""), ("→ ", "warn")]
    if mapped.restart.path is None:
        yield from words("a restart would find nothing", "warn", page, start)
    elif mapped.restart.refused is not None:
        where = "the file that stands there now" if mapped.restart.path == mapped.path else mapped.restart.path
        yield from words(f"a restart would fail at {where}: {mapped.restart.refused}", "bad", page, start)
    elif mapped.restart.path == mapped.path:
        yield from words("a restart would map the file that stands there now", "", page, start)
    else:
        yield from words(f"a restart would map {mapped.restart.path}", "", page, start)

"""`linkscope who` for people: library by library, by which files and processes each is held, and a count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkscope.model.who import How, Match, WhoDocument
from linkscope.report.escape import exact
from linkscope.report.objects import disk_state
from linkscope.report.page import INDENT, Page, Span, cut, flow, paint, words
from linkscope.report.table import Column, table

# What stands in front is what has to be mended; behind it who gets it from there.
_ORDER: tuple[How, ...] = ("inside", "needed", "indirect", "dlopen", "mapped")
# What a row says of itself; what is inside has a headline of its own, and of a process it says what it is.
_HOW: dict[How, str] = {"needed": "needed", "indirect": "indirect", "dlopen": "opens it"}
_STALE = ("replaced", "deleted", "overwritten")
_COLUMNS = (
    Column(title="pid", right=True),
    Column(title="name", least=12, spare=1),
    Column(title="file", least=24, middle=True),
    Column(title="how"),
    Column(title="on disk"),
    Column(title="via", least=16),
)
_MOST_THROUGH = 2  # names of a chain that are shown

Group = tuple[str, str, str]
"""What stands above some rows: a library or what else they have in common, its name, and its version."""


def render(document: WhoDocument, page: Page) -> Iterator[str]:
    """The pieces of the text, each a line or more, newlines included."""
    groups: dict[Group, list[Match]] = {}
    for match in sorted(document.matches, key=_place):
        groups.setdefault(_group(match), []).append(match)
    for group, alike in groups.items():
        for line in (*_headline(group, alike, page), *table(_COLUMNS, list(map(_row, alike)), page)[1:], []):
            yield paint(line, page) + "\n"
    for line in (*_packed(document, page), *_count(document, page)):
        yield paint(line, page) + "\n"


def _place(match: Match) -> tuple[int, str, str, int]:
    """Where a match stands: the library itself, what is inside, then each library with its files and its processes."""
    return (
        0 if match.itself else 1 if match.how == "inside" else 2,
        match.library or "" if match.how != "inside" else "",
        match.version or "",
        _ORDER.index(match.how),
    )


def _group(match: Match) -> Group:
    if match.itself:
        return "the library itself", match.name, match.version or ""
    if match.how == "inside":
        return "inside, linked in", match.name, match.version or ""
    return match.library or "found nowhere", match.name, match.version or ""


def _headline(group: Group, alike: list[Match], page: Page) -> Iterator[list[Span]]:
    called, name, version = group
    told = (version, "") if version else ("version unknown", "warn")
    shown = called if page.width is None else cut(called, page.width)
    spans: list[Span] = [(shown, "title"), (name, "name"), told]
    if all(match.version_from == "beside" and not match.beside for match in alike):
        spans.append(("as what stands beside it", "faint"))
    if alike[0].version_from == "soname":
        spans.append(("by its soname", "faint"))
    if alike[0].older == "unknown":
        spans.append(("may be older", "warn"))
    yield from flow(spans, page, [], [(" " * 2 * INDENT, "")], "  ")


def _row(match: Match) -> list[Span]:
    state = disk_state(match.disk) if match.disk is not None else ("", "")
    return [
        ("" if match.pid is None else str(match.pid), ""),
        (match.command or "", "name"),
        (exact(match.path, match.path_bytes), "bad" if match.disk in _STALE else ""),
        (_HOW.get(match.how, "") + (", beside it" if match.beside else ""), "how"),
        state,
        (_through(match), "faint"),
    ]


def _through(match: Match) -> str:
    """The libraries between, or what proves that it is inside."""
    between = [name.rpartition("/")[2] for name in match.via[1:]]
    if between:
        more = f" and {len(between) - _MOST_THROUGH} more" if len(between) > _MOST_THROUGH else ""
        return f"via {', '.join(between[:_MOST_THROUGH])}{more}"
    if match.how == "inside" and match.evidence:
        return match.evidence[0].text or match.evidence[0].archive or match.evidence[0].kind
    return ""


def _packed(document: WhoDocument, page: Page) -> Iterator[list[Span]]:
    if document.packed:
        told = (
            f"{_counted(len(document.packed), 'file is', 'files are')} packed, so that nobody can see what is inside: "
        )
        yield from flow(
            [(name, "warn") for name in document.packed], page, [(told, "warn")], [(" " * INDENT, "")], ", "
        )


def _count(document: WhoDocument, page: Page) -> Iterator[list[Span]]:
    summary = document.summary
    files, processes = _different(document.matches)
    looked = [(len(files), summary.files, "file", "files")] if summary.files or not summary.processes else []
    looked += [(len(processes), summary.processes, "process", "processes")] if summary.processes else []
    older = f", older than {document.older_than}" if document.older_than is not None else ""
    if not document.matches:
        among = " and ".join(_counted(total, one, many) for _, total, one, many in looked)
        yield from words(f"{document.name}{older}: held by none of {among}", "good", page, [])
    else:
        told = " and ".join(f"{count:,} of {_counted(total, one, many)}" for count, total, one, many in looked)
        items: list[Span] = [(f"{document.name}{older}: held by {told}", "title"), *_details(document.matches)]
        yield from flow(items, page, [], [(" " * INDENT, "")], " · ")
    if summary.closed:
        told = f"{_counted(summary.closed, 'process', 'processes')} may not be looked into"
        yield from words(told, "warn", page, [])
    if summary.unsteady:
        told = f"{_counted(summary.unsteady, 'process', 'processes')} changed each time that it was looked at"
        yield from words(told, "warn", page, [])


def _different(matches: Iterable[Match]) -> tuple[set[str], set[int]]:
    every = list(matches)
    return {one.path for one in every if one.pid is None}, {one.pid for one in every if one.pid is not None}


def _details(matches: list[Match]) -> Iterator[Span]:
    inside = [match for match in matches if match.how == "inside" and not match.itself and len(match.via) == 1]
    files, processes = _different(inside)
    if files or processes:
        yield f"{_counted(len(files) + len(processes), 'has', 'have')} it inside", ""
    stale = {match.pid for match in matches if match.disk in _STALE}
    if stale:
        yield f"{len(stale)} to be restarted", "bad"
    files, processes = _different(match for match in matches if match.older == "unknown")
    if files or processes:
        yield f"of {len(files) + len(processes)} the version is not known", "warn"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"

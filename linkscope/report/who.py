"""`linkscope who` for people: library by library, by which files and processes each is held, and a count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from linkscope.model.inspect import Proof
from linkscope.model.quantities import size
from linkscope.model.who import Closed, How, Match, WhoDocument
from linkscope.report.contents import proven_by
from linkscope.report.escape import escape, exact
from linkscope.report.objects import disk_state
from linkscope.report.page import INDENT, Page, Span, cells, cut, flow, padded, paint, words
from linkscope.report.table import GAP

# What stands in front is what has to be mended; behind it who gets it from there.
_ORDER: tuple[How, ...] = ("inside", "needed", "indirect", "dlopen", "mapped")
# What a row says of itself; what is inside has a headline of its own, and of a process it says what it is.
_HOW: dict[How, str] = {"needed": "needed", "indirect": "indirect", "dlopen": "opens it"}
_STALE = ("replaced", "deleted", "overwritten")
_BY: dict[Proof, str] = {
    "code": "by its code",
    "symbols": "by its symbols",
    "record": "as recorded",
    "text": "by its text only",
}
_BELOW = 3 * INDENT  # columns before what stands below a path
_PATH = 24  # columns that a path has at least
_NUMBERS = re.compile(r"(\d{1,18})", re.ASCII)  # 1.2.8 comes before 1.2.11
_MOST_CLOSED = 8  # processes that are named; of an ordinary user they are hundreds
_MOST_THROUGH = 2  # names of a chain that are shown

Group = tuple[str, str, str]
"""What stands above some rows: a library or what else they have in common, its name, and its version."""


def render(document: WhoDocument, page: Page) -> Iterator[str]:
    """The pieces of the text, each a line or more, newlines included."""
    groups: dict[Group, list[Match]] = {}
    for match in sorted(document.matches, key=_place):
        groups.setdefault(_group(match), []).append(match)
    for group, alike in groups.items():
        for line in (*_headline(group, alike, page), *_rows(alike, page), []):
            yield paint(line, page) + "\n"
    for line in (*_packed(document, page), *_count(document, page)):
        yield paint(line, page) + "\n"


def _place(match: Match) -> tuple[int, str, list[tuple[int, str]], int]:
    """Where a match stands: the library itself, what is inside, then each library with its files and its processes."""
    return (
        0 if match.itself else 1 if match.how == "inside" else 2,
        match.library or "" if match.how != "inside" else "",
        [(int(part or 0) if part.isdecimal() else -1, part) for part in _NUMBERS.split(match.version or "")],
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


class _Row(msgspec.Struct, frozen=True):
    """One match. front: number and name of a process, in columns; told: how and on disk, in columns; then the rest."""

    front: list[Span]
    path: Span
    told: list[Span]
    rest: str

    @property
    def wide(self) -> int:
        """The columns of what stands behind the path on a line."""
        return cells(("".join(text for text, _ in self.told) + self.rest).rstrip())


def _rows(alike: list[Match], page: Page) -> Iterator[list[Span]]:
    """A line for each, in columns as wide as most need; of a match that finds no room so, what is told stands below."""
    leads = _columns([_lead(match) for match in alike])
    told = _columns([_how(match) for match in alike])
    room = None if page.width is None else page.width - INDENT - sum(cells(text) for text, _ in leads[0])
    rows = [
        _Row(lead, _path(match, room), how, _through(match))
        for match, lead, how in zip(alike, leads, told, strict=True)
    ]
    widest = max((w for row in rows if _fits(row, w := cells(row.path[0]), room)), default=0)
    for row in rows:
        start = [(" " * INDENT, ""), *row.front]
        if cells(row.path[0]) <= widest and _fits(row, widest, room):
            gap = " " * (widest - cells(row.path[0]) + GAP) if row.wide else ""
            yield [*start, row.path, (gap, ""), *row.told, (row.rest, "faint")]
        else:
            yield [*start, row.path]
            if row.wide:
                yield from words(row.rest, "faint", page, [(" " * _BELOW, ""), *row.told])


def _fits(row: _Row, width: int, room: int | None) -> bool:
    """Whether all of the row finds ROOM on one line, with a path of WIDTH columns."""
    return room is None or width + (GAP + row.wide if row.wide else 0) <= room


def _columns(rows: list[list[Span]]) -> list[list[Span]]:
    """ROWS of as many cells each, padded so that these stand below one another; a column without text is left out."""
    widths = [max(cells(row[place][0]) for row in rows) for place in range(len(rows[0]))]
    return [
        [padded(text, style, width + GAP) for (text, style), width in zip(row, widths, strict=True) if width]
        for row in rows
    ]


def _lead(match: Match) -> list[Span]:
    return [("" if match.pid is None else str(match.pid), ""), (match.command or "", "name")]


def _path(match: Match, room: int | None) -> Span:
    """The path, without its middle where a line has no ROOM for it."""
    path = exact(match.path, match.path_bytes)
    return escape(path) if room is None else cut(path, max(room, _PATH)), "bad" if match.disk in _STALE else ""


def _how(match: Match) -> list[Span]:
    state = disk_state(match.disk) if match.disk is not None else ("", "")
    if match.how == "inside" and not match.itself and match.proof is not None:
        return [(_BY[match.proof], "warn" if match.proof == "text" else "how"), state]
    return [(_HOW.get(match.how, "") + (", beside it" if match.beside else ""), "how"), state]


def _through(match: Match) -> str:
    """The libraries between, or what proves that it is inside."""
    between = [name.rpartition("/")[2] for name in match.via[1:]]
    if between:
        more = f" and {len(between) - _MOST_THROUGH} more" if len(between) > _MOST_THROUGH else ""
        return escape(f"via {', '.join(between[:_MOST_THROUGH])}{more}")
    if match.how == "inside":
        proven = proven_by(match.evidence, None, match.version, match.absent_code)
        return f"in what was packed: {proven}" if match.unpacked else proven
    return ""


def _packed(document: WhoDocument, page: Page) -> Iterator[list[Span]]:
    if document.packed:
        told = (
            f"{_counted(len(document.packed), 'file is', 'files are')} packed, and not looked into (--unpack: what UPX "
            "packed, too): "
        )
        yield from flow(
            [(name, "warn") for name in document.packed], page, [(told, "warn")], [(" " * INDENT, "")], ", "
        )


def _count(document: WhoDocument, page: Page) -> Iterator[list[Span]]:
    summary = document.summary
    files, processes = _different(document.matches)
    asked = summary.processes + summary.closed + summary.unsteady
    looked = [(len(files), summary.files, "file", "files")] if summary.files or not asked else []
    looked += [(len(processes), summary.processes, "process", "processes")] if asked else []
    older = f", older than {document.older_than}" if document.older_than is not None else ""
    if not document.matches:
        among = " and ".join(_counted(total, one, many) for _, total, one, many in looked)
        good = "good" if summary.files + summary.processes else "warn"
        yield from words(f"{document.name}{older}: held by none of {among}", good, page, [])
    else:
        told = " and ".join(f"{count:,} of {_counted(total, one, many)}" for count, total, one, many in looked)
        items: list[Span] = [(f"{document.name}{older}: held by {told}", "title"), *_details(document.matches)]
        yield from flow(items, page, [], [(" " * INDENT, "")], " · ")
    if summary.unsure:
        told = f"of {summary.unsure:,} --thorough may tell the version: only texts and symbols were looked at"
        yield from words(told, "faint", page, [(" " * INDENT, "")])
    yield from _unseen(document, page)
    if document.closed:
        yield from _closed(document.closed, page)
    if summary.unsteady:
        told = f"{_counted(summary.unsteady, 'process', 'processes')} changed each time that it was looked at"
        yield from words(told, "warn", page, [])


def _closed(closed: list[Closed], page: Page) -> Iterator[list[Span]]:
    """How many processes may not be looked into, and which are the first of them."""
    told = f"{_counted(len(closed), 'process', 'processes')} may not be looked into"
    named: list[Span] = [(f"{one.pid} {one.command or ''}".rstrip(), "warn") for one in closed[:_MOST_CLOSED]]
    if len(closed) > _MOST_CLOSED:
        named.append((f"and {len(closed) - _MOST_CLOSED:,} more", "warn"))
    yield from flow(named, page, [(f"{told}: ", "warn")], [(" " * INDENT, "")], ", ")


def _unseen(document: WhoDocument, page: Page) -> Iterator[list[Span]]:
    """How far that goes: what was looked at in the files without a match, and what cannot be seen there."""
    summary = document.summary
    told = []
    if summary.names_only:
        told.append(
            f"no text, symbol or code of {document.name} is known: only the names of shared libraries were compared"
        )
    if summary.by_texts:
        files = _counted(summary.by_texts, "file", "files")
        told.append(f"{files} looked at by texts and symbols alone (--thorough: by machine code, too)")
    if summary.unknown_code:
        files = _counted(summary.unknown_code, "file", "files")
        told.append(f"in {files} {size(summary.unknown_bytes)} of machine code are of no library that is known")
    if told:
        among = "" if summary.names_only or not document.matches else "of those without it, "
        yield from words(among + "; ".join(told), "faint", page, [(" " * INDENT, "")])


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

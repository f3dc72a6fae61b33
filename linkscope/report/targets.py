"""Targets for people: what is known of each system, and for a file the oldest release on which it starts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from linkscope.model.targets import TargetFile, TargetReason, TargetRow, TargetsDocument, TargetVerdict
from linkscope.report.escape import exact
from linkscope.report.page import INDENT, Page, Span, flow, paint, words
from linkscope.report.table import Column, table

_COLUMNS = (
    Column(title="target"),
    Column(title="libc"),
    Column(title="also called", least=8, spare=2),
    Column(title="data"),
    Column(title="source", least=24),
)
_SHOWN = 4  # reasons, and symbols of one reason
_YEAR = 100  # what is further apart is no count: Amazon Linux 2 and 2023


def render(document: TargetsDocument, page: Page, listed: bool, named: bool = False) -> Iterator[str]:
    """The pieces of the text, newlines included.

    listed: the targets themselves are what was asked for. named: they are some that were named, not all that are known.
    """
    if listed:
        rows = [_row(target) for target in document.targets]
        for line in table(_COLUMNS, rows, page, indent=0):
            yield paint(line, page) + "\n"
        return
    for place, file in enumerate(document.files):
        if place:
            yield "\n"
        for line in _file(file, document.targets, page, named):
            yield paint(line, page) + "\n"


def _row(target: TargetRow) -> list[Span]:
    style = "good" if target.confidence == "verified" else ""
    return [
        (target.name, "name"),
        (f"{target.libc} {target.version}", ""),
        (", ".join(target.names), ""),
        (target.confidence, style),
        (target.source, "faint"),
    ]


def _file(file: TargetFile, targets: list[TargetRow], page: Page, named: bool) -> Iterator[list[Span]]:
    more = f", {file.files} files together" if file.files > 1 else ""
    yield [(exact(file.path, file.path_bytes), "title"), (more, "faint")]
    said = {verdict.target: verdict for verdict in file.verdicts}
    width = max((len(target.distribution) for target in targets), default=0)
    for distribution, alike in groupby(targets, key=lambda target: target.distribution):
        releases = list(alike)
        start: list[Span] = [(" " * INDENT, ""), (distribution.ljust(width), "name"), ("  ", "")]
        told = _Distribution(file.oldest[distribution], releases, [said[one.name] for one in releases])
        if told.first is None:
            yield from _nowhere(told, start, page, named)
        else:
            yield from _somewhere(told, told.first, start, page)


class _Distribution:
    """What is said of the releases of one distribution: place of the first on which the file starts, and of the first
    on which nobody knows, if that is older; None where there is none.
    """

    def __init__(self, oldest: str | None, releases: list[TargetRow], verdicts: list[TargetVerdict]) -> None:
        self.releases = releases
        self.verdicts = verdicts
        self.starts = next((place for place, one in enumerate(releases) if one.release == oldest), None)
        before = verdicts if self.starts is None else verdicts[: self.starts]
        self.perhaps = next((place for place, one in enumerate(before) if one.starts is None), None)

    @property
    def first(self) -> int | None:
        """The place of the oldest release on which the file may start."""
        return self.starts if self.perhaps is None else self.perhaps


def _nowhere(told: _Distribution, start: list[Span], page: Page, named: bool) -> Iterator[list[Span]]:
    """That there may well be newer releases goes without saying where the one that was meant is named."""
    newest = told.releases[-1].release
    if named:
        label = [("none", "bad"), (f"  not on {newest}: ", "")]
    else:
        label = [("none of those known", "bad"), (f" (newest: {newest}): ", "")]
    yield from _refused(told.verdicts[-1], [*start, *label], page)


def _somewhere(told: _Distribution, first: int, start: list[Span], page: Page) -> Iterator[list[Span]]:
    """The oldest release on which the file starts, or may start; then why not on the one before."""
    label: list[Span] = []
    if told.starts is not None:
        label.append((told.releases[told.starts].release, "good"))
    if told.perhaps is not None:
        label += [(", ", "")] if label else []
        label.append((f"perhaps {told.releases[told.perhaps].release}", "warn"))
    last = first if told.starts is None else told.starts
    older = [place for place in range(last) if told.verdicts[place].starts is False]
    if older:
        behind = f"  not on {told.releases[older[-1]].release}{_between(told.releases, older[-1])}: "
        yield from _refused(told.verdicts[older[-1]], [*start, *label, (behind, "")], page)
    else:
        whole = len(label) == 1 and first == 0 and len(told.releases) > 1
        yield [*start, *label, (" and all that are known" if whole else "", "")]
    for reason in told.verdicts[first].reasons[:_SHOWN]:
        yield from words(reason.message, "warn", page, [(" " * 2 * INDENT, "")])


def _between(releases: list[TargetRow], place: int) -> str:
    """The releases behind one that nothing is known of, where they are counted: Fedora's 35 to 40."""
    older, newer = releases[place].release, releases[place + 1].release
    if not (older.isdecimal() and newer.isdecimal() and 1 < int(newer) - int(older) < _YEAR):
        return ""
    return f" ({int(older) + 1} to {int(newer) - 1} are not known)"


def _refused(verdict: TargetVerdict, start: list[Span], page: Page) -> Iterator[list[Span]]:
    """What keeps the file from starting there, with who asks for it."""
    deciding = [reason for reason in verdict.reasons if reason.weight == "fatal"]
    items: list[Span] = [(_told(reason), "") for reason in deciding[:_SHOWN]]
    if len(deciding) > _SHOWN:
        items.append((f"and {len(deciding) - _SHOWN} more", "faint"))
    yield from flow(items, page, start, [(" " * 2 * INDENT, "")], ", ")


def _told(reason: TargetReason) -> str:
    """GLIBC_2.34 (pthread_create, dlsym), or libcurl.so.4 (the package libcurl4 brings it)."""
    if reason.package is not None:
        return f"{reason.subject} (the package {reason.package} brings it)"
    if reason.code != "version":
        return reason.subject
    symbols = dict.fromkeys(line.partition(" (from ")[0] for line in reason.evidence if " (from " in line)
    shown = [*list(symbols)[:_SHOWN], *(["…"] if len(symbols) > _SHOWN else [])]
    return f"{reason.subject} ({', '.join(shown)})" if shown else reason.subject

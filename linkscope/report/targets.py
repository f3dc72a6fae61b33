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


def render(document: TargetsDocument, page: Page, listed: bool) -> Iterator[str]:
    """The pieces of the text, newlines included. listed: the targets themselves are what was asked for."""
    if listed:
        rows = [_row(target) for target in document.targets]
        for line in table(_COLUMNS, rows, page, indent=0):
            yield paint(line, page) + "\n"
        return
    for place, file in enumerate(document.files):
        if place:
            yield "\n"
        for line in _file(file, document.targets, page):
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


def _file(file: TargetFile, targets: list[TargetRow], page: Page) -> Iterator[list[Span]]:
    more = f", {file.files} files together" if file.files > 1 else ""
    yield [(exact(file.path, file.path_bytes), "title"), (more, "faint")]
    said = {verdict.target: verdict for verdict in file.verdicts}
    width = max((len(target.distribution) for target in targets), default=0)
    for distribution, alike in groupby(targets, key=lambda target: target.distribution):
        releases = list(alike)
        start: list[Span] = [(" " * INDENT, ""), (distribution.ljust(width), "name"), ("  ", "")]
        yield from _distribution(file.oldest[distribution], [said[one.name] for one in releases], releases, start, page)


def _distribution(
    oldest: str | None, verdicts: list[TargetVerdict], releases: list[TargetRow], start: list[Span], page: Page
) -> Iterator[list[Span]]:
    """The oldest release on which the file starts, or may start; then why not on the one before."""
    place = next((number for number, one in enumerate(releases) if one.release == oldest), None)
    if place is None:
        place = next((number for number, said in enumerate(verdicts) if said.starts is None), None)
    if place is None:
        yield from _refused(releases[-1], verdicts[-1], [*start, ("none", "bad"), ("  ", "")], page)
        return
    label: Span = (releases[place].release, "good")
    if oldest is None:
        label = (f"perhaps {releases[place].release}", "warn")
    older = [number for number in range(place) if verdicts[number].starts is False]
    if older:
        yield from _refused(releases[older[-1]], verdicts[older[-1]], [*start, label, ("  ", "")], page)
    else:
        yield [*start, label, (" and all that are known" if place == 0 and len(releases) > 1 else "", "")]
    for reason in verdicts[place].reasons[:_SHOWN]:
        yield from words(reason.message, "warn", page, [(" " * 2 * INDENT, "")])


def _refused(release: TargetRow, verdict: TargetVerdict, start: list[Span], page: Page) -> Iterator[list[Span]]:
    """What keeps the file from starting on RELEASE, with who asks for it."""
    deciding = [reason for reason in verdict.reasons if reason.weight == "fatal"]
    items: list[Span] = [(_told(reason), "") for reason in deciding[:_SHOWN]]
    if len(deciding) > _SHOWN:
        items.append((f"and {len(deciding) - _SHOWN} more", "faint"))
    yield from flow(items, page, [*start, (f"not on {release.release}: ", "")], [(" " * 2 * INDENT, "")], ", ")


def _told(reason: TargetReason) -> str:
    """GLIBC_2.34 (pthread_create, dlsym)."""
    if reason.code != "version":
        return reason.subject
    symbols = dict.fromkeys(line.partition(" (from ")[0] for line in reason.evidence if " (from " in line)
    shown = [*list(symbols)[:_SHOWN], *(["…"] if len(symbols) > _SHOWN else [])]
    return f"{reason.subject} ({', '.join(shown)})" if shown else reason.subject

"""The channels inside a family, drawn: who writes to whom, who shares which memory, who accepts connections where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from linkscope.model.pid import Channel, ChannelEnd, ChannelKind
from linkscope.model.quantities import size
from linkscope.report.page import INDENT, Page, Span, words
from linkscope.report.table import GAP, Column, table

_KINDS: dict[ChannelKind, str] = {
    "pipe": "pipe",
    "socket-pair": "socket pair",
    "unix-socket": "unix socket",
    "shared-memory": "shared memory",
    "memfd": "memfd",
    "shared-file": "shared file",
    "listening": "listening",
}
_COLUMNS = (
    Column(title="channel"),
    Column(title="between", least=24),
    Column(title="size", right=True, spare=1),
    Column(title="name", least=12, middle=True),
)
_BELOW = INDENT + max(map(len, _KINDS.values())) + GAP  # columns before what stands below "between"
_SHOWN = 6  # ends of one channel that are named


def channels(found: Sequence[Channel], page: Page) -> Iterator[list[Span]]:
    """A row for each channel; the descriptors stand below a row that has no room for them."""
    drawn = [_drawn(channel, _with_descriptors) for channel in found]
    lines = table(_COLUMNS, list(map(_row, found, drawn)), page)
    below = [(said, "") not in line for said, line in zip(drawn, lines[1:], strict=True)]
    if any(below):
        forms = [_by_number if parted else _with_descriptors for parted in below]
        drawn = list(map(_drawn, found, forms))
    titles, *lines = table(_COLUMNS, list(map(_row, found, drawn)), page)
    yield titles
    for channel, line, parted in zip(found, lines, below, strict=True):
        yield line
        if parted:
            yield from _descriptors(channel.ends[:_SHOWN], page)


def _descriptors(ends: Sequence[ChannelEnd], page: Page) -> Iterator[list[Span]]:
    """`fd 6 of 1234, 1235 · fd 3,4 of 1200`: who holds it by which descriptors."""
    holders: dict[str, list[str]] = {}
    for end in ends:
        if end.descriptors:
            holders.setdefault(_numbers(end), []).append(str(end.pid))
    if holders:
        said = " · ".join([f"fd {numbers} of {', '.join(pids)}" for numbers, pids in holders.items()])
        yield from words(said, "faint", page, [(" " * _BELOW, "")])


def _row(channel: Channel, drawn: str) -> list[Span]:
    return [
        (_KINDS[channel.kind], "how"),
        (drawn, ""),
        ("" if channel.size is None else size(channel.size), ""),
        (channel.name, ""),
    ]


def _drawn(channel: Channel, one: Callable[[ChannelEnd], str]) -> str:
    """Who holds which end, ONE saying it of each: an arrow from who writes to who reads, a line between equals."""
    ends = channel.ends
    if channel.kind == "listening":
        return _by("accepted", "accept", ends, one)
    if channel.kind == "pipe":
        writing = _named([end for end in ends if end.use in ("write", "both")], one)
        reading = _named([end for end in ends if end.use in ("read", "both")], one)
        return f"{writing or 'nobody here'} ──→ {reading or 'nobody here'}"
    if channel.kind in ("socket-pair", "unix-socket"):
        return _named(ends, one, " ─── ") + ("" if len(ends) > 1 else " ─── nobody else here")
    return _by("mapped", "map", ends, one)


def _by(how: str, use: str, ends: Sequence[ChannelEnd], one: Callable[[ChannelEnd], str]) -> str:
    """`mapped by 1234; held by 1235`: those who USE it, and those who only hold a descriptor of it."""
    using = _named([end for end in ends if end.use == use], one)
    holding = _named([end for end in ends if end.use != use], one)
    return "; ".join([f"{said} by {those}" for said, those in ((how, using), ("held", holding)) if those])


def _named(ends: Sequence[ChannelEnd], one: Callable[[ChannelEnd], str], separator: str = ", ") -> str:
    """ONE of each end; of many only of the first few."""
    shown = separator.join(map(one, ends[:_SHOWN]))
    return shown if len(ends) <= _SHOWN else f"{shown} and {len(ends) - _SHOWN} more"


def _with_descriptors(end: ChannelEnd) -> str:
    if not end.descriptors:
        return str(end.pid)
    return f"{end.pid} fd {_numbers(end)}"


def _numbers(end: ChannelEnd) -> str:
    return f"{','.join(map(str, end.descriptors[:3]))}{'…' if len(end.descriptors) > 3 else ''}"


def _by_number(end: ChannelEnd) -> str:
    return str(end.pid)

"""`linkscope ps` for people: a row for each process, and below the table what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from linkscope.model.pid import Process
from linkscope.model.quantities import size
from linkscope.report.findings import briefly, is_stale
from linkscope.report.lines import painted
from linkscope.report.moment import Moment, duration
from linkscope.report.objects import objects
from linkscope.report.page import Page, Span, flow, words
from linkscope.report.processfacts import UNUSUAL, counted, is_dead, is_kernel_thread, state_of
from linkscope.report.processtitle import title
from linkscope.report.table import Column, table

_COLUMNS = (
    Column(title="pid", right=True),
    Column(title="user", least=8, spare=3),
    Column(title="name", least=10),
    Column(title="state", least=12, spare=2),
    Column(title="linkage", spare=1),
    Column(title="libs", right=True, spare=4),
    Column(title="PSS", right=True),
    Column(title="findings", least=10),
    Column(title="command", least=24, spare=5),
)
_BELOW = 4  # columns by which a process's objects are moved in


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """How many processes are left out. kernel_threads: not asked for; closed: what could not be looked into.

    root: whether the caller is root, so that nobody could look into more.
    """

    kernel_threads: int = 0
    closed: int = 0
    root: bool = False


def render(processes: Sequence[Process], left: Left, page: Page, moment: Moment) -> Iterator[str]:
    """The table in pieces, in the order of PROCESSES, and a count of them. Objects, where there are, below each."""
    for line in rows(processes, page, moment):
        yield painted([line], page)
    yield painted([[], *count(processes, left, page)] if processes else count(processes, left, page), page)


def rows(processes: Sequence[Process], page: Page, moment: Moment) -> Iterator[list[Span]]:
    """The table: a line of titles, and a line for each process."""
    if not processes:
        return
    titles, *lines = table(_COLUMNS, [_row(process, moment) for process in processes], page, 0)
    yield titles
    for process, line in zip(processes, lines, strict=True):
        yield line
        if process.objects is not None:
            yield from objects(process.objects, page, _BELOW)


def _row(process: Process, moment: Moment) -> list[Span]:
    linkage = process.executable.linkage if process.executable is not None else None
    return [
        (str(process.pid), ""),
        (process.user or "", ""),
        (process.name, "name"),
        (state_of(process), UNUSUAL.get(process.state, "")),
        (linkage or ("kernel" if is_kernel_thread(process) else "-"), "how" if linkage else "faint"),
        ("" if linkage is None else str(process.libraries), ""),
        ("" if process.memory is None or linkage is None else size(process.memory.pss), ""),
        _remark(process, moment),
        (title(process.name, process.cmdline), "faint"),
    ]


def _remark(process: Process, moment: Moment) -> Span:
    """The findings in a few words; of a zombie, who should have waited for it and how long it has been seen dead."""
    if not is_dead(process):
        return briefly(process)
    seen = moment.dead.get(process.pid)
    said = "" if seen is None else f"dead for {duration(moment.now - seen)} or longer, "
    return f"{said}not reaped by {process.ppid}", "bad"


def count(processes: Sequence[Process], left: Left, page: Page) -> Iterator[list[Span]]:
    """How many there are, how many of them are to be restarted, and who is left out."""
    items: list[Span] = [(counted(len(processes), "process", "processes"), "")]
    stale = sum(map(is_stale, processes))
    if stale:
        items.append((f"{stale} to be restarted (linkscope ps --stale)", "bad"))
    if left.kernel_threads:
        items.append((f"{left.kernel_threads} kernel threads left out (--kernel-threads)", "faint"))
    yield from flow(items, page, [], [], " · ")
    yield from closed(left, page)


def closed(left: Left, page: Page) -> Iterator[list[Span]]:
    """How many processes could not be looked into, and what would help; nothing where there are none."""
    if left.closed:
        many = f"{counted(left.closed, 'process', 'processes')} could not be looked into, or only in part"
        yield from words(many if left.root else f"{many}: run as root to see more", "", page, [("! ", "warn")])

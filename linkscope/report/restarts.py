"""`linkscope ps --stale` for people: which processes run what is no longer on the disk, and what is to be restarted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from linkscope.model.pid import Disk, Process, ProcessError, ProcessFinding
from linkscope.report.escape import escape
from linkscope.report.findings import STALE, is_stale
from linkscope.report.lines import clipped, painted
from linkscope.report.objects import disk_state
from linkscope.report.page import LABEL, Page, Span, cells, cut, flow, padded, words
from linkscope.report.processes import closed
from linkscope.report.processtitle import title

_INDENT = 4
_STATE = 13
_SHOWN = 3  # processes of one session that are named
# The unit of process 1, which goes on by running itself anew (systemctl(1), daemon-reexec).
_INIT = "init.scope"


def render(results: Iterable[Process | ProcessError], page: Page) -> Iterator[str]:
    """Each stale process with what is stale of it, as soon as it has come; at the end what has to be restarted.

    Errors are taken to be for want of permission, and only counted.
    """
    restarts = _Restarts()
    closed_ones: set[int] = set()
    for result in results:
        if isinstance(result, ProcessError):
            closed_ones.add(result.pid)
            continue
        restarts.add(result)
        if is_stale(result):
            yield painted(_stale(result, page), page)
    yield painted([*restarts.summary(page), *closed(len(closed_ones), page)], page)


def _stale(process: Process, page: Page) -> Iterator[list[Span]]:
    """The process, and below it a line for each of its objects that is no longer what stands on the disk."""
    where = process.container or process.unit
    beside = "".join([f" · {said}" for said in (process.user, where) if said])
    room = None if page.width is None else page.width - cells(escape(beside))
    yield [(clipped(f"{process.pid} {title(process.name, process.cmdline)}", room), "title"), (beside, "how")]
    states = {mapped.path: mapped.disk for mapped in process.objects or []}
    if process.executable is not None:
        states[process.executable.path] = process.executable.disk
    for finding in process.findings:
        if finding.code in STALE:
            yield from _object(finding, states, page)


def _object(finding: ProcessFinding, states: dict[str, Disk], page: Page) -> Iterator[list[Span]]:
    word, style = disk_state(states.get(finding.path or "", "same"))
    start: list[Span] = [(" " * _INDENT, "")]
    if not word or finding.path is None:
        yield from words(finding.message, "", page, start)
        return
    path = finding.path if page.width is None else cut(finding.path, page.width - _INDENT - _STATE)
    yield [*start, padded(word, style, _STATE), (path, "")]


class _Restarts:
    """What has to be restarted, gathered while the processes pass by."""

    def __init__(self) -> None:
        self._kernels: dict[str, None] = {}  # what is said of an old one
        # What has to be done, in the order of who can do it, with the names of what it is to be done with.
        self._steps: dict[str, dict[str, list[str]]] = {step: {} for step in ("restart", "container", "log in anew")}
        self._steps |= {"by hand": {}, "init": {}}

    def add(self, process: Process) -> None:
        """One more process, stale or not: an old kernel may be said of any."""
        self._kernels |= {finding.message: None for finding in process.findings if finding.code == "old-kernel"}
        if is_stale(process):
            step, what = _step(process)
            self._steps[step].setdefault(what, []).append(f"{process.pid} {process.name}")

    def summary(self, page: Page) -> Iterator[list[Span]]:
        """What has to be done, by whom; or that nothing has to, in one line."""
        if any(self._steps.values()):
            yield []
        for step, named in self._steps.items():
            if named:
                yield from self._done(step, named, page)
        for message in self._kernels:
            yield from words(message, "", page, [(f"{'reboot':<{LABEL}}", "bad")])
        if not any(self._steps.values()) and not self._kernels:
            yield from words("nothing has to be restarted: no process runs what is no longer on the disk", "", page, [])

    def _done(self, step: str, named: dict[str, list[str]], page: Page) -> Iterator[list[Span]]:
        items = list(named)
        if step == "log in anew":
            items = [f"{unit} ({_few(processes)})" for unit, processes in named.items()]
        room = None if page.width is None else page.width - LABEL - 1
        shown: list[Span] = [(clipped(item, room), "title") for item in items]
        return flow(shown, page, [(f"{step:<{LABEL}}", "bad")], [], ", ")


def _step(process: Process) -> tuple[str, str]:
    """What is to be done about a stale process, and with what."""
    if process.container is not None:
        return "container", process.container
    if process.unit is None:
        return "by hand", f"{process.pid} {process.name}"
    if process.unit == _INIT:
        return "init", "systemctl daemon-reexec"
    return "log in anew" if process.unit.endswith(".scope") else "restart", process.unit


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"

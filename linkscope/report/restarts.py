"""`linkscope ps --stale` for people: which processes run what is no longer on the disk, and what is to be restarted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from linkscope.model.pid import Disk, Process, ProcessError, ProcessFinding
from linkscope.report.escape import escape, exact, quoted
from linkscope.report.findings import STALE, exact_paths, is_stale
from linkscope.report.lines import clipped, painted
from linkscope.report.objects import disk_state
from linkscope.report.page import LABEL, Page, Span, cells, cut, flow, padded, words
from linkscope.report.processes import Left, closed
from linkscope.report.processtitle import title

_INDENT = 4
_STATE = 13
_SHOWN = 3  # processes of one session that are named
_ENDLESS = 100  # columns of a list of numbers on a page without an edge
# The unit of process 1, which goes on by running itself anew (systemctl(1), daemon-reexec).
_INIT = "init.scope"

_STALE = "what is no longer on the disk"
_Line = tuple[Span, ...]


class _Same(msgspec.Struct, frozen=True):
    """What processes have in common that are shown as one: their program, who keeps it running, what is stale of it."""

    program: str | None
    script: str | None
    user: str | None
    where: str | None
    stale: tuple[_Line, ...]


class _Block(msgspec.Struct):
    """Processes that are shown as one. title: what the first of them is called; pids: of all."""

    title: str
    pids: list[int]


def render(results: Iterable[Process | ProcessError], page: Page, root: bool = False) -> Iterator[str]:
    """The stale processes with what is stale of them, those of one kind together; at the end what has to be restarted.

    Errors are only counted; unless the caller is ROOT they are taken to be for want of permission.
    """
    restarts = _Restarts()
    blocks: dict[_Same, _Block] = {}
    failed: set[int] = set()
    for result in results:
        if isinstance(result, ProcessError):
            failed.add(result.pid)
            continue
        restarts.add(result)
        if is_stale(result):
            first = _Block(title(result.name, result.cmdline), [])
            blocks.setdefault(_kind(result, page), first).pids.append(result.pid)
    for same, block in blocks.items():
        yield painted(_shown(same, block, page), page)
    left = Left(closed=len(failed), root=root)
    yield painted([*restarts.summary(page, all_seen=not failed), *closed(left, page)], page)


def _kind(process: Process, page: Page) -> _Same:
    program = process.executable
    return _Same(
        program=exact(program.path, program.path_bytes) if program else None,
        script=program.script if program else None,
        user=process.user,
        where=process.container or process.unit,
        stale=tuple(_stale(process, page)),
    )


def _shown(same: _Same, block: _Block, page: Page) -> Iterator[list[Span]]:
    """The first process, how many there are besides, and a line for each object that is no longer on the disk."""
    beside = "".join([f" · {said}" for said in (same.user, same.where) if said])
    room = None if page.width is None else page.width - cells(escape(beside))
    yield [(clipped(f"{block.pids[0]} {block.title}", room), "title"), (beside, "how")]
    if others := block.pids[1:]:
        start = f"{'':{_INDENT}}and {len(others)} more: "
        yield [(start, ""), (_numbers(others, (page.width or _ENDLESS) - len(start)), "")]
    yield from map(list, same.stale)


def _numbers(pids: Sequence[int], room: int) -> str:
    """As many of PIDS as ROOM columns hold."""
    said = ""
    for place, pid in enumerate(pids):
        said_then = f"{said}, {pid}" if said else str(pid)
        if len(said_then) + (2 if place < len(pids) - 1 else 0) > room:
            return f"{said} …".lstrip()
        said = said_then
    return said


def _stale(process: Process, page: Page) -> Iterator[_Line]:
    """A line for each of its objects that is no longer what stands on the disk."""
    states = {mapped.path: mapped.disk for mapped in process.objects or []}
    if process.executable is not None:
        states[process.executable.path] = process.executable.disk
    known = exact_paths(process)
    for finding in process.findings:
        if finding.code in STALE:
            path = finding.path or ""
            yield from map(tuple, _object(finding, states.get(path, "same"), known.get(path, path), page))


def _object(finding: ProcessFinding, disk: Disk, path: str, page: Page) -> Iterator[list[Span]]:
    word, style = disk_state(disk)
    start: list[Span] = [(" " * _INDENT, "")]
    if not word:
        yield from words(finding.message, "", page, start)
        return
    path = path if page.width is None else cut(path, page.width - _INDENT - _STATE)
    yield [*start, padded(word, style, _STATE), (path, "")]


class _Restarts:
    """What has to be restarted, gathered while the processes pass by."""

    def __init__(self) -> None:
        self._kernels: dict[str, None] = {}  # what is said of an old one
        # What has to be done, in the order of who can do it, with the names of what it is to be done with; and which
        # processes these are.
        self._steps: dict[str, dict[str, list[str]]] = {step: {} for step in ("restart", "container", "log in anew")}
        self._steps |= {"by hand": {}, "init": {}}

    def add(self, process: Process) -> None:
        """One more process, stale or not: an old kernel may be said of any."""
        self._kernels |= {finding.message: None for finding in process.findings if finding.code == "old-kernel"}
        if is_stale(process):
            step, what = _step(process)
            self._steps[step].setdefault(what, []).append(f"{process.pid} {_called(process)}")

    def summary(self, page: Page, all_seen: bool) -> Iterator[list[Span]]:
        """What has to be done, by whom; or that nothing has to, in one line, as far as can be told."""
        if any(self._steps.values()):
            yield []
        for step, named in self._steps.items():
            if named:
                yield from self._done(step, named, page)
        for message in self._kernels:
            yield from words(message, "", page, [(f"{'reboot':<{LABEL}}", "bad")])
        if not any(self._steps.values()) and not self._kernels:
            which = "process" if all_seen else "process that could be looked into"
            yield from words(f"nothing has to be restarted: no {which} runs {_STALE}", "", page, [])

    def _done(self, step: str, named: dict[str, list[str]], page: Page) -> Iterator[list[Span]]:
        items = list(named)
        if step == "log in anew":
            items = [f"{unit} ({_few(processes)})" for unit, processes in named.items()]
        elif step == "by hand":
            items = [
                them[0] if len(them) == 1 else f"{called} ({len(them)} processes)" for called, them in named.items()
            ]
        room = None if page.width is None else page.width - LABEL - 1
        shown: list[Span] = [(clipped(item, room), "title") for item in items]
        return flow(shown, page, [(f"{step:<{LABEL}}", "bad")], [], ", ")


def _step(process: Process) -> tuple[str, str]:
    """What is to be done about a stale process, and with what."""
    if process.container is not None:
        return "container", process.container
    if process.unit is None:
        return "by hand", _called(process)
    if process.unit == _INIT:
        return "init", "systemctl daemon-reexec"
    return "log in anew" if process.unit.endswith(".scope") else "restart", process.unit


def _called(process: Process) -> str:
    """Its name; of an interpreter also what it runs, for there may be many of that name."""
    script = process.executable.script if process.executable is not None else None
    return f"{process.name} {quoted(script)}" if script is not None else process.name


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"

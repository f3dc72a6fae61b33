"""What a process is, in one line and in a list of facts with their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from linkscope.model.pid import Disk, Process, Relative, State
from linkscope.report.escape import exact
from linkscope.report.findings import is_stale
from linkscope.report.linkages import program
from linkscope.report.moment import Moment, duration
from linkscope.report.objects import disk_state
from linkscope.report.page import INDENT, LABEL, Page, Span, cut, flow
from linkscope.report.processtitle import title

UNUSUAL: dict[State, str] = {"zombie": "bad", "stopped": "warn", "tracing-stop": "warn", "disk-sleep": "warn"}
"""The styles of states that deserve a look."""
# What became of the program's file, in more words than the table of the objects has room for.
_ON_DISK: dict[Disk, str] = {
    "replaced": "replaced on disk",
    "deleted": "deleted from disk",
    "overwritten": "overwritten on disk",
    "renamed": "renamed since",
    "memfd": "in memory only",
    "unknown": "cannot tell whether it is still on disk",
}


def is_kernel_thread(process: Process) -> bool:
    """Whether the process is a part of the kernel."""
    return any(finding.code == "kernel-thread" for finding in process.findings)


def is_dead(one: Process | Relative) -> bool:
    """Whether it only waits to be reaped.

    Where its main thread alone has ended it is a zombie by state too, but goes on (Linux fs/proc/array.c,
    do_task_stat: the state is the main thread's, the number of threads everybody's).
    """
    return one.state == "zombie" and one.threads <= 1


def state_of(one: Process | Relative) -> str:
    """The state in words, with what it means where only the main thread has ended."""
    return "zombie, main thread ended" if one.state == "zombie" and not is_dead(one) else one.state


def counted(number: int, one: str, many: str) -> str:
    """NUMBER with ONE or MANY of what is counted: `no libraries`, `1 library`, `23 libraries`."""
    return f"{number or 'no'} {one if number == 1 else many}"


def summary(process: Process, page: Page, moment: Moment) -> Iterator[list[Span]]:
    """`dynamic PIE · 23 libraries · sleeping · 1 thread · www-data · started 3 days ago`, and if it is out of date."""
    items = [(_what(process), "")]
    if process.libraries is not None and process.executable is not None:
        items.append((counted(process.libraries, "library", "libraries"), ""))
    if not is_dead(process):
        items.append((state_of(process), UNUSUAL.get(process.state, "")))
        items.append((counted(process.threads, "thread", "threads"), ""))
    if process.user is not None:
        items.append((process.user, ""))
    items.append((f"started {duration(moment.now - process.started)} ago", ""))
    if is_stale(process):
        items.append(("to be restarted", "bad"))
    return flow(items, page, [(" " * INDENT, "")], [], " · ")


def _what(process: Process) -> str:
    if is_dead(process):
        return "zombie"
    if process.executable is not None:
        return program(process.executable.linkage, process.executable.pie)
    return "kernel thread" if is_kernel_thread(process) else "program unknown"


def facts(process: Process, page: Page) -> Iterator[list[Span]]:
    """One line (more where there are many names) for each fact that there is."""
    for label, of in _FACTS:
        items = of(process)
        if not items:
            continue
        if page.width is not None:
            room = max(LABEL, page.width - INDENT - LABEL - 1)
            items = [(cut(text, room), style) for text, style in items]
        yield from flow(items, page, [(f"{'':{INDENT}}{label:<{LABEL}}", "faint")], [], ", ")


def _program(process: Process) -> list[Span]:
    if process.executable is None:
        return []
    items: list[Span] = [(exact(process.executable.path, process.executable.path_bytes), "")]
    if process.executable.disk in _ON_DISK:
        items.append((_ON_DISK[process.executable.disk], disk_state(process.executable.disk)[1]))
    return items


def _started(process: Process) -> list[Span]:
    executable = process.executable
    if executable is None:
        return []
    if executable.started_through is not None:
        return [(f"through {executable.started_through}", "")]
    if executable.linkage != "static":
        return []
    libraries = "no libraries" if not process.libraries else "libraries all the same"
    return [("by the kernel alone: no interpreter", ""), (libraries, "")]


def _script(process: Process) -> list[Span]:
    if process.executable is None or process.executable.script is None:
        return []
    return [(process.executable.script, "")]


def _name(process: Process) -> list[Span]:
    return [] if process.name in title(process.name, process.cmdline) else [(process.name, "")]


def _root(process: Process) -> list[Span]:
    """Its root folder; the caller's own has another meaning in another mount namespace (mount_namespaces(7))."""
    if not process.root:
        return []
    return [("/ in another mount namespace" if process.root == "/" else process.root, "warn")]


# In the order in which they are shown.
_FACTS: tuple[tuple[str, Callable[[Process], list[Span]]], ...] = (
    ("program", _program),
    ("name", _name),
    ("script", _script),
    ("started", _started),
    ("unit", lambda process: [(process.unit, "")] if process.unit else []),
    ("container", lambda process: [(process.container, "")] if process.container else []),
    ("root", _root),
    ("not mapped", lambda process: [(name, "warn") for name in process.absent]),
)

"""What happened between two looks at the same processes: who came and went, and what each mapped and let go."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from linkscope.model.pid import Executable, FamilyTree, MappedObject, Process, ProcessError
from linkscope.report.escape import exact
from linkscope.report.lines import clipped
from linkscope.report.objects import disk_state, name_of, origin_of
from linkscope.report.page import Page, Span, cells
from linkscope.report.processfacts import counted, is_dead
from linkscope.report.processtitle import title
from linkscope.report.table import GAP

Result = Process | FamilyTree | ProcessError
# Start times are worked out from two clocks that go on between their readings (seconds).
_SAME_START = 1.0
_MARKS = {"+": "good", "-": "warn", "!": "bad"}


class Change(msgspec.Struct, frozen=True):
    """One thing that happened. mark: it came, went, or deserves a look. what: a process or an object; how, in words.

    whose: of an object the process, where: its file; "" of a process.
    """

    mark: Literal["+", "-", "!"]
    what: str
    how: str
    whose: str = ""
    where: str = ""


class _Member(msgspec.Struct, frozen=True):
    """What is compared of a process or a relative: the one that is asked about may be known by its pid alone."""

    pid: int
    parent: int
    called: str
    dead: bool
    started: float | None = None


def changes(before: Sequence[Result], now: Sequence[Result]) -> Iterator[Change]:
    """What happened to the processes themselves and to their objects."""
    earlier, later = _processes(before), _processes(now)
    yield from _comings_and_goings(_members(earlier), _members(later))
    for pid, process in later.items():
        if pid in earlier and abs(earlier[pid].started - process.started) < _SAME_START:
            yield from _inside(earlier[pid], process)


def changes_in_families(before: Sequence[Result], now: Sequence[Result]) -> Iterator[Change]:
    """The same, and what happened to their relatives: those of the trees, or the children where there are no trees."""
    yield from changes(before, now)
    named = _processes(before).keys() | _processes(now).keys()
    earlier, later = _relatives(before), _relatives(now)
    yield from _comings_and_goings(
        {pid: member for pid, member in earlier.items() if pid not in named},
        {pid: member for pid, member in later.items() if pid not in named},
    )


def zombies(results: Sequence[Result]) -> set[int]:
    """The pids of all that are dead and not waited for."""
    dead = {pid for pid, member in _members(_processes(results)).items() if member.dead}
    return dead | {pid for pid, member in _relatives(results).items() if member.dead}


def started(number: int, seconds: float, moment: float) -> list[Span]:
    """How many processes are watched at MOMENT, how often: what a live view begins or ends with."""
    said = f"watching {counted(number, 'process', 'processes')}, a look every {seconds:g} s; Ctrl-C ends it"
    return [(_clock(moment), "faint"), (said, "faint")]


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S ", time.localtime(moment))


def shown(change: Change, moment: float, page: Page) -> list[Span]:
    """A change as one line: `14:03:07 + libfoo.so.1  dlopen by app  1234 nginx  /opt/lib/libfoo.so.1`."""
    line: list[Span] = [(_clock(moment), "faint")]
    line.append((f"{change.mark} ", _MARKS[change.mark]))
    used = sum(len(text) for text, _ in line)
    texts = [(change.what, "name"), (change.how, "how"), (change.whose, ""), (change.where, "faint")]
    for text, style in texts:
        room = None if page.width is None else page.width - used
        if not text or (room is not None and room < 2 * GAP):
            continue
        text = clipped(text, room)
        line += [(text, style), (" " * GAP, "")]
        used += cells(text) + GAP
    return line


def _processes(results: Sequence[Result]) -> dict[int, Process]:
    return {result.pid: result for result in results if isinstance(result, Process)}


def _members(processes: Mapping[int, Process]) -> dict[int, _Member]:
    return {pid: _Member(pid, one.ppid, _called(one), is_dead(one), one.started) for pid, one in processes.items()}


def _relatives(results: Sequence[Result]) -> dict[int, _Member]:
    """Everybody in the trees; of a process without a tree the children, of whom only the pids are known."""
    found: dict[int, _Member] = {}
    for result in results:
        if isinstance(result, Process):
            for pid in result.family.children:
                found.setdefault(pid, _Member(pid, result.pid, str(pid), dead=False))
            for pid in result.family.zombies:
                found.setdefault(pid, _Member(pid, result.pid, str(pid), dead=True))
        elif isinstance(result, FamilyTree):
            for one in result.members:
                called = f"{one.pid} {title(one.name, one.cmdline)}"
                found[one.pid] = _Member(one.pid, one.ppid, called, is_dead(one), one.started)
    return found


def _comings_and_goings(before: Mapping[int, _Member], now: Mapping[int, _Member]) -> Iterator[Change]:
    for pid, member in now.items():
        known = before.get(pid)
        if known is not None and not _same(known, member):
            yield Change("-", known.called, "ended")
            known = None
        if member.dead and (known is None or not known.dead):
            yield Change("!", member.called, f"zombie: it has ended, and {member.parent} has not waited for it")
        elif known is None:
            yield Change("+", member.called, f"child of {member.parent}")
        elif known.parent != member.parent:
            yield Change("!", member.called, f"orphan: {known.parent} has ended, and {member.parent} has adopted it")
    for pid, known in before.items():
        if pid not in now:
            yield Change("-", known.called, "ended")


def _same(before: _Member, now: _Member) -> bool:
    """Whether the pid has not been given to another process in between."""
    return before.started is None or now.started is None or abs(before.started - now.started) < _SAME_START


def _called(process: Process) -> str:
    return f"{process.pid} {title(process.name, process.cmdline)}"


def _inside(before: Process, now: Process) -> Iterator[Change]:
    """What became of the program and of the objects of one process; that the dead have none is no news."""
    if is_dead(now):
        return
    if _other_program(before.executable, now.executable):
        yield Change("!", _called(now), "runs another program now", "", now.executable.path if now.executable else "")
        return
    if before.objects is None or now.objects is None:
        return
    whose = f"{now.pid} {now.name}"
    earlier, later = _by_name(before.objects), _by_name(now.objects)
    for name, mapped in later.items():
        path = exact(mapped.path, mapped.path_bytes)
        if name not in earlier:
            yield Change("+", name_of(mapped), origin_of(mapped), whose, path)
        elif earlier[name].disk != mapped.disk:
            word, _ = disk_state(mapped.disk)
            yield Change("!", name_of(mapped), f"{word} on disk" if word else "on disk again", whose, path)
    for name, mapped in earlier.items():
        if name not in later:
            yield Change("-", name_of(mapped), origin_of(mapped), whose, exact(mapped.path, mapped.path_bytes))


def _other_program(before: Executable | None, now: Executable | None) -> bool:
    """Whether the process has called exec in between: a program that is only renamed is told from that by its state."""
    return before is not None and now is not None and before.path != now.path and before.disk == now.disk


def _by_name(objects: Sequence[MappedObject]) -> dict[str, MappedObject]:
    """OBJECTS by what does not change when their files are renamed, where that is known."""
    return {mapped.loaded_as or mapped.path: mapped for mapped in objects}

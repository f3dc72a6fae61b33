"""One process at one moment: everything that is read of it belongs together, or the reading is done again.

The kernel gives no such moment. What tells that a process became another one, or mapped another file, is read before
and after: the auxiliary vector (its addresses are random for each execve) and the executable mappings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError, NotPermitted, ProcessGone, ProcessUnreadable, ProcessUnsteady
from linkscope.process import procfs
from linkscope.process.linkmap_memory import Carrier, LinkMapMemory, NoLinkMap, read_link_map
from linkscope.process.mapped import load_base
from linkscope.process.mappings import Cost, Mapping, read_maps, read_smaps

Result = TypeVar("Result")
_TRIES = 5
_EXECUTABLE = re.compile(rb"^\S+ ..x. .*$", re.MULTILINE)


class Snapshot(msgspec.Struct, frozen=True):
    """What was read of one process.

    through: the thread whose files in /proc are read: the first one, unless that has ended and others go on. exe: what
    its /proc/PID/exe says, None of kernel threads, zombies and where it is not permitted; program: the file behind it.
    environ: None where it cannot be told. mappings: None where they may not be read, and then most else is None or
    empty too. costs: of the mappings, in their order; None where they were not asked for.
    """

    stat: procfs.Stat
    ids: procfs.Ids
    cmdline: list[str]
    through: int
    exe: str | None = None
    program: Image | None = None
    auxv: dict[int, int] = msgspec.field(default_factory=dict)
    environ: dict[str, str] | None = None
    mappings: list[Mapping] | None = None
    costs: list[Cost] | None = None
    link_map: LinkMapMemory | NoLinkMap | None = None

    @property
    def pid(self) -> int:
        """Its number in the caller's pid namespace."""
        return self.stat.pid


def steady(pid: int, look: Callable[[], Result]) -> Result:
    """What LOOK gives of a process that did not change while it looked. Raises ProcessUnsteady, ProcessGone."""
    before = _fingerprint(pid)
    for _ in range(_TRIES):
        seen = look()
        after = _fingerprint(pid)
        if before == after:
            return seen
        before = after
    raise ProcessUnsteady(pid)


def _fingerprint(pid: int) -> tuple[object, ...]:
    """Differs once the process has executed another program, or has mapped or unmapped code of a file."""
    stat = procfs.stat(pid)
    started, pid = stat.starttime, living_thread(stat)
    try:
        code = [line for line in _EXECUTABLE.findall(procfs.read(pid, "maps")) if b" 00:00 0 " not in line]
        return started, procfs.read(pid, "auxv"), code
    except ProcessGone:
        raise
    except ProcessUnreadable:
        return (started,)


def take(pid: int, costs: bool, link_map: bool) -> Snapshot:
    """A snapshot of one process. COSTS: with what smaps tells; LINK_MAP: with the link map out of its memory.

    Raises ProcessGone where it is not there or ends meanwhile, ProcessUnsteady. What is not permitted is None.
    """
    return steady(pid, lambda: _take(pid, costs, link_map))


def _take(pid: int, costs: bool, link_map: bool) -> Snapshot:
    stat = procfs.stat(pid)
    pid = living_thread(stat)
    snapshot = Snapshot(stat, procfs.ids(pid), procfs.cmdline(pid), pid)
    if stat.is_kernel_thread or procfs.stat(pid).state in ("zombie", "dead"):
        return msgspec.structs.replace(snapshot, mappings=[], costs=[] if costs else None)
    try:
        mappings, sizes = _mapped(pid, costs)
    except NotPermitted:
        return snapshot
    program = _program(pid)
    vector = procfs.auxv(pid, 8 if program is None else program.layout.word)
    return msgspec.structs.replace(
        snapshot,
        exe=_tolerant(lambda: procfs.link(pid, "exe")),
        program=program,
        auxv=vector,
        environ=_tolerant(lambda: procfs.environ(pid)),
        mappings=mappings,
        costs=sizes,
        link_map=_link_map(pid, program, vector, mappings) if link_map and program is not None else None,
    )


def living_thread(stat: procfs.Stat) -> int:
    """A thread that has memory: the first one, or another where that has ended (pthread_exit) and is shown as a zombie.

    /proc has a folder for every thread, which is only not listed (proc(5), /proc/tid).
    """
    if stat.state != "zombie" or stat.threads <= 1:
        return stat.pid
    threads = (int(name) for name in procfs.names_in(stat.pid, "task"))
    living = (thread for thread in threads if procfs.stat(thread).state not in ("zombie", "dead"))
    return next(living, stat.pid)


def _mapped(pid: int, costs: bool) -> tuple[list[Mapping], list[Cost] | None]:
    if not costs:
        return read_maps(pid), None
    both = read_smaps(pid)
    return [mapping for mapping, _ in both], [cost for _, cost in both]


def _tolerant(look: Callable[[], Result]) -> Result | None:
    """What LOOK gives; None where that is not permitted. A process that is gone is no process to be told of."""
    try:
        return look()
    except ProcessGone:
        raise
    except ProcessUnreadable:
        return None


def _program(pid: int) -> Image | None:
    """The file that /proc/PID/exe leads to, also where it was deleted; None where it cannot be read."""
    try:
        with open_reader(procfs.path_of(pid, "exe"), f"process {pid}") as reader:
            return read_image(reader)
    except LinkScopeError:
        return None


def _link_map(
    pid: int, program: Image, vector: dict[int, int], mappings: list[Mapping]
) -> LinkMapMemory | NoLinkMap | None:
    """The link map out of the process's memory; None where that may not be read."""
    try:
        with procfs.Memory(pid) as memory:
            if program.interpreter is not None:
                return read_link_map(memory, mappings, vector, program.layout)
            with open_reader(procfs.path_of(pid, "exe"), f"process {pid}") as reader:
                carrier = Carrier(_base(pid, program, mappings), program, reader)
                return read_link_map(memory, mappings, vector, program.layout, [carrier])
    except ProcessGone:
        raise
    except LinkScopeError:
        return None


def _base(pid: int, program: Image, mappings: list[Mapping]) -> int:
    """What is added to the addresses in the program's file; 0 where that cannot be told, as for a fixed address."""
    name = procfs.link(pid, "exe")
    return load_base(program, [mapping for mapping in mappings if mapping.name == name]) or 0

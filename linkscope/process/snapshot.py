"""One process at one moment: everything that is read of it belongs together, or the reading is done again.

The kernel gives no such moment. What tells that a process became another one, or mapped another file, is read before
and after: the auxiliary vector (its addresses are random for each execve) and the executable mappings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError, NotPermitted, ProcessGone, ProcessUnreadable, ProcessUnsteady
from linkscope.process import procfs
from linkscope.process.linkmap_memory import Carrier, LinkMapMemory, NoLinkMap, read_by_carriers, read_link_map
from linkscope.process.mapped import load_base
from linkscope.process.mappings import Cost, Mapping, parse, read_maps, read_smaps

Result = TypeVar("Result")
_TRIES = 5
# Of files, as Mapping.is_file has it.
_EXECUTABLE = re.compile(rb"^\S+ ..x. \S+ (?!00:00 0(?: |$)).*$", re.MULTILINE)


class Snapshot(msgspec.Struct, frozen=True):
    """What was read of one process.

    through: the thread whose files in /proc are read: the first one, unless that has ended and others go on. exe: what
    its /proc/PID/exe says, None of kernel threads, zombies and where it is not permitted; program: the file behind it.
    execfn: what execve(2) was given. environ: None where it cannot be
    told. mappings: None where they may not be read, and then most else is None or
    empty too. costs: of the mappings, in their order; None where they were not asked for.
    """

    stat: procfs.Stat
    ids: procfs.Ids
    cmdline: list[str]
    through: int
    exe: str | None = None
    execfn: str | None = None
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

    def is_current(self) -> bool:
        """Whether the process still runs the program that it ran then. Raises as `procfs.read` does."""
        if procfs.stat(self.pid).starttime != self.stat.starttime:
            return False
        if not self.auxv or self.program is None:
            return True
        return procfs.auxv(self.through, self.program.layout.word) == self.auxv


def steady(pid: int, look: Callable[[list[Mapping] | None], Result | None]) -> Result:
    """What LOOK gives of a process that did not change while it looked. Raises ProcessUnsteady, ProcessGone.

    LOOK is given the executable mappings of files, None where they may not be read or there are none to be had; it
    gives None where it sees others: something has come, and may have gone again.
    """
    refused: NotPermitted | None = None
    for _ in range(_TRIES):
        try:
            with _Watched(pid) as watched:
                before = watched.fingerprint()
                seen = look(watched.code)
                if seen is not None and watched.fingerprint() == before:
                    return seen
            refused = None
        except ProcessUnreadable as error:
            # It may be only one thread, or its memory, that is gone (and then the files are root's: fs/proc/base.c,
            # task_dump_owner); if it is the whole of it, this raises ProcessGone.
            procfs.stat(pid)
            refused = error if isinstance(error, NotPermitted) else None
    raise refused or ProcessUnsteady(pid)


class _Watched:
    """A process whose maps are held open, and so stay those of the program that it ran then.

    What is held open belongs to that program's memory (Linux fs/proc/task_mmu.c, proc_maps_open): after an execve
    nothing can be read of it any more, be it the same program again.
    """

    def __init__(self, pid: int) -> None:
        stat = procfs.stat(pid)
        self._pid = procfs.living_thread(stat)
        self._started = stat.starttime
        self._maps: procfs.Held | None = None
        self.code: list[Mapping] | None = None
        try:
            self._maps = procfs.Held(self._pid, "maps")
        except ProcessGone:
            raise
        except ProcessUnreadable:
            return

    def fingerprint(self) -> tuple[object, ...]:
        """Differs once the process has executed another program, or has mapped or unmapped code of a file.

        A kernel thread and a zombie have no auxiliary vector, and some kernels refuse their maps (ESRCH).
        """
        if self._maps is None:
            return self._started, procfs.stat(self._pid).name, procfs.cmdline(self._pid)
        maps = self._maps.read()
        lines = _EXECUTABLE.findall(maps)
        if self.code is None:
            self.code = parse(b"\n".join(lines))
        if not maps:
            return self._started, maps
        # The arguments are there last when a program starts (Linux fs/binfmt_elf.c, create_elf_tables).
        is_up = bool(procfs.read(self._pid, "cmdline"))
        return self._started, lines, procfs.read(self._pid, "auxv"), is_up

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        if self._maps is not None:
            self._maps.close()


def take(pid: int, costs: bool) -> Snapshot:
    """A snapshot of one process. COSTS: with what smaps tells.

    Raises ProcessGone where it is not there or ends meanwhile, ProcessUnsteady. What is not permitted is None.
    """
    return steady(pid, lambda code: _take(pid, costs, code))


def _take(pid: int, costs: bool, code: list[Mapping] | None) -> Snapshot | None:
    stat = procfs.stat(pid)
    pid = procfs.living_thread(stat)
    snapshot = Snapshot(stat, procfs.ids(pid), procfs.cmdline(pid), pid)
    if stat.is_kernel_thread or procfs.stat(pid).state in ("zombie", "dead"):
        return msgspec.structs.replace(snapshot, mappings=[], costs=[] if costs else None)
    try:
        mappings, sizes = _mapped(pid, costs)
    except NotPermitted:
        return snapshot
    if code is None or [mapping for mapping in mappings if mapping.executable and mapping.is_file] != code:
        return None
    program = _program(pid)
    vector = procfs.auxv(pid, 8 if program is None else program.layout.word)
    if not mappings or not vector:
        # In the midst of execve(2) the old program is gone and the new one is not mapped, and at its end a process has
        # no memory for a moment, before it is a zombie.
        return None
    return msgspec.structs.replace(
        snapshot,
        exe=_tolerant(lambda: procfs.link(pid, "exe")),
        execfn=_execfn(pid, vector),
        program=program,
        auxv=vector,
        environ=_tolerant(lambda: procfs.environ(pid)),
        mappings=mappings,
        costs=sizes,
        link_map=None if program is None else _link_map(pid, program, vector, mappings),
    )


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


def _execfn(pid: int, vector: dict[int, int]) -> str | None:
    """The path that was given to execve(2), AT_EXECFN; None where memory may not be read."""
    try:
        with procfs.Memory(pid) as memory:
            name = memory.string(vector.get(procfs.AT_EXECFN, 0))
    except ProcessGone:
        raise
    except LinkScopeError:
        return None
    return None if name is None else os.fsdecode(name)


def _link_map(
    pid: int, program: Image, vector: dict[int, int], mappings: list[Mapping]
) -> LinkMapMemory | NoLinkMap | None:
    """The link map out of the process's memory; None where that may not be read."""
    try:
        with procfs.Memory(pid) as memory:
            found = read_link_map(memory, mappings, vector, program.layout)
            carrier = _carrier(pid, program, vector, mappings) if isinstance(found, NoLinkMap) else None
            if carrier is None or (isinstance(found, NoLinkMap) and found.early):
                return found
            link, base = carrier
            with open_reader(procfs.path_of(pid, link), f"process {pid}") as reader:
                carriers = [Carrier(base, read_image(reader), reader)]
                return read_by_carriers(memory, mappings, program.layout, carriers)
    except ProcessGone:
        raise
    except LinkScopeError:
        return None


def _carrier(pid: int, program: Image, vector: dict[int, int], mappings: list[Mapping]) -> tuple[str, int] | None:
    """The file whose symbols lead to the link map where no DT_DEBUG does, as a link below /proc/PID, and its base.

    Of a static program its own; of a dynamic one, linked without DT_DEBUG, its loader's.
    """
    if program.interpreter is None:
        name = procfs.link(pid, "exe")
        return "exe", load_base(program, [mapping for mapping in mappings if mapping.name == name]) or 0
    base = vector.get(procfs.AT_BASE)
    loader = next((mapping for mapping in mappings if mapping.start == base), None)
    return (loader.map_file, loader.start) if loader else None

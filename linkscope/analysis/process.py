"""`linkscope pid` and `linkscope ps`: what processes have mapped, against what they should have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from linkscope.analysis.code import about_memory, about_text
from linkscope.analysis.family import Families
from linkscope.analysis.objects import Objects, disk_of
from linkscope.analysis.request import Looking
from linkscope.analysis.surroundings import about_kernel, about_script, may_run_script, script_run_by
from linkscope.elf import linkage
from linkscope.errors import (
    IsThread,
    NoProcfs,
    NotPermitted,
    OutOfDescriptors,
    ProcessGone,
    ProcessUnreadable,
    ProcessUnsteady,
)
from linkscope.model.document import exact_bytes, text
from linkscope.model.pid import (
    Executable,
    Family,
    FamilyTree,
    Origin,
    PidDocument,
    Process,
    ProcessError,
    ProcessFinding,
    ProcessMemory,
)
from linkscope.process import findings, procfs
from linkscope.process.family.census import is_dead
from linkscope.process.family.orphans import Verdict
from linkscope.process.linkmap_memory import LinkMapMemory, NoLinkMap
from linkscope.process.observation import Observation, Observer
from linkscope.process.surroundings.kernel import kernel
from linkscope.process.surroundings.scripts import Script
from linkscope.process.surroundings.units import placement_of
from linkscope.process.suspicion import Suspicion
from linkscope.process.usage import process_memory

_CLOSELY = Looking()
_NO_LIBRARIES: frozenset[Origin] = frozenset(("executable", "interpreter", "vdso"))
_NOBODY: Mapping[int, float] = {}
_TRIES = 3
_FIRST = 1  # the process that starts and stops the machine
Result = Process | ProcessError | FamilyTree


def processes(pids: Sequence[int], looking: Looking = _CLOSELY) -> PidDocument:
    """All of PIDS in one document."""
    results = list(each_process(pids, looking))
    trees = [result for result in results if isinstance(result, FamilyTree)]
    return PidDocument(
        processes=[result for result in results if isinstance(result, Process)],
        trees=trees if looking.tree else None,
        errors=[result for result in results if isinstance(result, ProcessError)],
    )


def each_process(
    pids: Sequence[int] | None, looking: Looking = _CLOSELY, seen_dead: Mapping[int, float] = _NOBODY
) -> Iterator[Result]:
    """The answers for PIDS in their order, made when asked for; None: for every process, in the order of the numbers.

    One that can be read only in part gives a Process and a ProcessError. Of all processes, those that end meanwhile are
    left out. seen_dead: since when zombies are known to be dead (seconds since the epoch), for who looks repeatedly.
    """
    run = _Run(looking, seen_dead)
    for pid in procfs.pids() if pids is None else pids:
        yield from run.results(pid, named=pids is not None)


class _Run:
    """One call: what was learnt of the machine's files and roots, for all processes."""

    def __init__(self, looking: Looking, seen_dead: Mapping[int, float]) -> None:
        if not os.path.exists(procfs.path_of(os.getpid(), "stat")):
            raise NoProcfs
        self._looking = looking
        self._observer = Observer()
        self._seen_dead = seen_dead
        self._suspicion = Suspicion(self._observer.views)
        self._booted = procfs.boot_time()

    def results(self, pid: int, named: bool) -> Iterator[Result]:
        """The answer for one process, and why there is none, or only a part."""
        try:
            if not self._is_meant(pid) or (self._looking.stale_only and not self._deserves_a_look(pid)):
                return
            if named and procfs.leader(pid) != pid:
                raise IsThread(pid, procfs.leader(pid))
            observation, process = self._looked_at(pid)
        except ProcessGone as error:
            if named:
                yield _error(error)
            return
        except ProcessUnreadable as error:
            yield _error(error)
            return
        except OutOfDescriptors:
            raise
        except Exception as error:  # noqa: BLE001  # the boundary of one process: the others are still told of
            yield ProcessError(pid=pid, error=text(f"LinkScope failed on it, which is its own fault: {error!r}"))
            return
        yield process
        if self._looking.tree:
            yield self._families.tree(pid)
        if observation.snapshot.mappings is None:
            yield _error(NotPermitted(pid))

    def _looked_at(self, pid: int) -> tuple[Observation, Process]:
        """One process, which ran one program all the while. Raises ProcessUnreadable."""
        for _ in range(_TRIES):
            observation = self._observer.observe(pid, self._looking.memory)
            process = self._process(observation)
            if observation.snapshot.is_current():
                return observation, process
        raise ProcessUnsteady(pid)

    def _is_meant(self, pid: int) -> bool:
        """Whether it is a process of the user that was asked for."""
        user = self._looking.user
        return user is None or _user(procfs.ids(pid).uids[1]) == user

    def _deserves_a_look(self, pid: int) -> bool:
        """Whether a close look may show that the process must be restarted."""
        if pid == _FIRST and self._kernel:
            return True
        if self._looking.scripts and may_run_script(pid):
            return True
        return self._suspicion.falls_on(pid, procfs.start_time(procfs.stat(pid), self._booted))

    @cached_property
    def _kernel(self) -> list[ProcessFinding]:
        """What there is to say of the kernel."""
        return about_kernel(kernel()) if self._looking.kernel else []

    def _process(self, observation: Observation) -> Process:
        snapshot = observation.snapshot
        started = procfs.start_time(snapshot.stat, self._booted)
        objects = Objects(observation, self._observer, started)
        script = script_run_by(observation)
        family, orphan = self._families.family(snapshot.stat)
        found = [
            *objects.findings(),
            *about_memory(observation),
            *(about_text(observation) if self._looking.verify_text else ()),
            *(about_script(observation, script, started) if self._looking.scripts else ()),
            *_about_the_answer(observation),
            *_about_the_process(observation),
            *_about_the_family(family, orphan),
            *(self._kernel if snapshot.pid == _FIRST else ()),
        ]
        libraries = [one for one in observation.objects if observation.match.origins[one] not in _NO_LIBRARIES]
        seen = snapshot.mappings is not None
        placement = placement_of(snapshot.pid)
        shown = observation.sight.now.shown if observation.sight else None
        return Process(
            pid=snapshot.pid,
            ppid=snapshot.stat.ppid,
            name=text(snapshot.stat.name),
            cmdline=[text(word) for word in snapshot.cmdline],
            state=snapshot.stat.state,
            threads=snapshot.stat.threads,
            user=_user(snapshot.ids.uids[1]),
            started=round(started, 2),  # the kernel counts ticks of 1/100 s
            executable=_executable(observation, script),
            objects=objects.documents() if seen and self._looking.objects else None,
            libraries=len(libraries) if seen else None,
            absent=objects.absent(),
            findings=found,
            family=family,
            memory=_memory(observation),
            unit=placement.unit,
            container=placement.container,
            root=text(shown) if shown is not None else None,
        )

    @cached_property
    def _families(self) -> Families:
        return Families(self._booted, self._seen_dead)


def _error(error: ProcessUnreadable) -> ProcessError:
    return ProcessError(pid=error.pid, error=text(error.reason))


def _user(uid: int) -> str | None:
    """The user's name, the number where it has none."""
    import pwd  # of the machine's own accounts, which may be asked over a network

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _executable(observation: Observation, script: Script | None) -> Executable | None:
    program = observation.program
    if program is None:
        return None
    loader = observation.ran.loader if observation.ran else None
    image = program.image
    return Executable(
        path=text(program.path),
        path_bytes=exact_bytes(program.path),
        disk=disk_of(program),
        linkage=None if image is None else linkage.linkage(image) or "dynamic",
        pie=None if image is None else linkage.pie(image),
        started_through=text(loader.path) if loader else None,
        script=text(script.path or script.word) if script else None,
    )


def _memory(observation: Observation) -> ProcessMemory | None:
    snapshot = observation.snapshot
    if snapshot.mappings is None or snapshot.costs is None:
        return None
    return process_memory(snapshot.mappings, snapshot.costs)


def _about_the_answer(observation: Observation) -> Iterator[ProcessFinding]:
    """Why parts of the answer are not known."""
    snapshot = observation.snapshot
    if snapshot.mappings is None:
        yield findings.not_permitted(snapshot.pid)
        return
    if not snapshot.mappings:
        return
    if observation.unpredicted:
        yield findings.not_predicted(observation.unpredicted)
    dynamic = observation.ran is not None
    if dynamic and snapshot.environ is None:
        yield findings.environment_unknown()
    if dynamic and isinstance(snapshot.link_map, NoLinkMap):
        yield findings.link_map_unknown(snapshot.link_map.reason)
    if isinstance(snapshot.link_map, LinkMapMemory) and snapshot.link_map.broken:
        yield findings.link_map_unknown(snapshot.link_map.broken)
    if dynamic and snapshot.link_map is None:
        yield findings.link_map_unknown("the caller may not read its memory")


def _about_the_process(observation: Observation) -> Iterator[ProcessFinding]:
    """What the process is, where that is no ordinary running program."""
    stat = observation.snapshot.stat
    if stat.is_kernel_thread:
        yield findings.kernel_thread()
    if is_dead(stat):
        yield findings.zombie(stat.ppid)
    elif stat.state == "zombie":
        yield findings.main_thread_ended(stat.threads)
    if observation.program is not None and observation.program.image is not None:
        opened = sum(1 for origin in observation.match.origins.values() if origin in ("dlopen", "dlopen-needed"))
        if opened and linkage.linkage(observation.program.image) == "static":
            yield findings.loaded_by_static(opened)


def _about_the_family(family: Family, orphan: Verdict) -> Iterator[ProcessFinding]:
    """Children that nobody has waited for, and why the first parent is not known."""
    if family.zombies:
        yield findings.zombie_children(family.zombies)
    if orphan.orphan is None:
        yield findings.orphan_unknown(orphan.reason)

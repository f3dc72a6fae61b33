"""All that the document says of one process, from what was seen of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from linkscope.analysis.code import about_memory, about_text
from linkscope.analysis.family import Families
from linkscope.analysis.objects import Objects, disk_of
from linkscope.analysis.request import Looking
from linkscope.analysis.selection import user_name
from linkscope.analysis.surroundings import script_run_by
from linkscope.elf import linkage
from linkscope.model.document import exact_bytes, text
from linkscope.model.pid import Executable, Family, FamilyTree, Origin, Process, ProcessFinding, ProcessMemory
from linkscope.process import findings, procfs
from linkscope.process.family.census import is_dead
from linkscope.process.family.orphans import Verdict
from linkscope.process.linkmap_memory import LinkMapMemory, NoLinkMap
from linkscope.process.observation import Observation
from linkscope.process.packing import packer_of
from linkscope.process.surroundings.scripts import Script
from linkscope.process.surroundings.units import placement_of
from linkscope.process.usage import process_memory

if TYPE_CHECKING:
    from linkscope.analysis.inside import Insides, Look
    from linkscope.model.inspect import Content

_NO_LIBRARIES: frozenset[Origin] = frozenset(("executable", "interpreter", "vdso"))


class Answers:
    """The answers of one run. seen_dead: as in `each_process`. booted: `procfs.boot_time`."""

    def __init__(self, looking: Looking, seen_dead: Mapping[int, float], booted: float) -> None:
        self._looking = looking
        self._seen_dead = seen_dead
        self._booted = booted

    def tree(self, pid: int) -> FamilyTree:
        """The whole family of one process."""
        return self._families.tree(pid)

    @cached_property
    def _insides(self) -> Insides:
        from linkscope.analysis.inside import Insides, Search  # not wanted by most

        return Insides(search=Search(unpack=self._looking.unpack))

    def _contents(self, observation: Observation) -> list[Content] | None:
        """What is inside the program's own file; None where that was not asked for, or the file cannot be read."""
        program = observation.program
        if not self._looking.contents:
            return None
        if program is not None and observation.ran is not None and observation.ran.loader is not None:
            return self._insides.of_mapped(observation.snapshot.through, program)  # the kernel started the loader
        look = self._started(observation)
        return None if look is None else look.contents

    def _started(self, observation: Observation) -> Look | None:
        """What is inside the file that the kernel started; None as above."""
        program, snapshot = observation.program, observation.snapshot
        path = snapshot.exe if program is None else program.path
        return None if path is None else self._insides.look_at_program(snapshot.through, path)

    def _about_packing(self, observation: Observation) -> Iterator[ProcessFinding]:
        """That the program was packed into its file."""
        packer, path = packer_of(observation), text(observation.snapshot.exe or "")
        if packer is None:
            return
        look = self._started(observation) if self._looking.contents else None
        if look is not None and look.failure is not None:
            yield findings.cannot_unpack(path, look.failure.reason)
        else:
            yield findings.packed(path, packer, look is not None and look.unpacked)

    @cached_property
    def _families(self) -> Families:
        return Families(self._booted, self._seen_dead)

    def process(self, observation: Observation, objects: Objects, outdated: list[ProcessFinding]) -> Process:
        """The document of one process. OUTDATED: what there is to say of its files, its script and the kernel."""
        snapshot = observation.snapshot
        family, orphan = self._families.family(snapshot.stat)
        found = [
            *outdated,
            *about_memory(observation),
            *(about_text(observation) if self._looking.verify_text else ()),
            *_about_the_answer(observation),
            *_about_the_process(observation),
            *self._about_packing(observation),
            *_about_the_family(family, orphan),
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
            user=user_name(snapshot.ids.uids[1]),
            started=round(procfs.start_time(snapshot.stat, self._booted), 2),  # the kernel counts ticks of 1/100 s
            executable=_executable(observation, script_run_by(observation)),
            objects=objects.documents() if seen and self._looking.objects else None,
            libraries=len(libraries) if seen else None,
            absent=objects.absent(),
            findings=found,
            family=family,
            memory=_memory(observation),
            unit=placement.unit,
            container=placement.container,
            root=text(shown) if shown is not None else None,
            contents=self._contents(observation),
        )


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

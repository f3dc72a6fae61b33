"""One process looked at: its snapshot, its objects in the order of the link map, and what the loader would do."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from linkscope.elf import linkage
from linkscope.elf.image import Image
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError, ProcessUnreadable
from linkscope.loader.explicit import ExplicitLoader, Family, parse_loader_command
from linkscope.loader.program import Start
from linkscope.loader.root import absolute
from linkscope.process import procfs
from linkscope.process.disk import Standing, refined
from linkscope.process.image_memory import Places
from linkscope.process.linkmap_memory import LinkMapMemory, NoLinkMap, entry_mapping
from linkscope.process.mapped import Files, Mapped, mapped_at, objects_of
from linkscope.process.matching import Match, match
from linkscope.process.openers import Openers
from linkscope.process.prediction import Ran, is_secure, predict, working_directories
from linkscope.process.snapshot import Snapshot, take
from linkscope.process.views import Sight, View, Views

_TRIES = 5  # an execve takes less than a millisecond


class Observation(msgspec.Struct, frozen=True):
    """What is known of one process. objects: in link-map order as far as that can be read, then by address.

    program: the object that runs (not the loader on whose command line it stood). sight: None where there is nothing
    to see: kernel threads, zombies, other users' processes. unpredicted: why `start` is None.
    """

    snapshot: Snapshot
    sight: Sight | None
    objects: list[Mapped]
    program: Mapped | None
    interpreter: Mapped | None
    ran: Ran | None
    start: Start | None
    match: Match
    unpredicted: str | None

    @property
    def view(self) -> View | None:
        """The root that the program was started in."""
        standing = self.program.standing if self.program else None
        return standing.view if standing else None


class Observer:
    """Looks at processes one after the other; what was read of a file for one serves the others."""

    def __init__(self, views: Views) -> None:
        self.views = views
        self.files = Files()
        self.openers = Openers()

    def observe(self, pid: int, costs: bool) -> Observation:
        """One process; COSTS: with what smaps tells. Raises ProcessUnreadable (gone, unsteady)."""
        snapshot = take(pid, costs)
        if not snapshot.mappings:
            return Observation(snapshot, None, [], None, None, None, None, Match(), None)
        through = snapshot.through
        sight = self.views.of(through)
        mappings, listed = snapshot.mappings, _listed(snapshot)
        objects = objects_of(through, mappings, snapshot.costs, listed, sight, self.files)
        kernels = _file_of_link(through, objects, snapshot.exe)
        objects = _enter_link_map(objects, snapshot, kernels)
        for one in objects:
            if one.standing is not None:
                one.standing = refined(one.standing, one.loaded_from)
        if kernels is not None and kernels.standing is not None:
            kernels.standing = refined(kernels.standing, self._started_as(snapshot, kernels.standing))
        return self._judged(snapshot, sight, objects, kernels)

    def _started_as(self, snapshot: Snapshot, standing: Standing) -> str | None:
        """The name by which the kernel started the program, where that was a name of its file and is none now.

        None also where the name was a link to the file, or a script whose interpreter this is; and where the folder
        from which a relative one counted is not known.
        """
        given, view = snapshot.execfn, standing.view
        if not given or view is None or standing.disk != "same" or given in snapshot.cmdline[1:]:
            return None
        folders = working_directories(view, snapshot.environ, _tolerant_link(snapshot.through, "cwd"))
        for path in dict.fromkeys(absolute(given, folder) for folder in folders):
            folder, _, name = path.rpartition("/")
            place = f"{view.system.realpath(folder or '/', '/')}/{name}"
            if place.rpartition("/")[0] != standing.path.rpartition("/")[0] or view.system.link_target(place):
                continue
            if view.status(place) is None:
                return place if given.startswith("/") else None
            return place if self.files.is_elf(view.locate(place)) else None
        return None

    def _judged(self, snapshot: Snapshot, sight: Sight, objects: list[Mapped], kernels: Mapped | None) -> Observation:
        """The rest of an observation. KERNELS: the object that the kernel started."""
        command = _loader_command(snapshot, kernels)
        program, interpreter = kernels, mapped_at(objects, snapshot.auxv.get(procfs.AT_BASE, 0))
        if command is not None:
            program, interpreter = _program_of_command(command[1], objects), kernels
        ran, why_not = _how_it_ran(snapshot, program, command[0] if command else None)
        start, found = _fitting(snapshot, ran, objects, program, interpreter)
        if start is not None and start.rules is None:
            why_not = next((problem.message for problem in start.link_map.problems), None)
        if _is_loading(snapshot):
            found.absent.clear()
        return Observation(snapshot, sight, objects, program, interpreter, ran, start, found, why_not)


def _listed(snapshot: Snapshot) -> frozenset[int]:
    """Where the mappings begin that the link map knows."""
    if not isinstance(snapshot.link_map, LinkMapMemory):
        return frozenset()
    places = Places(snapshot.mappings or [])
    found = (entry_mapping(entry, places) for entry in snapshot.link_map.entries)
    return frozenset(mapping.start for mapping in found if mapping is not None)


def _enter_link_map(objects: list[Mapped], snapshot: Snapshot, kernels: Mapped | None) -> list[Mapped]:
    """OBJECTS in the order of the link map, the base namespace first; what stands in none comes last.

    KERNELS: the object that the kernel started. Each is given its places there. What its file cannot say any more is
    taken from memory.
    """
    if not isinstance(snapshot.link_map, LinkMapMemory):
        return objects
    places = Places(snapshot.mappings or [])
    by_mapping = {mapping.start: one for one in objects for mapping in one.mappings}
    listed: dict[Mapped, None] = {}
    for place, entry in enumerate(snapshot.link_map.entries):
        mapping = entry_mapping(entry, places)
        one = by_mapping.get(mapping.start) if mapping else None
        if mapping is None and place == 0:
            one = kernels  # a static program that has loaded something has no dynamic section to be known by
        if one is None:
            continue
        listed[one] = None
        one.entries.append(entry)
        if one.image is None:
            one.soname, one.needed = entry.names.soname, entry.names.needed
    return [*listed, *[one for one in objects if one not in listed]]


def _file_of_link(pid: int, objects: Sequence[Mapped], exe: str | None) -> Mapped | None:
    """The object that /proc/PID/exe leads to."""
    try:
        status = procfs.status_of(pid, "exe")
    except ProcessUnreadable:
        return next((one for one in objects if one.name == exe), None)
    identity = (status.st_dev, status.st_ino)
    same = (one for one in objects if one.standing and one.standing.identity == identity)
    return next(same, None) or next((one for one in objects if one.name == exe), None)


def _loader_command(snapshot: Snapshot, kernels: Mapped | None) -> tuple[ExplicitLoader, str] | None:
    """How a loader was told to start a program, and which, where the kernel started a loader."""
    image = snapshot.program
    if kernels is None or image is None or image.interpreter is not None or image.dynamic is None:
        return None
    if not _is_loader(snapshot.through, image):
        return None
    # glibc's always has a soname, its own file's name; musl's is called after the C library, or nothing.
    family: Family = "glibc" if (image.soname or "").startswith("ld") else "musl"
    parsed = parse_loader_command(snapshot.cmdline, family)
    if parsed is None:
        return None
    loader, place = parsed
    return msgspec.structs.replace(loader, path=kernels.path), snapshot.cmdline[place]


def _is_loader(pid: int, image: Image) -> bool:
    try:
        with open_reader(procfs.path_of(pid, "exe"), image.path) as reader:
            return linkage.kind(reader, image) == "interpreter"
    except LinkScopeError:
        return False


def _program_of_command(given: str, objects: Sequence[Mapped]) -> Mapped | None:
    """The object that a loader was told to start by the path GIVEN: the first of the link map, else by its name."""
    first = next((one for one in objects if one.entries and one.entries[0].namespace == 0), None)
    if first is not None:
        return first
    name = os.path.basename(given)
    return next((one for one in objects if os.path.basename(one.path) == name), None)


def _how_it_ran(
    snapshot: Snapshot, program: Mapped | None, loader: ExplicitLoader | None
) -> tuple[Ran | None, str | None]:
    """The start of the program as far as it is known, or why nothing can be predicted."""
    standing = program.standing if program else None
    if program is None or standing is None:
        return None, "its program is not among its mappings"
    image = snapshot.program if loader is None else program.image
    if image is None or standing.location is None:
        return None, "the file of its program cannot be read"
    if standing.view is None:
        return None, "its program lies outside of the root that it has now"
    if image.interpreter is None and loader is None:
        return None, None
    secure = False if loader else is_secure(snapshot.auxv, snapshot.ids)
    now = _tolerant_link(snapshot.through, "cwd")
    folders = working_directories(standing.view, snapshot.environ, now)
    return Ran(image, standing.path, standing.location, secure, folders, loader), None


def _fitting(
    snapshot: Snapshot, ran: Ran | None, objects: Sequence[Mapped], program: Mapped | None, interpreter: Mapped | None
) -> tuple[Start | None, Match]:
    """The prediction, and how OBJECTS match it; of the folders where the program may have been started, the best fit's.

    The start is None where nothing can be predicted.
    """
    view = program.standing.view if program and program.standing else None
    if ran is None or view is None:
        return None, match(objects, program, interpreter, None, ())
    tried: list[tuple[Start, Match]] = []
    for folder in ran.folders:
        start = predict(ran, folder, view, snapshot.environ)
        found = match(objects, program, interpreter, start if start.rules else None, _auditors(start))
        tried.append((start, found))
        if not found.misfits:
            break
    return min(tried, key=lambda one: one[1].misfits)


def _is_loading(snapshot: Snapshot) -> bool:
    """Whether the loader has not come to the end of its work yet: what is absent now may be mapped in a moment."""
    link_map = snapshot.link_map
    return link_map.early if isinstance(link_map, NoLinkMap) else link_map is not None and link_map.state == "adding"


def _tolerant_link(pid: int, name: str) -> str:
    try:
        return procfs.link(pid, name)
    except ProcessUnreadable:
        return "/"


def _auditors(start: Start) -> list[str]:
    """The paths of the auditors that were found."""
    return [problem.subject for problem in start.link_map.problems if problem.code == "audit"]

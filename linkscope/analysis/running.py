"""In what way running processes hold a library: mapped, in the version that they were started with, or inside."""

from __future__ import annotations

import os
from collections.abc import Iterator

from linkscope.analysis.holding import Held, Version, beside, in_version, told_by, version_of
from linkscope.analysis.inside import Insides, Look, Search
from linkscope.analysis.inspect import error_of
from linkscope.analysis.objects import Objects, disk_of
from linkscope.analysis.sought import Sought
from linkscope.errors import (
    LinkScopeError,
    NotPermitted,
    OutOfDescriptors,
    ProcessGone,
    ProcessUnreadable,
    ProcessUnsteady,
)
from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.who import Closed, How, Match
from linkscope.process import procfs
from linkscope.process.mapped import Mapped, basename
from linkscope.process.observation import Observation, Observer
from linkscope.process.packing import packer_of
from linkscope.process.views import Views

_TRIES = 3


class Running:
    """One look at all processes; what was read of a file for one serves the others."""

    def __init__(self, what: Sought, search: Search) -> None:
        self._what = what
        self._insides = Insides(what.names, search)
        self._observer = Observer(Views())
        self._booted = procfs.boot_time()

    def each(self) -> Iterator[Held | AnalysisError]:
        """One answer for each process, in the order of the numbers; those that end meanwhile are left out.

        Kernel threads and zombies hold nothing, and are not counted. Nor is the process that asks: it is there only to
        ask, and what it has mapped for that is no answer.
        """
        own = _asker()
        for pid in procfs.pids():
            if pid == own:
                continue
            try:
                yield from self._of(pid)
            except ProcessGone:
                continue
            except NotPermitted:
                yield _closed(pid)
            except ProcessUnsteady:
                yield Held([], process=True, unsteady=True)
            except OutOfDescriptors:
                raise
            except LinkScopeError as error:
                yield error_of(f"/proc/{pid}", error.reason)

    def _of(self, pid: int) -> list[Held | AnalysisError]:
        """What one process holds while it runs one program; nothing where it runs none. Raises ProcessUnreadable."""
        for _ in range(_TRIES):
            observation = self._observer.observe(pid, costs=False)
            snapshot = observation.snapshot
            if snapshot.mappings is None:
                return [_closed(pid)]
            if not snapshot.mappings:
                return []
            found = _Process(self._what, self._insides, self._observer, observation, self._booted).held()
            if snapshot.is_current():
                break
        return found


def _asker() -> int | None:
    """The number of this process where the processes are listed, which may be another one's view of them (proc(5))."""
    try:
        return int(os.readlink(f"{procfs.PROC}/self"))
    except OSError:
        return None


def _closed(pid: int) -> Held:
    """A process that may not be looked into; its name is for everybody, unless /proc is mounted with hidepid."""
    try:
        command = text(procfs.stat(pid).name)
    except ProcessUnreadable:  # it may have ended by now
        command = None
    return Held([], process=True, closed=Closed(pid=pid, command=command, reason=NotPermitted.why()))


class _Process:
    """One process that was observed."""

    def __init__(
        self, what: Sought, insides: Insides, observer: Observer, observation: Observation, booted: float
    ) -> None:
        self._what = what
        self._insides = insides
        self._seen = observation
        self._objects = Objects(observation, observer, procfs.start_time(observation.snapshot.stat, booted))
        self._ways = _ways(observation)

    def held(self) -> list[Held | AnalysisError]:
        """All that it holds, and why what was packed into its program cannot be told."""
        matches = list(self.matches())
        if packer_of(self._seen) is None:
            return [Held(matches, process=True, unsure=self._is_unsure(matches))]
        path = self._seen.snapshot.exe or ""
        look = self._insides.look_at_program(self._seen.snapshot.through, path)
        if look is None or not look.unpacked:
            failure = [] if look is None or look.failure is None else [error_of(path, look.failure.reason)]
            return [Held(matches, text(path), process=True), *failure]
        return [Held([*self._in_packed(path, look), *matches], process=True)]

    def _is_unsure(self, matches: list[Match]) -> bool:
        """Whether machine code that was not looked at may tell the version that one of MATCHES lacks."""
        lacking = [match for match in matches if match.version is None]
        for one in self._seen.objects if lacking else ():
            names = [match.name for match in lacking if (match.library or match.path) == text(one.path)]
            if names:
                look = self._insides.look_at_mapped(self._seen.snapshot.through, one)
                if self._insides.may_tell_more(look, (*names, *self._what.projects)):
                    return True
        return False

    def _in_packed(self, path: str, look: Look) -> Iterator[Match]:
        """What was packed into the program, of which nothing is mapped as a file."""
        for content in filter(self._what.is_inside, look.contents):
            match = Match(
                path=text(path),
                path_bytes=exact_bytes(path),
                pid=self._seen.snapshot.pid,
                how="inside",
                library=None,
                version=content.version,
                via=[text(path)],
                name=content.name,
                ecosystem=content.ecosystem,
                unpacked=True,
                command=text(self._seen.snapshot.stat.name),
            )
            yield in_version(match, told_by(content))

    def matches(self) -> Iterator[Match]:
        """Every way, in the order of the link map."""
        versions = {one: self._version(one) for one in self._seen.objects if self._is_it(one)}
        origins = self._seen.match.origins
        if self._what.by_project and any(origins[one] != "interpreter" for one in versions):
            versions = {one: version for one, version in versions.items() if origins[one] != "interpreter"}
        other = beside(versions.values())
        for one in self._seen.objects:
            if one in versions:
                version = versions[one]
                if version.number is None and other is not None:
                    version = other
                yield self._match("mapped", one, version, self._way(one)[:-1] or self._way(one), None)
            elif not one.is_vdso and self._what.path is None and not self._what.is_part(one.soname):
                yield from self._inside(one)

    def _inside(self, one: Mapped) -> Iterator[Match]:
        for content in self._insides.of_mapped(self._seen.snapshot.through, one) or ():
            if self._what.is_inside(content):
                yield self._match("inside", one, told_by(content), self._way(one), content.ecosystem)

    def _is_it(self, one: Mapped) -> bool:
        if one.is_vdso:
            return False
        if self._what.path is not None:
            return self._what.is_at((one.path, one.loaded_as))
        if one is self._seen.program and one.soname is None:
            return False  # a program's own name says nothing of what is in it
        if not self._what.is_called((one.soname, basename(one.path), basename(one.loaded_as or ""))):
            return False
        pid = self._seen.snapshot.through
        if not self._what.by_project or any(map(self._what.tells, self._insides.of_mapped(pid, one) or ())):
            return True
        found = self._insides.of_everything.of_mapped(pid, one) or []
        return not self._what.is_another(one.soname or basename(one.path), found)

    def _version(self, one: Mapped) -> Version:
        held = self._insides.of_mapped(self._seen.snapshot.through, one)
        return version_of(self._what, held or (), one.soname)

    def _way(self, one: Mapped) -> list[str]:
        """From the program to ONE, by paths; without what is between where nothing in memory tells it."""
        program = self._seen.program
        way = self._ways.get(one)
        if way is None:
            way = [program, one] if program is not None and program is not one else [one]
        return [text(each.path) for each in way]

    def _match(self, how: How, one: Mapped, version: Version, via: list[str], ecosystem: str | None) -> Match:
        program = self._seen.program or one
        match = Match(
            path=text(program.path),
            path_bytes=exact_bytes(program.path),
            pid=self._seen.snapshot.pid,
            how=how,
            library=None if how == "inside" and one is self._seen.program else text(one.path),
            version=version.number,
            via=via,
            name=text(one.soname or self._what.name),
            soname=None if one.soname is None else text(one.soname),
            ecosystem=ecosystem,
            disk=disk_of(one),
            command=text(self._seen.snapshot.stat.name),
        )
        return in_version(match, version)


def _ways(observation: Observation) -> dict[Mapped, list[Mapped]]:
    """The shortest way from the program to every object that somebody needs, as the mapped files themselves say.

    What was opened comes right behind the program, and what it needs behind that.
    """
    program = observation.program
    if program is None:
        return {}
    names: dict[str, Mapped] = {}
    for one in observation.objects:
        for name in (one.soname, basename(one.loaded_as or ""), basename(one.path)):
            if name:
                names.setdefault(name, one)
    ways = {program: [program]}
    _go_on(program, ways, names)
    for one in observation.objects:
        if one not in ways and observation.match.origins[one] == "dlopen":
            ways[one] = [program, one]
            _go_on(one, ways, names)
    return ways


def _go_on(begin: Mapped, ways: dict[Mapped, list[Mapped]], names: dict[str, Mapped]) -> None:
    """Enters into WAYS what is reached from BEGIN and was not before, breadth-first."""
    pending = [begin]
    for asker in pending:
        for name in asker.needed:
            found = names.get(basename(name))
            if found is not None and found not in ways:
                ways[found] = [*ways[asker], found]
                pending.append(found)

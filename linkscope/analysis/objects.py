"""From an observation to the part of the document that tells of the objects, and the findings about them."""

from __future__ import annotations

import os

from linkscope.loader import preload
from linkscope.loader.linkmap import Loaded
from linkscope.model.document import exact_bytes, text
from linkscope.model.pid import Disk, MappedObject, Opener, ProcessFinding, Restart
from linkscope.process import findings
from linkscope.process.mapped import Mapped, basename
from linkscope.process.observation import Observation, Observer
from linkscope.process.rewritten import judged
from linkscope.process.usage import usage
from linkscope.process.views import View


class Objects:
    """The objects of one process, as they stand in the document. started: of the process, seconds since the epoch."""

    def __init__(self, observation: Observation, observer: Observer, started: float) -> None:
        self._seen = observation
        self._files = observer.files
        self._openers = observer.openers
        self._restarts: dict[Mapped, Restart | None] = {}
        snapshot = observation.snapshot
        for one in observation.objects:
            vector = snapshot.auxv if one.name == snapshot.exe else None
            one.standing = judged(snapshot.through, one, started, vector)

    def documents(self) -> list[MappedObject]:
        """Every object, in the order of the observation."""
        opened = [one for one, origin in self._seen.match.origins.items() if origin == "dlopen"]
        named = self._openers.of(opened, self._seen.objects) if opened else {}
        return [self._document(one, named.get(one, [])) for one in self._seen.objects]

    def _document(self, one: Mapped, opened_by: list[Opener]) -> MappedObject:
        found = [entry.namespace for entry in one.entries]
        return MappedObject(
            path=text(one.path),
            path_bytes=exact_bytes(one.path),
            soname=None if one.soname is None else text(one.soname),
            origin=self._seen.match.origins[one],
            disk=disk_of(one),
            loaded_as=self._loaded_as(one),
            memory=usage(one.costs) if one.costs else None,
            build_id=one.facts.build_id if one.facts else None,
            namespaces=sorted(set(found)),
            opened_by=opened_by,
            restart=self.restart(one),
        )

    def _loaded_as(self, one: Mapped) -> str | None:
        return None if one.loaded_as is None else text(one.loaded_as)

    def restart(self, one: Mapped) -> Restart | None:
        """What would be mapped in the place of an object after a restart, None where that is the same file."""
        if one not in self._restarts:
            self._restarts[one] = self._restart(one)
        return self._restarts[one]

    def _restart(self, one: Mapped) -> Restart | None:
        """Where the environment is not known, neither is LD_LIBRARY_PATH: then only what the name leads to counts."""
        loaded = self._seen.match.predicted.get(one)
        if loaded is None or (self._seen.snapshot.environ is None and loaded.path != one.loaded_as):
            return self._refused(one) or self._restart_by_name(one)
        identity = one.standing.identity if one.standing else None
        if loaded.image is None or loaded.image.identity == identity:
            return None
        if identity is None and loaded.path in (one.path, one.loaded_as):
            return None
        return Restart(path=text(loaded.path or ""), build_id=self._build_id(loaded.path or ""))

    def _refused(self, one: Mapped) -> Restart | None:
        """The file at which a start would fail when it looks for an object; None where it does not come to that."""
        start = self._seen.start
        names = {one.soname, basename(one.loaded_as or ""), basename(one.path)}
        for loaded in start.link_map.objects if start else ():
            refusal = loaded.refusal
            if refusal is not None and refusal.path is not None and basename(loaded.requested) in names:
                return Restart(path=text(refusal.path), build_id=None, refused=text(refusal.reason))
        return None

    def _restart_by_name(self, one: Mapped) -> Restart | None:
        """For what no prediction covers (a dlopen object, the program): what stands at its name now."""
        standing, disk = one.standing, disk_of(one)
        gone = disk in ("replaced", "deleted", "renamed")
        if standing is None or standing.view is None or not (gone or disk == "same"):
            return None
        names = (one.loaded_from, standing.path if disk != "renamed" else None)
        for path in names:
            status = standing.view.status(path) if path else None
            if path and status is not None:
                is_other = gone or (status.st_dev, status.st_ino) != standing.identity
                return self._standing_there(path, standing.view) if is_other else None
        return Restart(path=None, build_id=None) if gone else None

    def _standing_there(self, path: str, view: View) -> Restart:
        """A start that comes to the file at PATH, whatever that is."""
        if self._files.is_elf(view.locate(path)):
            return Restart(path=text(path), build_id=self._build_id(path))
        return Restart(path=text(path), build_id=None, refused="not an ELF file")

    def _build_id(self, path: str) -> str | None:
        view = self._seen.view
        return self._files.build_id(path, view) if view is not None else None

    def findings(self) -> list[ProcessFinding]:
        """What there is to say of the objects, in their order."""
        found: list[ProcessFinding] = []
        for one in self._seen.objects:
            found += self._of_one(one)
        found += [findings.missing(loaded, loaded.path or "") for loaded in self._seen.match.absent]
        return found

    def _of_one(self, one: Mapped) -> list[ProcessFinding]:
        path, disk, restart = text(one.path), disk_of(one), self.restart(one)
        reason = one.standing.reason if one.standing else None
        found = []
        if disk in ("replaced", "deleted", "overwritten"):
            found.append(findings.stale(path, disk, reason, restart))
        elif disk == "unknown":
            found.append(findings.disk_unknown(path, reason or ""))
        elif restart is not None:
            found.append(findings.other_path(path, restart, self._leads_to(restart)))
        origin = self._seen.match.origins[one]
        if origin == "preload":
            found.append(findings.preloaded(path, self._preload_source(one)))
        if origin == "audit":
            found.append(findings.audited(path))
        if disk == "memfd":
            found.append(findings.from_memory(path))
        return found

    def _leads_to(self, restart: Restart) -> str | None:
        """The file behind the symlinks of what a restart would load; None where there are none."""
        view = self._seen.view
        real = view.system.realpath(restart.path, "/") if view is not None and restart.path else None
        return None if real == restart.path else real

    def _preload_source(self, one: Mapped) -> str | None:
        """What names a preloaded object: an option, the variable or the file; None where none of them does."""
        if one in self._seen.match.unforeseen:
            return None
        loaded, ran = self._seen.match.predicted.get(one), self._seen.ran
        option = ran.loader.preload if ran is not None and ran.loader is not None else None
        variable = (self._seen.snapshot.environ or {}).get("LD_PRELOAD")
        for source, value in ((preload.OPTION, option), (preload.VARIABLE, variable)):
            if loaded is not None and loaded.requested in preload.split_variable(value or "", secure=False):
                return source
        return preload.FILE

    def absent(self) -> list[str]:
        """The names in the closure that nothing mapped answers to."""
        return [text(_name(loaded)) for loaded in self._seen.match.absent]


def _name(loaded: Loaded) -> str:
    soname = loaded.image.soname if loaded.image else None
    return soname or os.path.basename(loaded.requested) or loaded.requested


def disk_of(one: Mapped) -> Disk:
    """How an object stands to the disk. The vdso is the running kernel's own, which nothing can replace."""
    return one.standing.disk if one.standing else "same"

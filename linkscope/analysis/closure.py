"""From a start to the part of the document that tells of it: the closure, and what is missing."""

from __future__ import annotations

from linkscope.loader.linkmap import Loaded
from linkscope.loader.program import Start
from linkscope.loader.system import System
from linkscope.model.document import exact_bytes, text
from linkscope.model.inspect import ClosureEntry


def closure(start: Start, system: System, cwd: str) -> list[ClosureEntry]:
    """Every object of the link map but the program and the vdso, in the loader's order."""
    order = {loaded: index for index, loaded in enumerate(start.link_map.objects)}
    return [_entry(o, order, system, cwd) for o in start.link_map.objects if o.role not in ("main", "vdso")]


def _entry(loaded: Loaded, order: dict[Loaded, int], system: System, cwd: str) -> ClosureEntry:
    path = loaded.path
    askers = loaded.needed_by
    if len(askers) > 1:
        askers = sorted(askers, key=order.__getitem__)
    finding = loaded.finding
    needed_by = [text(asker.path or asker.requested) for asker in askers]
    if path is None or loaded.image is None:
        return ClosureEntry(
            soname=text(loaded.requested),
            requested=text(loaded.requested),
            path=None,
            realpath=None,
            found_by=None,
            needed_by=needed_by,
            depth=loaded.depth,
        )
    realpath = system.realpath(path, cwd)
    return ClosureEntry(
        soname=text(loaded.image.soname or loaded.requested),
        requested=text(loaded.requested),
        path=text(path),
        realpath=None if realpath is None else text(realpath),
        found_by="preload" if loaded.role == "preload" else finding.found_by if finding else None,
        needed_by=needed_by,
        depth=loaded.depth,
        of=text(finding.of) if finding and finding.of is not None else None,
        element=text(finding.element) if finding and finding.element is not None and finding.of is not None else None,
        path_bytes=exact_bytes(path),
    )


def missing(start: Start) -> list[str]:
    """The names that are needed or filtered and found nowhere, each once, in the order of the link map."""
    names = (o.requested for o in start.link_map.objects if o.image is None and o.refusal is None and o.role != "vdso")
    return [text(name) for name in dict.fromkeys(names)]

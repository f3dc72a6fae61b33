"""Search paths into which somebody else could put a library: relative, empty, world-writable, or still to be made.

The loader honours them all, in a setuid program too (glibc 2.36, observed for a relative RUNPATH).
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from typing import Protocol

from linkscope.loader import problems
from linkscope.loader.linkmap import Folder, LinkMap, Loaded
from linkscope.loader.system import System
from linkscope.model.inspect import Problem


class SearchRules(Protocol):
    """The rules of a loader that searches where the objects say."""

    system: System

    def own_folders(self, loaded: Loaded) -> Sequence[Folder]:
        """What an object's own RPATH or RUNPATH names, as far as the loader honours it."""


def unsafe_search_paths(link_map: LinkMap, rules: SearchRules, grave: bool) -> list[Problem]:
    """A problem for each unsafe element of an RPATH or RUNPATH of the program and its libraries.

    grave: the program runs with privileges, by setuid, setgid or file capabilities.
    """
    found: list[Problem] = []
    for loaded in link_map.objects:
        image = loaded.image
        if image is None or (image.rpath is None and image.runpath is None) or not image.needed:
            continue
        tag = "RPATH" if image.runpath is None else "RUNPATH"
        for folder in rules.own_folders(loaded):
            fault = _fault(folder, rules.system)
            if fault:
                owner = loaded.path or loaded.requested
                found.append(problems.unsafe_search_path(folder.element, owner, tag, fault, grave))
    return found


def _fault(folder: Folder, system: System) -> str | None:
    if not folder.element:
        return "the working directory (an empty element)"
    if not folder.prefix.startswith("/"):
        return f"{folder.element}, which is relative to the working directory"
    at = folder.prefix.rstrip("/") or "/"
    if system.mode(at):
        return f"{at}, which anybody can write to" if _writable_by_all(system.mode(at)) else None
    while not system.mode(at):
        at = at.rpartition("/")[0] or "/"
        if at == "/":
            return None
    if _writable_by_all(system.mode(at)):
        return f"{folder.prefix.rstrip('/')}, which does not exist and which anybody can make below {at}"
    return None


def _writable_by_all(mode: int) -> bool:
    return stat.S_ISDIR(mode) and bool(mode & stat.S_IWOTH)

"""From what the user asks to assume, to the values that the loader room takes."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from linkscope.analysis.request import Assumptions
from linkscope.errors import BadAssumption, LinkScopeError
from linkscope.loader.environment import Environment, levels
from linkscope.loader.root import Root, absolute
from linkscope.loader.system import System


class Place(msgspec.Struct, frozen=True):
    """Where a file named by the user lies. inside: absolute, as seen from inside the root. shown: as in the answer."""

    inside: str
    shown: str


def system_for(assumptions: Assumptions) -> System:
    """The root to look at; RootUnusable where it is no directory."""
    return System(Root(assumptions.root))


def environment_for(assumptions: Assumptions, system: System, variables: Mapping[str, str]) -> Environment:
    """The start that is assumed. VARIABLES (the caller's) count only for the system's own root, and not if cleaned.

    Raises BadAssumption.
    """
    own = system.root.is_system
    if assumptions.cpu is not None and assumptions.cpu not in levels():
        raise BadAssumption(assumptions.cpu, f"is no CPU level; there are {', '.join(levels())}")
    cwd = assumptions.cwd or (_working_directory() if own else "/")
    if own:
        cwd = os.path.join(_working_directory(), cwd)
    if assumptions.cwd is not None and not (cwd.startswith("/") and system.is_directory(cwd)):
        raise BadAssumption(cwd, "is no directory to start in, as seen from inside the root")
    if not own or assumptions.clean_env:
        variables = {}
    library_path, preload = assumptions.library_path, assumptions.preload
    return Environment(
        library_path=variables.get("LD_LIBRARY_PATH") if library_path is None else library_path,
        preload=variables.get("LD_PRELOAD") if preload is None else preload,
        audit=variables.get("LD_AUDIT"),
        tunables=variables.get("GLIBC_TUNABLES"),
        cwd=cwd,
        bind_now=bool(variables.get("LD_BIND_NOW")),
        cpu_level=assumptions.cpu,
        secure={"auto": None, "yes": True, "no": False}[assumptions.secure],
        ordinary_user=not own,
    )


def _working_directory() -> str:
    """The caller's; of one that was deleted, the name by which nothing can be found any more."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return os.readlink("/proc/self/cwd")


def place(path: str, system: System) -> Place:
    """Where PATH is: as seen from inside the root or, failing that, a file of this machine that lies below the root.

    Both forms are accepted for another root, since a shell completes the second; the first counts where both exist.
    """
    if system.root.is_system:
        return Place(absolute(path, _working_directory()) if path else path, path)
    inside = path if path.startswith("/") else None
    if inside is None or not _exists(system, inside):
        below = system.root.inside(path)
        if below is not None and _exists(system, below):
            inside = below
    inside = inside or (f"/{path}" if path else path)
    return Place(inside, inside)


def reason_for(error: LinkScopeError, path: str, system: System) -> str:
    """Why there is no answer for PATH: what ERROR says, unless the file is there and lies outside the root."""
    outside = not system.root.is_system and system.root.inside(path) is None and os.path.lexists(path)
    if outside and not _exists(system, path if path.startswith("/") else f"/{path}"):
        return f"not inside --root {system.root.directory} (nothing outside it is read)"
    return error.reason


def _exists(system: System, path: str) -> bool:
    try:
        os.lstat(system.root.locate(path))
    except (OSError, ValueError):
        return False
    return True

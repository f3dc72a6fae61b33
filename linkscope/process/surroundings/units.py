"""Which systemd unit and which container a process belongs to, by the names of its control groups.

Source: proc_pid_cgroup(5); the names of systemd's groups: systemd src/basic/cgroup-util.c (cg_path_get_unit,
cg_path_get_user_unit, cg_unescape); those of containers: containers.toml.
"""

from __future__ import annotations

import functools
import os
import re

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.model.document import text
from linkscope.process import procfs
from linkscope.process.tables import read_table

# The types of unit that have processes; slices only hold other units (systemd.unit(5), systemd.slice(5)).
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(?:service|scope|socket|mount|swap)")
_MANAGER = re.compile(r"user@[^/]+\.service")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_LONG_ID = re.compile(r"[0-9a-f]{64}")
_SHOWN = 12


class ContainerName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of containers.toml, which says what its fields are."""

    runtime: str
    part: str
    source: str
    examples: dict[str, str]
    refuses: list[str]
    top: bool = False


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    container: list[ContainerName]


class Placement(msgspec.Struct, frozen=True):
    """unit: `nginx.service`, or `user@1000.service/app.scope` of a user's manager. container: `docker 0123456789ab`."""

    unit: str | None
    container: str | None


def placement_of(pid: int) -> Placement:
    """Unit and container of a process, from one read; both None where it is gone or has neither."""
    try:
        return placement(os.fsdecode(procfs.read(pid, "cgroup")))
    except ProcessUnreadable:
        return Placement(None, None)


def placement(groups: str) -> Placement:
    """What GROUPS, the text of a file /proc/PID/cgroup, says.

    systemd's own hierarchy speaks first, then the unified one, then the controllers in their order: a runtime that
    knows no systemd names its groups in those. Inside a container the unit is that of the container's own systemd,
    where it has one.
    """
    rows = _rows(groups)
    for path in dict.fromkeys(row.path for row in rows):
        found = _container(path)
        if found is not None:
            name, rest = found
            return Placement(_unit(rest) or _unit(path), name)
    return Placement(next((unit for row in rows if row.systemds and (unit := _unit(row.path))), None), None)


class _Row(msgspec.Struct, frozen=True):
    """One hierarchy. systemds: it is one in which systemd keeps its units; in others their names may be left over."""

    systemds: bool
    path: str


def _rows(groups: str) -> list[_Row]:
    """systemd's own hierarchy, the unified one, and the others in their order."""
    split = [line.split(":", 2) for line in groups.split("\n")]
    rows = [row for row in split if len(row) == 3 and row[0].isdecimal()]
    rows.sort(key=lambda row: (row[1] != "name=systemd", row[1] != "", int(row[0])))
    # A group that was removed while a zombie is left in it (Linux kernel/cgroup/cgroup.c, proc_cgroup_show).
    return [_Row(row[1] in ("name=systemd", ""), row[2].removesuffix(" (deleted)")) for row in rows]


def _container(path: str) -> tuple[str, str] | None:
    """The innermost container on the way, as the answer has it, and the path inside; None without one."""
    if path == "/":
        return None
    best: re.Match[str] | None = None
    runtime = ""
    for row, pattern in _containers():
        for match in pattern.finditer(path):
            if best is None or match.end() > best.end():
                best, runtime = match, row.runtime
    if best is None:
        return None
    name = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), best["id"])
    return text(f"{runtime} {name[:_SHOWN] if _LONG_ID.fullmatch(name) else name}"), path[best.end() :]


@functools.cache
def _containers() -> list[tuple[ContainerName, re.Pattern[str]]]:
    rows = read_table("surroundings/containers.toml", _Table).container
    return [(row, re.compile(rf"{'^' if row.top else ''}/(?:{row.part})(?=/|$)")) for row in rows]


def _unit(path: str) -> str | None:
    """The unit at which the slices end, and the unit of a user's own manager below it.

    A leading `_` says that the name would mean something else (cg_escape). `..` stands before what lies outside the
    reader's cgroup namespace (cgroup_namespaces(7)).
    """
    parts = [part.removeprefix("_") for part in path.split("/") if part not in ("", "..")]
    unit, rest = _first_unit(parts)
    if unit is None or not _MANAGER.fullmatch(unit):
        return unit
    inner, _ = _first_unit(rest)
    # The manager itself runs in a scope of its own.
    return unit if inner in (None, "init.scope") else f"{unit}/{inner}"


def _first_unit(parts: list[str]) -> tuple[str | None, list[str]]:
    for place, part in enumerate(parts):
        if not part.endswith(".slice"):
            return (part, parts[place + 1 :]) if _UNIT.fullmatch(part) else (None, [])
    return None, []

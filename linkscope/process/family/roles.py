"""What a process is among its like: by its title, or by what it has in common with its parent.

Titles are in roles.toml. Without one, the way in which a server is built tells: workers hold the listening socket of
the parent whose program they run; a process for each connection holds a connection to that socket; the workers of a
pool hold pipes or socket pairs of the parent that they are copies of.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.model.document import text
from linkscope.process import procfs
from linkscope.process.family.census import Census, cmdline_of, is_copy, is_dead, parent_of, program_of
from linkscope.process.family.descriptors import STANDARD, Descriptor, descriptors_of
from linkscope.process.family.sockets import Socket, SocketTables
from linkscope.process.mappings import without_mark
from linkscope.process.procfs import Stat
from linkscope.process.tables import read_table

_FEWEST = 2  # workers make a pool
_FORK_SERVER = "multiprocessing fork server"
# Copies of a shell are parts of a script, and hold its pipes by chance.
_SHELLS = frozenset("ash bash busybox dash fish ksh mksh sh yash zsh".split())


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of roles.toml, which says what its fields are."""

    title: str
    role: str
    source: str
    examples: dict[str, str]
    refuses: list[str]
    programs: str = ".*"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: list[Role]


# What stands for itself at the beginning of a title. To compile all of them takes longer than to read a process.
_PLAIN = re.compile(r"(?:[\w /:-](?![?*+{|]))*")


@functools.cache
def _rows() -> list[tuple[str, Role]]:
    """Every row behind the plain characters that its title begins with."""
    rows = read_table("family/roles.toml", _Table).role
    return [(match[0] if (match := _PLAIN.match(row.title)) else "", row) for row in rows]


def role_by_title(program: str | None, cmdline: Sequence[str]) -> str | None:
    """What a command line says; None where it says nothing. program: the executable's path, None where not known."""
    line = " ".join(cmdline)
    name = os.path.basename(without_mark(program)) if program else None
    for begins, row in _rows():
        match = re.match(row.title, line) if line.startswith(begins) else None
        if match and (name is None or re.fullmatch(row.programs, name)):
            return text(row.role.format(**{group: value or "" for group, value in match.groupdict().items()}))
    return None


class Roles:
    """The roles in one census, each process looked at once.

    tables: what was read of their network namespaces already; None where nothing was.
    """

    def __init__(self, people: Census, tables: SocketTables | None = None) -> None:
        self._people = people
        self._tables = tables or SocketTables()
        self._titles: dict[int, str | None] = {}
        self._programs: dict[int, tuple[int, int] | None] = {}
        self._descriptors: dict[int, list[Descriptor]] = {}
        self._households: dict[int, dict[int, str]] = {}

    def of(self, pid: int) -> str | None:
        """What a process is; None where nothing tells."""
        own = self._people.stats.get(pid)
        title = self._title(pid)
        if own is None:
            return title
        parent = parent_of(pid, self._people)
        # The title of a copy is its parent's until it writes one of its own, and says nothing of it.
        inherited = parent is not None and is_copy(own) and self._title(parent.pid) == title
        if title and not inherited:
            return title
        role = self._household(parent).get(pid) if parent else None
        return role or self._household(own).get(pid)

    def _title(self, pid: int) -> str | None:
        if pid not in self._titles:
            self._titles[pid] = _title(pid)
        return self._titles[pid]

    def _program(self, pid: int) -> tuple[int, int] | None:
        """The file that it runs; None where that may not be seen."""
        if pid not in self._programs:
            self._programs[pid] = program_of(pid)
        return self._programs[pid]

    def _open(self, pid: int) -> list[Descriptor]:
        if pid not in self._descriptors:
            self._descriptors[pid] = descriptors_of(pid)
        return self._descriptors[pid]

    def _household(self, parent: Stat) -> dict[int, str]:
        """The roles of a process and of those children that run its program."""
        if parent.pid not in self._households:
            own = self._program(parent.pid)
            children = [child for child in self._people.children.get(parent.pid, []) if not is_dead(child)]
            like = [child for child in children if own is not None and self._program(child.pid) == own]
            self._households[parent.pid] = self._roles_in(parent, like) if like else {}
        return self._households[parent.pid]

    def _roles_in(self, parent: Stat, like: list[Stat]) -> dict[int, str]:
        copies = [child for child in like if is_copy(child)]
        if self._title(parent.pid) == _FORK_SERVER:
            return _numbered("multiprocessing worker", copies)
        return self._of_server(parent, like) or self._of_pool(parent, copies)

    def _of_server(self, parent: Stat, like: list[Stat]) -> dict[int, str]:
        """A prefork server, or one with a process for each connection; {} of everything else."""
        sockets = _numbers(self._open(parent.pid), "socket")
        listening = {inode: it for inode, it in self._tables.sockets_of(parent.pid, sockets).items() if it.listens}
        if not listening:
            return {}
        workers = [child for child in like if listening.keys() & _numbers(self._open(child.pid), "socket")]
        if len(workers) >= _FEWEST:
            return {parent.pid: "master", **_numbered("worker", workers)}
        addresses = [it.local for it in listening.values()]
        serving = [child for child in like if self._serves(child, addresses)]
        if not serving:
            return {}
        return {parent.pid: "listener", **{child.pid: "connection" for child in serving}}

    def _serves(self, child: Stat, addresses: Sequence[str]) -> bool:
        """Whether it has a connection that came in by one of these addresses."""
        found = self._tables.sockets_of(child.pid, _numbers(self._open(child.pid), "socket"))
        return any(not it.listens and came_by(it, address) for it in found.values() for address in addresses)

    def _of_pool(self, parent: Stat, copies: list[Stat]) -> dict[int, str]:
        """A parent with copies of itself that all have a pipe or socket pair in common with it; {} of all else."""
        own = self._private(parent.pid)
        workers = [child for child in copies if own & self._private(child.pid)]
        if len(workers) < _FEWEST or parent.name in _SHELLS:
            return {}
        return {parent.pid: "master", **_numbered("worker", workers)}

    def _private(self, pid: int) -> set[int]:
        """The pipes and sockets that it was not given as its standard input and output."""
        given = [each for each in self._open(pid) if each.number < STANDARD]
        own = [each for each in self._open(pid) if each.number >= STANDARD]
        numbers = _numbers(own, "pipe") | _numbers(own, "socket")
        return numbers - _numbers(given, "pipe") - _numbers(given, "socket")


def came_by(socket: Socket, address: str) -> bool:
    """Whether a connection has this local ADDRESS, or the same port where that stands for every address."""
    if socket.local == address:
        return True
    host, _, port = address.rpartition(":")
    return host in ("0.0.0.0", "[::]") and socket.family == "tcp" and socket.local.endswith(f":{port}")


def _numbered(role: str, children: Sequence[Stat]) -> dict[int, str]:
    """`worker 1`, `worker 2` and so on, the eldest first."""
    return {child.pid: f"{role} {number}" for number, child in enumerate(children, 1)}


def _numbers(descriptors: Sequence[Descriptor], kind: str) -> set[int]:
    return {descriptor.inode for descriptor in descriptors if descriptor.kind == kind}


def _title(pid: int) -> str | None:
    cmdline = cmdline_of(pid)
    if not cmdline:
        return None
    try:
        program: str | None = procfs.link(pid, "exe")
    except ProcessUnreadable:
        program = None
    return role_by_title(program, cmdline)

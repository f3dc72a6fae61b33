"""Which of many processes are meant, and in which order: the filters and the sorting of `linkscope ps`."""

from __future__ import annotations

import binascii
import os
from collections.abc import Callable, Iterable
from typing import get_args

import msgspec

from linkscope.errors import BadAssumption
from linkscope.model.inspect import Linkage
from linkscope.model.pid import MappedObject, Process, ProcessFinding, State

_LONGEST = 10  # digits of a user's number (uid_t)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What a process must be to be meant; None: nothing is asked of it.

    uses: the soname, the path or the file's name of an object that it has mapped; also: other paths of the same file,
    as `paths_of` gives them. user: a name as `user_called` gives.
    """

    linkage: Linkage | None = None
    uses: str | None = None
    also: frozenset[str] = frozenset()
    user: str | None = None

    def takes(self, process: Process) -> bool:
        """Whether PROCESS is meant; of one that may not be looked into nothing is known, so it is not."""
        if self.user is not None and process.user != self.user:
            return False
        if self.linkage is not None and (process.executable is None or process.executable.linkage != self.linkage):
            return False
        return self.uses is None or any(self._is_used(mapped, self.uses) for mapped in process.objects or ())

    def _is_used(self, mapped: MappedObject, name: str) -> bool:
        if "/" not in name:
            loaded_as = (mapped.loaded_as or "").rpartition("/")[2]
            return name in (mapped.soname, mapped.path.rpartition("/")[2], loaded_as)
        path = mapped.path if mapped.path_bytes is None else os.fsdecode(binascii.a2b_base64(mapped.path_bytes))
        return any(known == name or known in self.also for known in (path, mapped.loaded_as))


def paths_of(library: str) -> frozenset[str]:
    """What else LIBRARY may be called by who has mapped it, where it is a path: absolute, tidied up, without symlinks.

    It is taken from the caller's working directory. A name without a slash is no path, and has no other names.
    """
    if "/" not in library:
        return frozenset()
    try:
        absolute = library if library.startswith("/") else os.path.join(os.getcwd(), library)
    except OSError:  # the working directory is gone
        return frozenset()
    return frozenset((absolute, os.path.normpath(absolute), os.path.realpath(absolute)))


def user_name(uid: int) -> str:
    """The name of the user of that number, as documents have it: the number where there is no name."""
    import pwd  # of the machine's own accounts, which may be asked over a network

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def user_called(name: str) -> str:
    """The user NAME, or the one of that number, as documents name it. Raises BadAssumption where there is none."""
    import pwd  # of the machine's own accounts, which may be asked over a network

    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        pass
    if not (name.isascii() and name.isdecimal() and len(name) <= _LONGEST):
        raise BadAssumption(name, "there is no user of that name")
    try:
        return pwd.getpwuid(int(name)).pw_name
    except (KeyError, OverflowError):
        return str(int(name))


Key = Callable[[Process], object]


def _pss(process: Process) -> int | None:
    return None if process.memory is None else process.memory.pss


def _rss(process: Process) -> int | None:
    return None if process.memory is None else process.memory.rss


def _linkage(process: Process) -> Linkage | None:
    return None if process.executable is None else process.executable.linkage


def _graver(finding: ProcessFinding) -> bool:
    return finding.level == "warning"


_STATES = get_args(State)
# What can be sorted by, and whether the largest comes first, as one asks for what costs most.
_ORDERS: dict[str, tuple[Key, bool]] = {
    "pid": (lambda process: process.pid, False),
    "pss": (_pss, True),
    "rss": (_rss, True),
    "name": (lambda process: process.name, False),
    "user": (lambda process: process.user, False),
    "state": (lambda process: _STATES.index(process.state), False),
    "linkage": (_linkage, False),
    "libraries": (lambda process: process.libraries, True),
    "findings": (lambda process: sum(map(_graver, process.findings)), True),
    "started": (lambda process: process.started, False),
}
ORDERS = tuple(_ORDERS)
"""What processes can be sorted by, the usual order first."""


def ordered(processes: Iterable[Process], by: str, reverse: bool = False) -> list[Process]:
    """PROCESSES in the order called BY (one of ORDERS), or in the REVERSE of it; what cannot be told stands last."""
    key, largest_first = _ORDERS[by]
    known: list[Process] = []
    unknown: list[Process] = []
    for process in processes:
        (unknown if key(process) is None else known).append(process)
    known.sort(key=key, reverse=largest_first != reverse)  # type: ignore[arg-type]  # each key's values compare
    return known + unknown

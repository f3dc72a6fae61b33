"""The other tools: how their users ask them about a program, and how their answers are read.

None of them is told more than a user would know, and none is held to the loader's order or to the very strings: what
counts is which files they name, and which names they call missing.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.conftest import COMMAND_PATH
from tests.oracle import answers, runner
from tests.oracle.forest import Planted
from tests.oracle.runner import Request

_AT_ONCE = 200  # files in one command line
_PATIENCE, _LONG_PATIENCE = 10.0, 300.0  # seconds, for one file and for so many


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool says of one program. files: the paths that it names; missing: the names that it does not find.

    complains: it finds something else wrong. exit_code: of the whole command; None where it did not end.
    """

    files: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    complains: bool = False
    exit_code: int | None = 0


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A tool. command: how it is called; read: its output about several programs as {program: what it says of it}.

    binds: the options that make it bind symbols. rooted: those before a folder to be seen as /, None where it has none.
    """

    name: str
    command: Callable[[], tuple[str, ...]]
    read: Callable[[str, Sequence[str]], dict[str, Answer]]
    binds: tuple[str, ...] = ()
    rooted: tuple[str, ...] | None = None

    @property
    def is_here(self) -> bool:
        """Whether this machine has it."""
        return bool(self.command())

    def of_forest(self, planted: Planted, symbols: bool) -> Answer | None:
        """What it says of the program of a forest; None where it cannot be asked."""
        if not self.is_here or (planted.root is not None and self.rooted is None):
            return None
        root = (*(self.rooted or ()), planted.root) if planted.root is not None else ()
        program = planted.program
        request = Request(
            argv=(*self.command(), *(self.binds if symbols else ()), *root, program),
            env={"PATH": COMMAND_PATH, **planted.environment},
            cwd=planted.base if planted.root is not None else planted.cwd,
            user=planted.user,
            timeout=_PATIENCE,
        )
        outcome = runner.run(request)
        if outcome.errno is not None:
            return None
        said = self.read(os.fsdecode(outcome.stdout), [program])
        return msgspec.structs.replace(next(iter(said.values()), Answer()), exit_code=outcome.status)

    def of_machine(self, programs: Sequence[str]) -> dict[str, Answer]:
        """What it says of programs and libraries of this machine, in as few commands as it takes.

        Where it gives up in the middle of many, those behind are asked about one by one.
        """
        said: dict[str, Answer] = {}
        for at in range(0, len(programs), _AT_ONCE):
            said |= self._of_some(programs[at : at + _AT_ONCE])
        for program in programs:
            if program not in said:
                said[program] = self._of_some([program]).get(program, Answer())
        return said

    def _of_some(self, programs: Sequence[str]) -> dict[str, Answer]:
        command = [*self.command(), *programs]
        environment = {"PATH": COMMAND_PATH}
        done = subprocess.run(command, capture_output=True, env=environment, cwd="/", timeout=_LONG_PATIENCE)
        return self.read(os.fsdecode(done.stdout), programs)


def _found(name: str, *options: str) -> Callable[[], tuple[str, ...]]:
    """A command on PATH with options that it always gets; empty where it is not there."""

    def command() -> tuple[str, ...]:
        path = shutil.which(name, path=COMMAND_PATH)
        return (path, *options) if path else ()

    return command


def lddtree_command() -> tuple[str, ...]:
    """pax-utils' lddtree. Where it is a Python script, it gets this interpreter, which has the pyelftools it wants."""
    path = shutil.which("lddtree", path=COMMAND_PATH)
    if path is None:
        return ()
    with Path(path).open("rb") as file:
        return (sys.executable, path) if b"python" in file.readline() else (path,)


def _sections(output: str, programs: Sequence[str], heading: Callable[[str], str | None]) -> dict[str, list[str]]:
    """The lines about each program; `heading` gives the program that a line begins, None for another line."""
    sections: dict[str, list[str]] = {}
    at = programs[0] if len(programs) == 1 else None
    for line in output.splitlines():
        begun = heading(line)
        if begun is not None:
            at = begun
        elif at is not None:
            sections.setdefault(at, []).append(line)
    return sections


_COMPLAINT = re.compile(r"version `.*' not found|undefined symbol: |not defined in file")


def _read_ldd(output: str, programs: Sequence[str]) -> dict[str, Answer]:
    """ldd: the loader's own trace, for several programs each behind a line `program:`."""
    several = len(programs) > 1
    known = {f"{program}:": program for program in programs} if several else {}
    said = {}
    for program, lines in _sections(output, programs, known.get).items():
        listed = answers.entries("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
        missing = frozenset(entry.name for entry in listed if entry.path is None)
        found = frozenset(entry.path for entry in listed if entry.path is not None)
        said[program] = Answer(files=found, missing=missing, complains=any(map(_COMPLAINT.search, lines)))
    return said


_NOT_FOUND = re.compile(r"(.*) (?:not found|is not absolute)")
_BRANCH = re.compile(r"^(?:[│├└─ ]|\xa0)+")
_NOTE = re.compile(r"^[│ ]*┊")


def _read_libtree(output: str, programs: Sequence[str]) -> dict[str, Answer]:
    """libtree: a tree each, with `path [how]`, `name not found` or `name is not absolute` on its branches."""
    known = {f"{program} ": program for program in programs} | {program: program for program in programs}
    said = {}
    for program, lines in _sections(output, programs, known.get).items():
        branches = [_BRANCH.sub("", line) for line in lines if not _NOTE.match(line)]
        missing = frozenset(match[1] for match in map(_NOT_FOUND.fullmatch, branches) if match)
        found = frozenset(line.rpartition(" [")[0] for line in branches if line.endswith("]"))
        said[program] = Answer(files=found, missing=missing)
    return said


def _read_lddtree(output: str, programs: Sequence[str]) -> dict[str, Answer]:
    """lddtree: `program (interpreter => …)`, and indented `name => path`, the path of a missing one being None."""

    def heading(line: str) -> str | None:
        return None if line.startswith("    ") else line.partition(" (interpreter => ")[0]

    said = {}
    for program, lines in _sections(output, programs, heading).items():
        pairs = [line.strip(" ").partition(" => ")[::2] for line in lines]
        missing = frozenset(name for name, path in pairs if path == "None")
        found = frozenset(path for _, path in pairs if "/" in path)
        said[program] = Answer(files=found, missing=missing)
    return said


PEERS: Final = (
    Peer(name="ldd", command=_found("ldd"), read=_read_ldd, binds=("-r",)),
    Peer(name="libtree", command=_found("libtree", "-vvv", "-p"), read=_read_libtree),
    Peer(name="lddtree", command=lddtree_command, read=_read_lddtree, rooted=("-R",)),
)

"""What a real start maps, and where the loader looks on its way: for programs that the tests have built, and only them.

The search is read from LD_DEBUG=libs (glibc elf/dl-load.c, open_path and print_search_path), which trace mode prints
as well, so that it can be had of any file that `trace` can be asked about.
"""

import os
import re
from typing import Final, Literal

import msgspec

from tests.oracle import runner
from tests.oracle.answers import VDSO, Trace, parse
from tests.oracle.trace import Question, argv, command

Source = Literal["rpath", "runpath", "LD_LIBRARY_PATH", "ld.so.cache", "default"]

_DEBUG_LINE = re.compile(rb"\s*\d+:\t(.*)")
_SEARCH_PATH = re.compile(r" search path=(.*)\t\t\((.*?)(?: from file (.*))?\)", re.DOTALL)
_SOURCES: Final[dict[str, Source]] = {
    "RPATH": "rpath",
    "RUNPATH": "runpath",
    "LD_LIBRARY_PATH": "LD_LIBRARY_PATH",
    "system search path": "default",
}


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A real start. link_map: each object's l_name in order, without the program and the vdso; empty where it failed.

    answer: what the loader said (its `fatal`, `versions`, `not_preloaded`).
    """

    link_map: tuple[str, ...]
    answer: Trace


class Attempt(msgspec.Struct, frozen=True):
    """One list of folders that was searched for a name, `of` the object whose tag it is, and the files tried there."""

    source: Source
    of: str | None
    candidates: tuple[str, ...] = ()


class Search(msgspec.Struct, frozen=True):
    """The search for one name, in order. A name with a slash, and one that is loaded already, is not searched for."""

    name: str
    attempts: tuple[Attempt, ...] = ()


_PLAIN = Question()


def start(program: str | os.PathLike[str], question: Question = _PLAIN) -> Start:
    """A real start of a program that the ELF writer has made (it prints its own link map), also in secure execution."""
    name = os.fspath(program)
    outcome = runner.run(command((name,), question, question.env))
    names = list(map(os.fsdecode, outcome.stdout.split(b"\0")[:-1]))
    answer = parse(msgspec.structs.replace(outcome, stdout=b""), name)
    return Start(link_map=_libraries(names, name), answer=answer)


def debugged_start(program: str | os.PathLike[str], question: Question = _PLAIN) -> Start:
    """A real start of any glibc program that the tests have built, its link map as LD_DEBUG=scopes has it.

    A filtee of the program, which stands before it, is known from the program's scope only, and not by a name with a
    space in it.
    """
    name = os.fspath(program)
    outcome = runner.run(command((name,), question, {**question.env, "LD_DEBUG": "scopes"}))
    lines, rest = _debug_lines(outcome.stderr)
    objects = [line[len("object=") : -len(" [0]")] for line in lines if line.startswith("object=")]
    scope = next((line for line in lines if line.startswith(" scope 0: ")), "")[len(" scope 0: ") :]
    objects = scope.partition(f"{name} ")[0].split() + objects
    answer = parse(msgspec.structs.replace(outcome, stdout=b"", stderr=rest), name)
    return Start(link_map=_libraries(objects, name), answer=answer)


def _libraries(names: list[str], program: str) -> tuple[str, ...]:
    """The names of a link map that are neither the vdso's nor the program's, wherever in it they stand.

    glibc's own name for the program is empty, and a filtee of the program stands before it; musl's is the path that it
    was started by, and the vdso's is empty.
    """
    return tuple(entry for entry in names if entry not in ("", program, *VDSO))


def searches(file: str | os.PathLike[str], question: Question = _PLAIN) -> list[Search]:
    """Where the loader looks for each name, in its order. The file is traced, not started."""
    name = os.fspath(file)
    variables = {"LD_DEBUG": "libs", "LD_TRACE_LOADED_OBJECTS": "1"}
    outcome = runner.run(command(argv(name, question), question, {**question.env, **variables}))
    return _searches(_debug_lines(outcome.stderr)[0])


def _debug_lines(output: bytes) -> tuple[list[str], bytes]:
    """The lines that LD_DEBUG has added, without the process id in front, and the rest of the output."""
    lines, rest = [], []
    for line in output.splitlines(keepends=True):
        match = _DEBUG_LINE.fullmatch(line.rstrip(b"\n"))
        if match:
            lines.append(os.fsdecode(match[1]))
        else:
            rest.append(line)
    return lines, b"".join(rest)


def _searches(lines: list[str]) -> list[Search]:
    """The searches that the lines of LD_DEBUG=libs tell of."""
    found: list[Search] = []
    for line in lines:
        if line.startswith("find library="):
            name = line[len("find library=") :].rpartition(" [")[0]
            found.append(Search(name))
        elif match := _SEARCH_PATH.fullmatch(line):
            _, what, of = match.groups()
            found[-1] = _extended(found[-1], Attempt(_SOURCES[what], of))
        elif line.startswith(" search cache="):
            found[-1] = _extended(found[-1], Attempt("ld.so.cache", None))
        elif line.startswith("  trying file="):
            last = found[-1].attempts[-1]
            tried = msgspec.structs.replace(last, candidates=(*last.candidates, line[len("  trying file=") :]))
            found[-1] = Search(found[-1].name, (*found[-1].attempts[:-1], tried))
    return found


def _extended(search: Search, attempt: Attempt) -> Search:
    return Search(search.name, (*search.attempts, attempt))

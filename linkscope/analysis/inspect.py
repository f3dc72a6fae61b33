"""`linkscope inspect`: what a file is, and what the loader would do with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from linkscope.analysis import problems
from linkscope.analysis.circumstances import Place, environment_for, place, reason_for, system_for
from linkscope.analysis.closure import closure, missing
from linkscope.analysis.facts import FileFacts, file_facts
from linkscope.analysis.request import Assumptions, Depth
from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.errors import FileUnreadable, LinkScopeError, NotElf
from linkscope.loader.environment import Environment
from linkscope.loader.program import Program, Start
from linkscope.loader.start import start
from linkscope.loader.system import System
from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.inspect import Dlopen, File, InspectDocument, Script

_WORTH_DIVIDING = 128
_LEARNT_FROM = 8
_FILE, _ERROR = b"F", b"E"
_AS_THE_CALLER, _PLAIN = Assumptions(), Depth()
_ENDED = "the process that analysed it was ended, for its use of memory perhaps"
_TOO_MUCH = "takes more memory than there is"
_MAX_SCRIPTS = 5  # Linux fs/exec.c, exec_binprm: so many scripts may lead on to one another, and then to a program


def inspect(paths: Sequence[str], assumptions: Assumptions = _AS_THE_CALLER, depth: Depth = _PLAIN) -> InspectDocument:
    """All of PATHS in one document. Raises RootUnusable and BadAssumption."""
    results = list(inspect_each(paths, assumptions, depth))
    files = [result for result in results if isinstance(result, File)]
    return InspectDocument(files=files, errors=[result for result in results if isinstance(result, AnalysisError)])


def inspect_each(
    paths: Sequence[str], assumptions: Assumptions, depth: Depth, workers: int = 1
) -> Iterator[File | AnalysisError]:
    """One result a path, in their order, made when asked for; what is read for one serves the others.

    workers: processes among which many paths are divided, for a caller without other threads.
    """
    system = system_for(assumptions)
    run = _Run(system, environment_for(assumptions, system, os.environ), depth)
    if workers == 1 or len(paths) < _WORTH_DIVIDING:
        yield from map(run.result, paths)
        return
    from linkscope.inventory.executors import in_processes  # one file does not need it

    head = len(paths) // _LEARNT_FROM
    yield from map(run.result, paths[:head])  # what the loader's cache and the common libraries say is read once
    rest = paths[head:]
    for path, frame in zip(rest, in_processes(run.encoded_result, rest, workers, run.share), strict=True):
        if frame is None:
            yield _error(path, _ENDED)
        elif frame[:1] == _FILE:
            yield msgspec.msgpack.decode(frame[1:], type=File)
        else:
            yield msgspec.msgpack.decode(frame[1:], type=AnalysisError)


class _Run:
    """One call: the system, the circumstances, and the facts of every file that was met, by device and inode."""

    def __init__(self, system: System, environment: Environment, depth: Depth) -> None:
        self._system = system
        self._environment = environment
        self._depth = depth
        self._facts: dict[tuple[int, int], FileFacts] = {}

    def result(self, path: str) -> File | AnalysisError:
        """The answer for one path, or why there is none."""
        try:
            return self.inspect(place(path, self._system))
        except LinkScopeError as error:
            line = error.script if isinstance(error, NotElf) else None
            return _error(path, reason_for(error, path, self._system), line and line.partition(" ")[0])
        except (MemoryError, RecursionError):  # the boundary of one file: the others are still analysed
            return _error(path, _TOO_MUCH)

    def share(self, path: str) -> int:
        """Equal for the names of one file, so that the process that has read it answers for all of them."""
        try:
            return os.stat(self._locate(place(path, self._system))).st_ino
        except (LinkScopeError, OSError, ValueError):
            return 0

    def encoded_result(self, path: str) -> bytes:
        """`result` as bytes, for another process: what it is, then the value."""
        result = self.result(path)
        return (_FILE if isinstance(result, File) else _ERROR) + msgspec.msgpack.encode(result)

    def inspect(self, where: Place) -> File:
        """The answer for one file, or for the interpreter of a script if that is asked for. Raises LinkScopeError."""
        try:
            return self._of_file(where, None)
        except NotElf as error:
            if error.script is None or not self._depth.follow_scripts:
                raise
            return self._of_interpreter(where, error.script)

    def _of_interpreter(self, script: Place, line: str) -> File:
        """The answer for the program at the end of a script's #! LINE, which may name a script in its turn."""
        interpreter, _, argument = line.partition(" ")
        told = Script(path=text(script.shown), interpreter=text(interpreter), argument=text(argument) or None)
        cwd = self._environment.cwd.rstrip("/")
        for _ in range(_MAX_SCRIPTS):
            try:
                inside = interpreter if interpreter.startswith("/") else f"{cwd}/{interpreter}"
                return self._of_file(Place(inside, interpreter), told)
            except LinkScopeError as error:
                following = error.script if isinstance(error, NotElf) else None
                if following is None:
                    ends = " (the #! line ends with a carriage return)" if interpreter.endswith("\r") else ""
                    raise LinkScopeError(
                        script.shown, f"its interpreter {interpreter}: {error.reason}{ends}"
                    ) from error
                interpreter = following.partition(" ")[0]
        raise LinkScopeError(script.shown, f"more than {_MAX_SCRIPTS} scripts lead on to one another")

    def _of_file(self, where: Place, script: Script | None) -> File:
        location = self._locate(where)
        return self._answer(where, location, self._facts_of(where, location), script)

    def _locate(self, where: Place) -> str:
        try:
            return self._system.root.locate(where.inside)
        except OSError as error:
            raise FileUnreadable.from_os_error(where.shown, error) from error

    def _facts_of(self, where: Place, location: str) -> FileFacts:
        try:
            status = os.stat(location)
        except (OSError, ValueError):
            known = None  # opening it says why
        else:
            known = self._facts.get((status.st_dev, status.st_ino))
        if known is None:
            with open_reader(location, where.shown, self._system.root.open) as reader:
                image = read_image(reader)
                self._system.remember(image, reader.head)
                known = self._facts[image.identity] = file_facts(reader, image)
        return known

    def _answer(self, where: Place, location: str, facts: FileFacts, script: Script | None) -> File:
        found = list(facts.file.problems)
        started: Start | None = None
        binding = None
        if facts.is_loaded:
            program = Program(facts.image, where.inside, where.shown, location)
            started = start(self._system, program, self._environment)
            found += problems.of_start(started, program, self._system)
            if self._depth.symbols:
                from linkscope.loader.binding import bind

                binding = bind(self._system, started, program, self._environment.bind_now)
                found += binding.problems
        if self._depth.cross_check:
            found += problems.of_cross_check(location, facts.image)
        return msgspec.structs.replace(
            facts.file,
            path=text(where.shown),
            path_bytes=exact_bytes(where.shown),
            closure=closure(started, self._system, self._environment.cwd) if started else [],
            missing=missing(started) if started else [],
            problems=problems.graver_first(found),
            dlopen=_dlopen(facts, started),
            unresolved=binding.unresolved if binding else [] if self._depth.symbols else None,
            unused=binding.unused if binding else [] if self._depth.symbols else None,
            script=script,
        )


def _error(path: str, reason: str, script: str | None = None) -> AnalysisError:
    interpreter = None if script is None else text(script)
    return AnalysisError(path=text(path), error=text(reason), path_bytes=exact_bytes(path), script=interpreter)


def _dlopen(facts: FileFacts, started: Start | None) -> list[Dlopen]:
    """What the file declares to open itself, each with the path at which it would find it."""
    return [
        Dlopen(
            soname=[text(name) for name in entry.soname],
            feature=entry.feature,
            priority=entry.priority,
            found=next((path for path in map(started.would_dlopen, entry.soname) if path), None) if started else None,
        )
        for entry in facts.declared
    ]

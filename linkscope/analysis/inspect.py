"""`linkscope inspect`: what a file is, and what the loader would do with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from linkscope.analysis import problems
from linkscope.analysis.circumstances import Place, environment_for, place, reason_for, system_for
from linkscope.analysis.closure import closure, missing
from linkscope.analysis.division import divided
from linkscope.analysis.facts import FileFacts, file_facts
from linkscope.analysis.request import Assumptions, Depth
from linkscope.elf.image import read_image
from linkscope.elf.packing import packed
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import FileUnreadable, LinkScopeError, NotElf, StoreUnusable
from linkscope.loader.environment import Environment
from linkscope.loader.program import Program, Start
from linkscope.loader.start import start
from linkscope.loader.system import System
from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.inspect import Dlopen, File, InspectDocument, Script

if TYPE_CHECKING:
    from linkscope.contents.installed import Installed
    from linkscope.contents.known import Pack
    from linkscope.loader.binding import Binding

_AS_THE_CALLER, _PLAIN = Assumptions(), Depth()
TOO_MUCH = "takes more memory than there is"
TOO_DEEP = "is nested too deeply to be analysed"
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
    return divided(Run(system, environment_for(assumptions, system, os.environ), depth), paths, workers)


class Examined(msgspec.Struct, frozen=True):
    """A file and what was worked out on the way to its document.

    where: as it was named. location: its place on this machine. program, started: None where no loader has to do with
    the file. binding: None where symbols were not asked for, or there was no start.
    """

    file: File
    facts: FileFacts
    where: Place
    location: str
    program: Program | None
    started: Start | None
    binding: Binding | None


class Run:
    """One call: the system, the circumstances, and the facts of every file that was met, by device and inode."""

    kinds: tuple[type[File | AnalysisError], ...] = (File, AnalysisError)

    def __init__(self, system: System, environment: Environment, depth: Depth) -> None:
        self.system = system
        self.environment = environment
        self._depth = depth
        self._facts: dict[tuple[int, int], FileFacts] = {}

    @cached_property
    def _packs(self) -> Sequence[Pack]:
        """The signatures with which contents are found; imported only where they are asked for."""
        from linkscope.analysis.signatures import packs

        return packs(self._depth.store, self._depth.shipped)

    @cached_property
    def _installed(self) -> Installed | None:
        """The packages of the root; None where a package is laid over it, whose files are not those that they say."""
        from linkscope.contents.installed import Installed  # as above
        from linkscope.loader.layers import LayeredRoot

        return None if isinstance(self.system.root, LayeredRoot) else Installed(self.system.root)

    def beside(self, system: System, *, secure: bool = False) -> Run:
        """The same for a package that is laid over this one's system, where nobody's working directory lies.

        secure: its programs have rights of their own, if nothing else was assumed.
        """
        assumed = self.environment.secure
        secure_or_not = True if secure and assumed is None else assumed
        return Run(system, msgspec.structs.replace(self.environment, secure=secure_or_not, cwd="/"), self._depth)

    def answer(self, item: str) -> File | AnalysisError:
        """The answer for one path, or why there is none."""
        try:
            return self.inspect(place(item, self.system))
        except LinkScopeError as error:
            line = error.script if isinstance(error, NotElf) else None
            reason = reason_for(error, item, self.system)
            if isinstance(error, NotElf) and line is None:
                reason += self._package(item)
            return error_of(item, reason, line and line.partition(" ")[0])
        except (MemoryError, RecursionError) as error:  # the boundary of one file: the others are still analysed
            return error_of(item, excess(error))

    def _package(self, item: str) -> str:
        """Who looks into a file that is a package; "" of anything else."""
        from linkscope.packages.formats import format_of  # only where a file is no ELF file

        where = place(item, self.system)
        try:
            with self.system.open(where.inside, where.shown) as reader:
                name = format_of(reader)
        except LinkScopeError:
            return ""
        return "" if name is None else f" but a package ({name}), into which check, diff, targets and who look"

    def lost(self, item: str, reason: str) -> AnalysisError:
        """What is said of a path whose process ended."""
        return error_of(item, reason)

    def share(self, item: str) -> int:
        """Equal for the names of one file, so that the process that has read it answers for all of them."""
        return self.share_of(place(item, self.system))

    def share_of(self, where: Place) -> int:
        """The inode of a file, 0 where there is none."""
        try:
            return os.stat(self._locate(where)).st_ino
        except (LinkScopeError, OSError, ValueError):
            return 0

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
        cwd = self.environment.cwd.rstrip("/")
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
        return self.examined(where, script).file

    def examined(self, where: Place, script: Script | None = None) -> Examined:
        """The file, and all that was worked out for its document. Raises LinkScopeError."""
        location = self._locate(where)
        return self._examined(where, location, self._facts_of(where, location), script)

    def _locate(self, where: Place) -> str:
        try:
            return self.system.root.locate(where.inside)
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
            with open_reader(location, where.shown, self.system.root.open) as reader:
                image = self.system.installed(read_image(reader))
                self.system.remember(image, reader.head)
                known = file_facts(reader, image)
                if self._depth.contents:
                    known = _with_contents(known, reader, self._packs, unpack=self._depth.unpack)
                    known = self._with_itself(known, where.inside)
                self._facts[image.identity] = known
        return known

    def _with_itself(self, facts: FileFacts, inside: str) -> FileFacts:
        """FACTS with what the file itself is among its contents told by the package that has installed it.

        Nobody is asked where there are no plain libraries: all others say it themselves.
        """
        from linkscope.contents.itself import marked  # as above

        contents = facts.file.contents or []
        path = self.system.realpath(inside, "/")
        if self._installed is None or path is None or all(one.ecosystem != "generic" for one in contents):
            return facts
        owner = self._installed.owners([path])[path]
        source = None if owner is None else owner.source or owner.name
        file = msgspec.structs.replace(facts.file, contents=marked(contents, source))
        return msgspec.structs.replace(facts, file=file)

    def _examined(self, where: Place, location: str, facts: FileFacts, script: Script | None) -> Examined:
        found = list(facts.file.problems)
        program: Program | None = None
        started: Start | None = None
        binding = None
        if facts.is_loaded:
            program = Program(facts.image, where.inside, where.shown, location)
            started = start(self.system, program, self.environment)
            found += problems.of_start(started, program, self.system)
            if self._depth.symbols:
                from linkscope.loader.binding import bind

                binding = bind(self.system, started, program, self.environment.bind_now)
                found += binding.problems
        if self._depth.cross_check:
            found += problems.of_cross_check(location, facts.image)
        file = msgspec.structs.replace(
            facts.file,
            path=text(where.shown),
            path_bytes=exact_bytes(where.shown),
            closure=closure(started, self.system, self.environment.cwd) if started else [],
            missing=missing(started) if started else [],
            problems=problems.graver_first(found),
            dlopen=_dlopen(facts, started),
            unresolved=binding.unresolved if binding else [] if self._depth.symbols else None,
            unused=binding.unused if binding else [] if self._depth.symbols else None,
            script=script,
        )
        return Examined(file, facts, where, location, program, started, binding)


def _with_contents(facts: FileFacts, reader: Reader, packs: Sequence[Pack], *, unpack: bool) -> FileFacts:
    """FACTS with what is inside the file, which is looked for here: only where it was asked for."""
    from linkscope.contents.identify import inside

    told = facts.file.problems
    try:
        if unpack and packed(reader, facts.image):
            from linkscope.analysis.original import inside_packed, unpacked  # as above

            found, told = inside_packed(reader, facts.image, packs), unpacked(told)
        else:
            found = inside(reader, facts.image, facts.file, packs)
    except StoreUnusable as error:  # it is no fault of the file
        raise LinkScopeError(reader.path, f"what is inside cannot be told: {error}") from error
    file = msgspec.structs.replace(
        facts.file, contents=found.contents, code=found.code, limits=list(found.limits), problems=told
    )
    return msgspec.structs.replace(facts, file=file)


def excess(error: MemoryError | RecursionError) -> str:
    """What a file has too much of, in words: things, or things in things."""
    return TOO_DEEP if isinstance(error, RecursionError) else TOO_MUCH


def error_of(path: str, reason: str, script: str | None = None) -> AnalysisError:
    """What stands under `errors` for PATH. script: the interpreter that it names, if it is a script."""
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

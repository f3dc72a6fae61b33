"""`linkscope inspect`: what a file is, and what the loader would do with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from linkscope.analysis.circumstances import Place, environment_for, place, system_for
from linkscope.analysis import problems
from linkscope.analysis.closure import closure, missing
from linkscope.analysis.request import Assumptions, Depth
from linkscope.elf import constants as c
from linkscope.elf import hardening, libc, linkage, machines, notes, toolchain, versions
from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader
from linkscope.errors import LinkScopeError, NotElf
from linkscope.loader.environment import Environment
from linkscope.loader.glibc import split_search_path
from linkscope.loader.program import Program, Start
from linkscope.loader.start import start
from linkscope.loader.system import System
from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.inspect import Dlopen, ElfHeader, File, InspectDocument, Script

_MAX_SCRIPTS = 5  # Linux fs/exec.c: a script may name a script, so many times


def inspect(paths: Sequence[str], assumptions: Assumptions, depth: Depth) -> InspectDocument:
    """All of PATHS in one document. Raises RootUnusable."""
    results = list(inspect_each(paths, assumptions, depth))
    files = [result for result in results if isinstance(result, File)]
    return InspectDocument(files=files, errors=[result for result in results if isinstance(result, AnalysisError)])


def inspect_each(paths: Sequence[str], assumptions: Assumptions, depth: Depth) -> Iterator[File | AnalysisError]:
    """One result a path, in their order, made when asked for; what is read for one serves the others."""
    system = system_for(assumptions)
    environment = environment_for(assumptions, system, os.environ)
    for path in paths:
        try:
            yield inspect_file(place(path, system), system, environment, depth)
        except LinkScopeError as error:
            yield AnalysisError(path=text(path), error=text(error.reason), path_bytes=exact_bytes(path))


def inspect_file(where: Place, system: System, environment: Environment, depth: Depth) -> File:
    """The answer for one file. Raises LinkScopeError for what cannot be analysed."""
    script: Script | None = None
    for _ in range(_MAX_SCRIPTS):
        try:
            with system.open(where.inside, where.shown) as reader:
                image = read_image(reader)
                system.remember(image, reader.head)
                return _file(reader, image, where, system, environment, depth, script)
        except NotElf as error:
            if error.script is None or not depth.follow_scripts:
                raise
            interpreter, _, argument = error.script.partition(" ")
            script = script or Script(
                path=text(where.shown), interpreter=text(interpreter), argument=text(argument.strip()) or None
            )
            inside = interpreter if interpreter.startswith("/") else f"{environment.cwd.rstrip('/')}/{interpreter}"
            where = Place(inside, interpreter)
    raise LinkScopeError(where.shown, f"more than {_MAX_SCRIPTS} scripts lead on to one another")


def _file(
    reader: Reader,
    image: Image,
    where: Place,
    system: System,
    environment: Environment,
    depth: Depth,
    script: Script | None,
) -> File:
    kind = linkage.kind(reader, image)
    how = linkage.linkage(image)
    location = system.root.locate(where.inside)
    found = problems.of_file(reader, image, how)
    started: Start | None = None
    binding = None
    if kind == "shared-library" or how == "dynamic":
        program = Program(image, where.inside, where.shown, location)
        started = start(system, program, environment)
        found += problems.of_start(started, program, system)
        if depth.symbols:
            from linkscope.loader.binding import bind

            binding = bind(system, started, program)
            found += binding.problems
    if depth.cross_check:
        found += problems.of_cross_check(location, image)
    requires, other = versions.highest_versions(image.verneed)
    return File(
        path=text(where.shown),
        path_bytes=exact_bytes(where.shown),
        kind=kind,
        linkage=how,
        pie=linkage.pie(image),
        elf=_header(image),
        interpreter=None if image.interpreter is None else text(image.interpreter),
        libc=libc.libc(reader, image),
        soname=None if image.soname is None else text(image.soname),
        needed=[text(name) for tag, name in image.dependencies if tag == c.DT_NEEDED],
        rpath=[text(element) for element in split_search_path(image.rpath or "", ":")],
        runpath=[text(element) for element in split_search_path(image.runpath or "", ":")],
        build_id=notes.build_id(reader, image),
        requires={text(family): number for family, number in requires.items()},
        requires_other=[text(name) for name in other],
        closure=closure(started, system, environment.cwd) if started else [],
        missing=missing(started) if started else [],
        problems=problems.graver_first(found),
        dlopen=_dlopen(reader, image, started),
        unresolved=binding.unresolved if binding else [] if depth.symbols else None,
        unused=binding.unused if binding else [] if depth.symbols else None,
        hardening=hardening.hardening(reader, image),
        toolchain=toolchain.toolchain(reader, image),
        script=script,
    )


def _header(image: Image) -> ElfHeader:
    return ElfHeader(
        class_=64 if image.elf_class == 64 else 32,
        endian="little" if image.layout.order == "<" else "big",
        machine=machines.machine_name(image.machine),
        type=c.TYPE_NAMES.get(image.type, str(image.type)),
    )


def _dlopen(reader: Reader, image: Image, started: Start | None) -> list[Dlopen]:
    """What `.note.dlopen` declares, each with the path at which the file itself would find it."""
    declared = notes.dlopen_entries(reader, image)
    return [
        Dlopen(
            soname=[text(name) for name in entry.soname],
            feature=entry.feature,
            priority=entry.priority,
            found=next((path for path in map(started.would_dlopen, entry.soname) if path), None) if started else None,
        )
        for entry in declared
    ]

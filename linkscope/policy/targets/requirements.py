"""What a file, with the libraries that it brings along, asks of the system on which it is started."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.versions import number_of
from linkscope.loader.relr import has_relr, says_relr
from linkscope.model.inspect import File
from linkscope.policy.subject import Subject, Wanted
from linkscope.policy.targets.undefined import Undefined, undefined

_PULLED_IN = (c.DT_NEEDED, c.DT_FILTER)


class Need(msgspec.Struct, frozen=True):
    """A library that the system has to bring, by the name that is asked for. askers: the objects that ask, by path."""

    name: str
    askers: tuple[str, ...]


class Packed(msgspec.Struct, frozen=True):
    """An object with packed relative relocations (DT_RELR). said: it asks libc for the version that stands for them.

    from_libc: it needs libc.so.* and asks for versions, so that glibc insists on that one.
    """

    path: str
    said: bool
    from_libc: bool


class Unmet(msgspec.Struct, frozen=True):
    """A version that a library which is brought along does not define. versioned: it defines others."""

    wanted: Wanted
    versioned: bool


class Refused(msgspec.Struct, frozen=True):
    """A file of the release at which the search for a library ends. message: in words."""

    path: str
    message: str
    asker: str | None


class Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides whether a system can start one file.

    machine, elf_class, endian: as in the document. interpreter: the path in PT_INTERP; None for a library, and for a
    static program. loaded: a dynamic loader has to do with the file. loads_at_run_time: a static program that still
    opens libraries. libc: the family that the file is made for.
    needs, versions: what is not brought along; within: versions that its own libraries have to define; unmet: those of
    them that they do not.
    cpu_level: the x86-64 level (2 to 4) that the file says it needs, or 0.
    symbols: undefined symbols that nothing which is brought along defines, weak ones left out; None: not looked at.
    undefined: what nothing at hand defines, as far as symbols were bound. refused: where a search ends in the release.
    """

    path: str
    machine: str
    elf_class: int
    endian: str
    interpreter: str | None
    loaded: bool
    loads_at_run_time: bool
    libc: str
    needs: tuple[Need, ...]
    versions: tuple[Wanted, ...]
    within: tuple[Wanted, ...]
    cpu_level: int
    packed: tuple[Packed, ...]
    symbols: frozenset[str] | None = None
    unmet: tuple[Unmet, ...] = ()
    undefined: tuple[Undefined, ...] = ()
    refused: tuple[Refused, ...] = ()


def requirements(subject: Subject, symbols: frozenset[str] | None = None) -> Requirements:
    """What SUBJECT asks for. symbols: its undefined symbols, where somebody has read them."""
    file = subject.file
    within = _within(subject)
    return Requirements(
        path=file.path,
        machine=file.elf.machine,
        elf_class=file.elf.class_,
        endian=file.elf.endian,
        interpreter=file.interpreter if file.kind != "shared-library" else None,
        loaded=_is_loaded(file),
        loads_at_run_time=any(problem.code == "loads-at-run-time" for problem in file.problems),
        libc=file.libc.family,
        needs=_needs(subject),
        versions=tuple(subject.wanted),
        within=within,
        cpu_level=subject.cpu_level,
        packed=tuple([_packed(part.path, part.image) for part in subject.parts if has_relr(part.image)]),
        symbols=symbols,
        unmet=tuple(_unmet(subject, within)),
        undefined=tuple(undefined(subject)),
        refused=tuple(
            [
                Refused(problem.subject, problem.message, problem.needed_by)
                for problem in file.problems
                if problem.code == "bad-candidate" and problem.fatal and problem.subject in subject.refused
            ]
        ),
    )


def _is_loaded(file: File) -> bool:
    return file.kind == "shared-library" or file.linkage == "dynamic"


def _needs(subject: Subject) -> tuple[Need, ...]:
    """Names in the order in which they are first asked for; what is brought along answers to its DT_SONAME as well."""
    own = {part.image.soname for part in subject.parts if part.image.soname} | subject.brought
    asked: dict[str, list[str]] = {}
    for part in subject.parts:
        for tag, name in part.image.dependencies:
            if tag in _PULLED_IN and name not in own:
                askers = asked.setdefault(name, [])
                if part.path not in askers:
                    askers.append(part.path)
    return tuple([Need(name, tuple(askers)) for name, askers in asked.items()])


def _within(subject: Subject) -> tuple[Wanted, ...]:
    return tuple(
        [
            Wanted(version.name, *number_of(version.name), need.file, part.path, version.weak)
            for part in subject.parts
            for need in part.image.verneed
            if need.file in subject.brought
            for version in need.versions
        ]
    )


def _unmet(subject: Subject, within: Iterable[Wanted]) -> Iterator[Unmet]:
    """What is asked of a library is looked for in the part that has its name, or is called so by its file."""
    images = {name: part.image for part in subject.parts for name in (part.image.soname, os.path.basename(part.path))}
    for wanted in within:
        image = images.get(wanted.provider)
        if image is not None and all(wanted.name != known.name for known in image.verdef or ()):
            yield Unmet(wanted, image.verdef is not None)


def _packed(path: str, image: Image) -> Packed:
    return Packed(
        path, says_relr(image), bool(image.verneed) and any(name.startswith("libc.so.") for name in image.needed)
    )

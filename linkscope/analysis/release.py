"""What a path of the command line holds: one file, the files below a folder, or those in a package."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from linkscope.analysis.circumstances import Place, place
from linkscope.analysis.inspect import Run, error_of
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError
from linkscope.loader.system import System
from linkscope.model.document import AnalysisError

if TYPE_CHECKING:
    from linkscope.packages.unpacked import Kept, Unpacked

_PRIVILEGED = stat.S_ISUID | stat.S_ISGID


class Member(msgspec.Struct, frozen=True):
    """One file of what was named. name: how it is called in there, which is "" for a file that was named itself.

    run: in which it is examined. kept: what a package says of it. bundle: the folder of this machine in which the
    package was unpacked, whose libraries come along with it.
    """

    name: str
    where: Place
    run: Run
    kept: Kept | None = None
    bundle: str | None = None


def members(path: str, run: Run, opened: ExitStack) -> Iterator[Member | AnalysisError]:
    """The files of PATH in the order of their names, and what could not be looked into.

    A path that is neither a folder nor a package is one member, whatever it is: examining it tells. A package is
    unpacked into a private folder, which is there until OPENED is closed, and looked at as if it was installed in the
    root of RUN.
    """
    where = place(path, run.system)
    try:
        location = run.system.root.locate(where.inside)
        mode = os.stat(location).st_mode
    except (OSError, ValueError):
        mode = 0
    if stat.S_ISDIR(mode):
        yield from _below(where, location, run)
    elif stat.S_ISREG(mode):
        package = _package(where, location, run, opened)
        if package is None:
            yield Member("", where, run)
        else:
            for one in package.all():
                yield from _packed(one, run)
    else:
        yield Member("", where, run)


def _below(folder: Place, location: str, run: Run) -> Iterator[Member | AnalysisError]:
    from linkscope.inventory.walk import elf_files  # one file does not need it

    for found in elf_files(location):
        if isinstance(found, LinkScopeError):
            yield error_of(os.path.join(folder.shown, os.path.relpath(found.path, location)), found.reason)
            continue
        name = os.path.relpath(found, location)
        yield Member(name, Place(os.path.join(folder.inside, name), os.path.join(folder.shown, name)), run)


def _package(where: Place, location: str, run: Run, opened: ExitStack) -> Unpacked | None:
    """The package at a place, unpacked; None where the file is none, or cannot be read (which examining it tells)."""
    try:
        with open_reader(location, where.shown, run.system.root.open) as reader:
            return None if _is_elf(reader) else _unpacked(reader, opened)
    except LinkScopeError:
        return None


def _is_elf(reader: Reader) -> bool:
    return reader.head.startswith(b"\x7fELF")


def _unpacked(reader: Reader, opened: ExitStack) -> Unpacked | None:
    from linkscope.packages.formats import format_of  # a file that is ELF does not need them
    from linkscope.packages.unpacked import unpacked

    return None if format_of(reader) is None else opened.enter_context(unpacked(reader))


def _packed(package: Unpacked, run: Run) -> Iterator[Member | AnalysisError]:
    from linkscope.loader.layers import LayeredRoot

    at = "/" if package.layout == "root" else f"/{os.path.basename(package.path)}"
    inner = run.beside(System(LayeredRoot(run.system.root, package.folder, at)))
    secure = inner.beside(inner.system, secure=True)
    for problem in package.problems:
        yield error_of(problem.path, problem.reason)
    for name, kept in package.files.items():
        privileged = bool(kept.mode & _PRIVILEGED) or kept.capabilities
        where = Place(os.path.join(at, name), package.name_of(name))
        yield Member(name, where, secure if privileged else inner, kept, package.folder)

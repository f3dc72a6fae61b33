"""What a path of the command line holds: one file, the files below a folder, or those in a package."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import msgspec

from linkscope.analysis.circumstances import Place, environment_for, place, reason_for, system_for
from linkscope.analysis.inspect import Run, error_of, excess
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.subject import FileSubject
from linkscope.elf.reader import open_reader
from linkscope.errors import FileUnreadable, LinkScopeError, NoPrivateFolder
from linkscope.model.document import AnalysisError, exact_bytes, text

if TYPE_CHECKING:
    from linkscope.loader.system import System
    from linkscope.packages.unpacked import Kept, Unpacked
    from linkscope.policy.archive import Archive

Answer = TypeVar("Answer")
_ELF = b"\x7fELF"
# By these names packages are looked for below a folder; one that is named itself is told by what is in it.
_PACKAGES = (".whl", ".deb", ".rpm", ".apk", ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_NO_PACKAGE = "is called a package, and is none: no wheel, zip, tar, .deb, .rpm or .apk begins like this"
_NOTHING = "holds no ELF file and no package, so that nothing was looked at"
_PRIVILEGED = stat.S_ISUID | stat.S_ISGID


class Member(msgspec.Struct, frozen=True):
    """One file of what was named. name: how it is called in there, which is "" for a file that was named itself.

    run: in which it is examined. top: the folder or package that holds it, as seen from inside the root; None for a
    file that was named itself. kept: what a package says of it. bundle: the folder of this machine in which the package
    was unpacked, whose libraries come along with it. claims: the platform tags of the wheel that it is in.
    """

    name: str
    where: Place
    run: Run
    top: str | None = None
    kept: Kept | None = None
    bundle: str | None = None
    claims: tuple[str, ...] = ()


def answer(
    member: Member | AnalysisError, what: Callable[[FileSubject], Answer], *, rooted: bool = False
) -> Answer | AnalysisError:
    """WHAT of a file as the rules see it, or why there is none: the boundary of one file. rooted: a root was named."""
    if isinstance(member, AnalysisError):
        return member
    run, path = member.run, member.where.shown
    try:
        examined = run.examined(member.where)
        return what(FileSubject(run, examined, rooted, member.kept, member.bundle, member.top, member.claims))
    except LinkScopeError as error:
        return error_of(path, reason_for(error, path, run.system))
    except (MemoryError, RecursionError) as error:  # the other files still have their answers
        return error_of(path, excess(error))


class Part(msgspec.Struct, frozen=True):
    """Files that are looked at together. archives: the packages that they are from, of which something is odd."""

    files: list[Member | AnalysisError]
    archives: list[Archive] = []


class _Package(msgspec.Struct, frozen=True):
    """A file that is a package. location: its place on this machine."""

    file: Member
    location: str


_Found = Member | AnalysisError | _Package


def members_of(
    paths: Iterable[str], assumptions: Assumptions, depth: Depth, opened: ExitStack
) -> Iterator[Member | AnalysisError]:
    """The files of `parts_of`, one after the other: each is there until the next one is asked for."""
    for part in parts_of(paths, assumptions, depth, opened):
        yield from part.files


def parts_of(paths: Iterable[str], assumptions: Assumptions, depth: Depth, opened: ExitStack) -> Iterator[Part]:
    """The files of PATHS, in parts: those of each package by themselves, and all others up to the next package.

    Below a folder they come in the order of their names. A path that is neither a folder nor a package is one file,
    whatever it is: examining it tells. A package is unpacked into a private folder, and looked at as if it was
    installed in the root; that folder is gone when the next part is asked for, or OPENED is closed.

    The caller's variables do not count: a CI job's own LD_LIBRARY_PATH must not hide a failure. Nor does it count who
    the caller is: releases are for other people, in whose hands a setuid program is started in secure execution. Raises
    RootUnusable and BadAssumption.
    """
    system = system_for(assumptions)
    environment = msgspec.structs.replace(environment_for(assumptions, system, {}), ordinary_user=True)
    run = Run(system, environment, depth)
    files: list[Member | AnalysisError] = []
    for found in (one for path in paths for one in _found(path, run)):
        if not isinstance(found, _Package):
            files.append(found)
            continue
        if files:
            yield Part(files)
            files = []
        part = _unpacked(found, opened)
        if not part.files and not found.file.name:
            part.files.append(error_of(found.file.where.shown, _NOTHING))
        yield part
        opened.close()
    if files:
        yield Part(files)


def _found(path: str, run: Run) -> Iterator[_Found]:
    """The files of PATH, and the packages, which are not looked into yet.

    A folder in which there are none is an error: what was to be looked at was not made, or lies elsewhere.
    """
    where = place(path, run.system)
    try:
        location = run.system.root.locate(where.inside)
        is_folder = stat.S_ISDIR(os.stat(location).st_mode)
    except OSError as error:
        reason = reason_for(FileUnreadable.from_os_error(where.shown, error), path, run.system)
        yield error_of(where.shown, reason)
        return
    except ValueError:
        yield Member("", where, run)  # no file has such a name: examining it tells
        return
    if not is_folder:
        yield _file(Member("", where, run), location)
        return
    empty = True
    for found in _below(where, location, run):
        empty = False
        yield found
    if empty:
        yield error_of(where.shown, _NOTHING)


def _below(folder: Place, location: str, run: Run) -> Iterator[_Found]:
    from linkscope.inventory.walk import elf_files  # one file does not need it

    for found in elf_files(location, _PACKAGES):
        if isinstance(found, LinkScopeError):
            yield error_of(os.path.join(folder.shown, os.path.relpath(found.path, location)), found.reason)
            continue
        name = os.path.relpath(found, location)
        where = Place(os.path.join(folder.inside, name), os.path.join(folder.shown, name))
        yield _file(Member(name, where, run, folder.inside), found)


def _file(file: Member, location: str) -> _Found:
    """The file, as a package if it is one."""
    path, run = file.where.shown, file.run
    try:
        with open_reader(location, path, run.system.root.open) as reader:
            if reader.head.startswith(_ELF):
                return file
            from linkscope.packages.formats import format_of  # a file that is ELF does not need them

            if format_of(reader) is not None:
                return _Package(file, location)
    except LinkScopeError:
        return file  # examining it tells why
    except (MemoryError, RecursionError) as error:
        return error_of(path, excess(error))
    return error_of(path, _NO_PACKAGE) if path.endswith(_PACKAGES) else file


def _unpacked(package: _Package, opened: ExitStack) -> Part:
    """What is in a package, which is there until OPENED is closed."""
    from linkscope.packages.unpacked import unpacked
    from linkscope.policy.archive import Archive

    file = package.file
    path = file.where.shown
    part = Part([], [])
    try:
        with open_reader(package.location, path, file.run.system.root.open) as reader:
            whole = opened.enter_context(unpacked(reader))
        for one in whole.all():
            part.files.extend(_packed(one, file))
            if one.oddities:
                shown = Archive(path=text(one.path), path_bytes=exact_bytes(one.path), oddities=one.oddities)
                part.archives.append(shown)
    except NoPrivateFolder as error:
        part.files.append(error_of(path, str(error)))
    except LinkScopeError as error:
        part.files.append(error_of(path, error.reason))
    except (MemoryError, RecursionError) as error:  # the other files still have their answers
        part.files.append(error_of(path, excess(error)))
    return part


def _packed(package: Unpacked, file: Member) -> Iterator[Member | AnalysisError]:
    """The files in a package, which is FILE or in it."""
    from linkscope.loader.layers import LayeredRoot, LayeredSystem
    from linkscope.packages.wheelname import platforms

    run = file.run
    at = "/" if package.layout == "root" else _nowhere(package.path, run.system)
    modes = {name: kept.mode for name, kept in package.files.items()}
    inner = run.beside(LayeredSystem(LayeredRoot(run.system.root, package.folder, at), package.folder, modes))
    secure = inner.beside(inner.system, secure=True)
    claims = platforms(package.path, package.metadata) if package.format == "wheel" else ()
    for problem in package.problems:
        yield error_of(problem.path, problem.reason)
    for name, kept in package.files.items():
        privileged = bool(kept.mode & _PRIVILEGED) or kept.capabilities
        where = Place(os.path.join(at, name), package.name_of(name))
        called, at_start = os.path.join(file.name, name), secure if privileged else inner
        yield Member(called, where, at_start, at, kept, package.folder, claims)


def _nowhere(path: str, system: System) -> str:
    """A folder that the root has not, and that no search path names: what a package is called finds it nothing.

    `/app.zip!` of app.zip, so that its files are seen at paths that are like those in the answers.
    """
    at = f"/{os.path.basename(path)}!"
    while _is_there(at, system):
        at += "!"
    return at


def _is_there(path: str, system: System) -> bool:
    try:
        os.lstat(system.root.locate(path))
    except (OSError, ValueError):
        return False
    return True

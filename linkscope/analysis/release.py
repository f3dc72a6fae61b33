"""What a path of the command line holds: one file, the files below a folder, or those in a package."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import msgspec

from linkscope.analysis.circumstances import Place, environment_for, place, reason_for, system_for
from linkscope.analysis.inspect import TOO_MUCH, Run, error_of
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.subject import FileSubject
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError, NoPrivateFolder
from linkscope.model.document import AnalysisError

if TYPE_CHECKING:
    from linkscope.packages.unpacked import Kept, Unpacked

Answer = TypeVar("Answer")
_ELF = b"\x7fELF"
# By these names packages are looked for below a folder; one that is named itself is told by what is in it.
_PACKAGES = (".whl", ".deb", ".rpm", ".apk", ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_NO_PACKAGE = "is called a package, and is none: no wheel, zip, tar, .deb, .rpm or .apk begins like this"
_PRIVILEGED = stat.S_ISUID | stat.S_ISGID


class Member(msgspec.Struct, frozen=True):
    """One file of what was named. name: how it is called in there, which is "" for a file that was named itself.

    run: in which it is examined. top: the folder or package that holds it, as seen from inside the root; None for a
    file that was named itself. kept: what a package says of it. bundle: the folder of this machine in which the package
    was unpacked, whose libraries come along with it.
    """

    name: str
    where: Place
    run: Run
    top: str | None = None
    kept: Kept | None = None
    bundle: str | None = None


def answer(
    member: Member | AnalysisError, what: Callable[[FileSubject], Answer], *, rooted: bool = False
) -> Answer | AnalysisError:
    """WHAT of a file as the rules see it, or why there is none: the boundary of one file. rooted: a root was named."""
    if isinstance(member, AnalysisError):
        return member
    run, path = member.run, member.where.shown
    try:
        examined = run.examined(member.where)
        return what(FileSubject(run, examined, rooted, member.kept, member.bundle, member.top))
    except LinkScopeError as error:
        return error_of(path, reason_for(error, path, run.system))
    except (MemoryError, RecursionError):  # the other files still have their answers
        return error_of(path, TOO_MUCH)


def members_of(
    paths: Iterable[str], assumptions: Assumptions, depth: Depth, opened: ExitStack
) -> Iterator[Member | AnalysisError]:
    """The files of each of PATHS in turn, under ASSUMPTIONS and without the caller's variables.

    A CI job's own LD_LIBRARY_PATH must not hide a failure. Raises RootUnusable and BadAssumption.
    """
    system = system_for(assumptions)
    run = Run(system, environment_for(assumptions, system, {}), depth)
    for path in paths:
        yield from members(path, run, opened)


def members(path: str, run: Run, opened: ExitStack) -> Iterator[Member | AnalysisError]:
    """The files of PATH in the order of their names, and what could not be looked into.

    A path that is neither a folder nor a package is one member, whatever it is: examining it tells. A package is
    unpacked into a private folder, which is there until OPENED is closed, and looked at as if it was installed in the
    root of RUN.
    """
    where = place(path, run.system)
    try:
        location = run.system.root.locate(where.inside)
        is_folder = stat.S_ISDIR(os.stat(location).st_mode)
    except (OSError, ValueError):
        yield Member("", where, run)
        return
    if is_folder:
        yield from _below(where, location, run, opened)
    else:
        yield from _file(Member("", where, run), location, opened)


def _below(folder: Place, location: str, run: Run, opened: ExitStack) -> Iterator[Member | AnalysisError]:
    from linkscope.inventory.walk import elf_files  # one file does not need it

    for found in elf_files(location, _PACKAGES):
        if isinstance(found, LinkScopeError):
            yield error_of(os.path.join(folder.shown, os.path.relpath(found.path, location)), found.reason)
            continue
        name = os.path.relpath(found, location)
        where = Place(os.path.join(folder.inside, name), os.path.join(folder.shown, name))
        yield from _file(Member(name, where, run, folder.inside), found, opened)


def _file(file: Member, location: str, opened: ExitStack) -> Iterator[Member | AnalysisError]:
    """The file itself or, of a package, those that are in it."""
    path, run = file.where.shown, file.run
    is_elf = True  # or unreadable: examining it tells why
    try:
        with open_reader(location, path, run.system.root.open) as reader:
            is_elf = reader.head.startswith(_ELF)
            package = None if is_elf else _unpacked(reader, opened)
    except NoPrivateFolder as error:
        yield error_of(path, str(error))
        return
    except LinkScopeError:
        package = None
    if package is None:
        yield file if is_elf or not path.endswith(_PACKAGES) else error_of(path, _NO_PACKAGE)
        return
    for one in package.all():
        yield from _packed(one, file)


def _unpacked(reader: Reader, opened: ExitStack) -> Unpacked | None:
    from linkscope.packages.formats import format_of  # a file that is ELF does not need them
    from linkscope.packages.unpacked import unpacked

    return None if format_of(reader) is None else opened.enter_context(unpacked(reader))


def _packed(package: Unpacked, file: Member) -> Iterator[Member | AnalysisError]:
    """The files in a package, which is FILE."""
    from linkscope.loader.layers import LayeredRoot, LayeredSystem

    run = file.run
    at = "/" if package.layout == "root" else f"/{os.path.basename(package.path)}"
    modes = {name: kept.mode for name, kept in package.files.items()}
    inner = run.beside(LayeredSystem(LayeredRoot(run.system.root, package.folder, at), package.folder, modes))
    secure = inner.beside(inner.system, secure=True)
    for problem in package.problems:
        yield error_of(problem.path, problem.reason)
    for name, kept in package.files.items():
        privileged = bool(kept.mode & _PRIVILEGED) or kept.capabilities
        where = Place(os.path.join(at, name), package.name_of(name))
        yield Member(os.path.join(file.name, name), where, secure if privileged else inner, at, kept, package.folder)

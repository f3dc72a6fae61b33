"""`linkscope sigs`: the archives whose code is recognised inside linked files, learnt, listed and exchanged."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from linkscope.contents import exchange, learning
from linkscope.contents.learning import Labels, Refused, Weight
from linkscope.contents.owners import Owners, owners
from linkscope.contents.packs import SHIPPED, Filed, Learnt, Store
from linkscope.elf.reader import open_reader
from linkscope.errors import FileUnreadable, LinkScopeError, NotLearnt
from linkscope.loader.root import Root
from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.sigs import LeftOut, SignedArchive, SigsDocument
from linkscope.packages.metadata import Metadata

_ARCHIVE, _PACKAGES = ".a", (".deb", ".apk", ".rpm")
_INSTALLED = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/opt")  # where archives of packages and of users are
_WORTH_DIVIDING = 8
_LEAST_ID = 8  # digits of an archive's id by which it may be named
_TOO_MUCH = "takes more memory than there is"
_ENDED = "the process that read it was ended, for its use of memory perhaps"


class Source(msgspec.Struct, frozen=True):
    """A file to learn from. shown: its path in answers; location: its place on this machine. named: by the user.

    owner: the package that it belongs to, where it is installed.
    """

    shown: str
    location: str
    named: bool
    labels: Labels
    owner: Metadata | None = None


class Lesson(msgspec.Struct, frozen=True):
    """What was learnt from one file."""

    learnt: list[Learnt]
    refused: list[Refused]


def listed(store: str, names: Sequence[str] = (), shipped: bool = True) -> SigsDocument:
    """The archives that answer to one of NAMES, all of them without; in the user's STORE, and in the shipped pack.

    A name is that of a library, a package, an archive (with `*` and `?` as in a shell) or the beginning of an id, and
    may go on with `=VERSION`. Raises StoreUnusable.
    """
    stores = [Store(store), *([Store(SHIPPED, fixed=True)] if shipped else [])]
    found = [(filed, one.fixed) for one in stores for filed in one.filed()]
    rows = [_row(filed, fixed) for filed, fixed in found if not names or _answers(filed, names)]
    return SigsDocument(store=text(store), archives=rows, errors=[*_unmatched(names, [one for one, _ in found])])


def remove(store: str, names: Sequence[str]) -> SigsDocument:
    """The archives that answer to one of NAMES (as in `listed`), now gone from the STORE. Raises StoreUnusable."""
    own = Store(store)
    there = own.filed()
    chosen = [one for one in there if _answers(one, names)]
    if chosen:
        own.remove(one.identity for one in chosen)
    rows = [_row(one, False) for one in chosen]
    errors = list(_unmatched(names, there))
    if errors:
        brought = Store(SHIPPED, fixed=True).filed()
        errors = [
            msgspec.structs.replace(one, error="is brought along by LinkScope, and not in the store")
            if _is_among(one.path, brought)
            else one
            for one in errors
        ]
    return SigsDocument(store=text(store), archives=rows, errors=errors)


def export(store: str, file: str, names: Sequence[str] = ()) -> SigsDocument:
    """The archives of the STORE that answer to one of NAMES, all of them without, now in FILE. Raises StoreUnusable.

    Where there is none, nothing is written.
    """
    own = Store(store)
    there = own.filed()
    chosen = [one for one in there if not names or _answers(one, names)]
    errors = [*_unmatched(names, there)]
    if chosen:
        exchange.write(file, own.learnt(one.identity for one in chosen))
    elif not errors:
        nothing = "holds no archive that could be exported; `linkscope sigs add` learns some"
        errors = [AnalysisError(path=text(store), error=nothing, path_bytes=exact_bytes(store))]
    return SigsDocument(store=text(store), archives=[_row(one, False) for one in chosen], errors=errors)


def bring_in(store: str, files: Iterable[str]) -> SigsDocument:
    """The archives in FILES that `export` wrote, now in the STORE. Raises StoreUnusable and FileUnreadable."""
    return _filed(store, [one for file in files for one in exchange.read(file)], [], [])


def add(store: str, lessons: Iterable[Lesson]) -> SigsDocument:
    """The archives of LESSONS, now in the STORE: all of them, or none where it ends before. Raises StoreUnusable."""
    learnt: list[Learnt] = []
    left_out: list[LeftOut] = []
    errors: list[AnalysisError] = []
    for lesson in lessons:
        learnt += lesson.learnt
        for refused in lesson.refused:
            if refused.weight == "error":
                path = refused.path
                errors.append(AnalysisError(path=text(path), error=text(refused.reason), path_bytes=exact_bytes(path)))
            else:
                left_out.append(LeftOut(path=text(refused.path), reason=text(refused.reason), weight=refused.weight))
    return _filed(store, learnt, left_out, errors)


def _filed(store: str, learnt: list[Learnt], left_out: list[LeftOut], errors: list[AnalysisError]) -> SigsDocument:
    own = Store(store)
    before = {one.identity for one in own.filed()}
    _, known = own.add(learnt) if learnt else (0, 0)
    new = {one.identity.hex() for one in learnt} - before
    rows = [_row(one, False) for one in own.filed() if one.identity in new]
    return SigsDocument(store=text(store), archives=rows, known=known, left_out=left_out, errors=errors)


def lessons(paths: Sequence[str], labels: Labels, installed: str | None = None, workers: int = 1) -> Iterator[Lesson]:
    """One lesson a file of PATHS: archives, packages, and folders with such.

    installed: a root, of which every archive is learnt with its owner. workers: processes among which the files are
    divided, for a caller without other threads. Raises RootUnusable.
    """
    sources: list[Source] = []
    refused: list[Refused] = []
    if installed is not None:
        root = Root(installed)
        known = owners(root)
        refused += _unread(known, "error")
        sources += _installed(root, known, labels)
    own: list[Owners] = []
    for path in paths:
        if not own:
            own.append(owners(Root("/")))
            refused += _unread(own[0], "warning") if installed is None else ()
        sources += _named(path, own[0], labels, refused)
    if refused:
        yield Lesson([], refused)
    yield from _taught(sources, workers)


def _unread(known: Owners, weight: Weight) -> Iterator[Refused]:
    """The databases of packages that cannot be read: whose an archive is, they would have said."""
    for problem in known.problems:
        place, _, reason = problem.partition(": ")
        yield Refused(place, reason, weight)


def _taught(sources: Sequence[Source], workers: int) -> Iterator[Lesson]:
    """The lesson of each source, in their order."""
    if workers == 1 or len(sources) < _WORTH_DIVIDING:
        yield from map(_lesson, sources)
        return
    from linkscope.inventory.executors import in_processes
    from linkscope.packages.unpacked import private_folder

    numbers = {id(source): number for number, source in enumerate(sources)}
    with private_folder() as into:  # a process that is ended leaves what it has unpacked behind

        def taught(source: Source) -> bytes:
            return msgspec.msgpack.encode(_lesson(source, into))

        frames = in_processes(taught, sources, workers, lambda source: numbers[id(source)])
        for source, frame in zip(sources, frames, strict=True):
            if frame is None:
                yield Lesson([], [Refused(source.shown, _ENDED)])
            else:
                yield msgspec.msgpack.decode(frame, type=Lesson)


def _lesson(source: Source, into: str | None = None) -> Lesson:
    """What is learnt from one file: the boundary of one file. into: a folder for what is unpacked meanwhile."""
    learnt: list[Learnt] = []
    refused: list[Refused] = []
    try:
        with open_reader(source.location, source.shown) as reader:
            for one in learning.of_file(reader, source.location, source.labels, source.owner, into):
                if isinstance(one, Learnt):
                    learnt.append(one)
                else:
                    refused.append(_readable(one))
    except NotLearnt as error:
        refused.append(
            _readable(Refused(source.shown, error.reason, "note"))
        )  # in a folder, only its name says archive
    except LinkScopeError as error:
        refused.append(_readable(Refused(source.shown, error.reason)))
    except (MemoryError, RecursionError):
        refused.append(_readable(Refused(source.shown, _TOO_MUCH)))
    if source.named and not learnt:  # whoever names it wants it to be recognised
        refused = [msgspec.structs.replace(one, weight="error") for one in refused]
    return Lesson(learnt, refused)


def _readable(one: Refused) -> Refused:
    return msgspec.structs.replace(one, path=text(one.path), reason=text(one.reason))


def _named(path: str, known: Owners, labels: Labels, refused: list[Refused]) -> Iterator[Source]:
    """The files that a path of the command line stands for."""
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError) as error:
        reason = FileUnreadable.from_os_error(path, error).reason if isinstance(error, OSError) else str(error)
        refused.append(Refused(path, reason))
        return
    if not is_folder:
        yield _with_owner(path, path, known, labels, named=True)
        return
    found = False
    for file in _below(path, (_ARCHIVE, *_PACKAGES), refused):
        found = True
        yield _with_owner(file, file, known, labels, named=False)
    if not found:
        refused.append(Refused(path, "holds no archive (.a) and no package (.deb, .apk, .rpm)"))


def _installed(root: Root, known: Owners, labels: Labels) -> Iterator[Source]:
    """Every archive of a root, each file once: of its names the one that a package has, or else the first."""
    found: dict[tuple[int, int], Source] = {}
    for folder in _INSTALLED:
        try:
            if root.real(folder) != folder:  # /lib is /usr/lib
                continue
            top = root.locate(folder)
        except OSError:
            continue
        for location in _below(top, (_ARCHIVE,), []):
            status = os.lstat(location)
            inside = os.path.join(folder, os.path.relpath(location, top))
            source = _with_owner(inside, location, known, labels, named=False)
            before = found.get((status.st_dev, status.st_ino))
            if before is None or (before.owner is None and source.owner is not None):
                found[status.st_dev, status.st_ino] = source
    yield from found.values()


def _with_owner(path: str, location: str, known: Owners, labels: Labels, named: bool) -> Source:
    """PATH with the package that it belongs to, as seen from inside the root of KNOWN."""
    owner = known.of(os.path.realpath(path) if path == location else path)
    if owner is not None and labels.distribution is None:
        labels = msgspec.structs.replace(labels, distribution=known.distribution)
    return Source(path, location, named, labels, owner)


def _below(folder: str, endings: tuple[str, ...], refused: list[Refused]) -> Iterator[str]:
    """The regular files below FOLDER that are called so, in the order of their names; symlinks are not followed."""

    def failed(error: OSError) -> None:
        refused.append(Refused(str(error.filename), FileUnreadable.from_os_error("", error).reason))

    for place, folders, names in os.walk(folder, onerror=failed):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(place, name)
            if name.endswith(endings) and not os.path.islink(path) and os.path.isfile(path):
                yield path


def _row(filed: Filed, shipped: bool) -> SignedArchive:
    archive = filed.archive
    return SignedArchive(
        id=filed.identity,
        shipped=shipped,
        name=archive.name,
        library=archive.library,
        version=archive.version,
        package=archive.package,
        package_version=archive.package_version,
        distribution=archive.distribution,
        architecture=archive.architecture,
        members=archive.members,
        sections=archive.sections,
        recognised=filed.recognised,
        size=archive.size,
        bitcode=archive.bitcode,
        origin=filed.origin,
    )


def _answers(filed: Filed, names: Iterable[str]) -> bool:
    return any(_answers_to(filed, name) for name in names)


def _answers_to(filed: Filed, asked: str) -> bool:
    name, equals, version = asked.partition("=")
    archive = filed.archive
    if equals and version not in (archive.version, archive.package_version):
        return False
    if len(name) >= _LEAST_ID and filed.identity.startswith(name):
        return True
    return any(fnmatch.fnmatchcase(own, name) for own in (archive.library, archive.package, archive.name) if own)


def _is_among(name: str, filed: Iterable[Filed]) -> bool:
    return any(_answers_to(one, name) for one in filed)


def _unmatched(names: Iterable[str], filed: Sequence[Filed]) -> Iterator[AnalysisError]:
    for name in names:
        if not _is_among(name, filed):
            yield AnalysisError(path=text(name), error="no library, package or archive of that name is known")

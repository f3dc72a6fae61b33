"""A package, unpacked as far as is of interest: its ELF files and symlinks, in a folder that is gone afterwards.

Whoever wants other files than ELF ones (the archives that a linker takes) says how those begin.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import chain

import msgspec

from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import FileUnreadable, LinkScopeError, NoPrivateFolder, NotAPackage
from linkscope.packages import deb
from linkscope.packages.folder import Folder
from linkscope.packages.formats import FORMATS, Format, Layout, Opened, format_of
from linkscope.packages.limits import Broken, Budget, Limits, Overrun
from linkscope.packages.member import Member, Refused, member_path
from linkscope.packages.metadata import Metadata
from linkscope.packages.oddities import Oddities, Oddity
from linkscope.packages.streams import COMPRESSIONS

_ELF = (b"\x7fELF",)
_MOST_PROBLEMS = 50  # of one archive
# What an archive within an archive may begin with; a tar has its magic further on.
_ARCHIVES = (b"PK\3\4", b"!<arch>\ndebian-binary", b"\xed\xab\xee\xdb", *(one.magic for one in COMPRESSIONS))
_UNTOLD = 0o755
_USTAR = slice(257, 262)


class Problem(msgspec.Struct, frozen=True):
    """Something of a package that could not be read, or was not; `reason` is one line."""

    path: str
    reason: str


class Kept(msgspec.Struct, frozen=True):
    """What the archive says of a file, which on disk is neither so.

    mode: permission bits with setuid and setgid, 0 where the format keeps none. capabilities: it has file capabilities.
    """

    mode: int
    capabilities: bool = False


class Unpacked(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of one archive while its context lasts.

    path: the archive's, as answers name it. folder: where its files are. files: those, ELF all of them if nothing else
    was asked for, from the top of the archive. folders: st_mode's permission bits of those that it has as members.
    skipped: how many other members there are. oddities: what was read or left out, and is not as in most archives.
    inner: archives that are members of a zip or tar, in their order.
    """

    path: str
    format: str
    layout: Layout
    folder: str
    files: dict[str, Kept]
    folders: dict[str, int]
    skipped: int
    problems: tuple[Problem, ...]
    metadata: Metadata
    oddities: tuple[Oddity, ...] = ()
    inner: tuple[Unpacked, ...] = ()

    @property
    def modes(self) -> dict[str, int]:
        """The permission bits of its files and folders; 0755 of a file where the format keeps none."""
        return self.folders | {path: kept.mode or _UNTOLD for path, kept in self.files.items()}

    def all(self) -> Iterator[Unpacked]:
        """This one, and those inside."""
        yield self
        for one in self.inner:
            yield from one.all()

    def name_of(self, file: str) -> str:
        """How a file of it is named in answers."""
        return member_path(self.path, file)


@contextlib.contextmanager
def private_folder(into: str | None = None) -> Iterator[str]:
    """A new folder below INTO (else in the system's own place for such), that is there until the context ends.

    Only its owner may look into it. Raises NoPrivateFolder.
    """
    import shutil
    import signal
    import tempfile

    # A signal's exception must not come between the folder and what removes it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        place = tempfile.mkdtemp(prefix="linkscope-", dir=into)
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise NoPrivateFolder(into or tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"), error) from error
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield os.path.realpath(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def unpacked(
    reader: Reader, into: str | None = None, limits: Limits | None = None, wanted: tuple[bytes, ...] = _ELF
) -> Iterator[Unpacked]:
    """An open file's ELF members, in a folder below INTO (else the system's own place for such) until the context ends.

    wanted: what the members begin with that are kept, instead of ELF's magic; no longer than 4096 bytes.
    Raises NotAPackage where the file is none, and NoPrivateFolder. Whatever else is wrong stands under `problems`, and
    the rest is there all the same.
    """
    name = format_of(reader)
    if name is None:
        raise NotAPackage(reader.path)
    with private_folder(into) as place:
        work = _Work(place, Budget(limits or Limits(), reader.size), wanted)
        yield work.unpack(reader, FORMATS[name], reader.path, 0)


class _Work:
    """One package and those inside: where they go, what they may cost together, and what is WANTED of them."""

    def __init__(self, place: str, budget: Budget, wanted: tuple[bytes, ...]) -> None:
        self.wanted = wanted
        self._place = place
        self._budget = budget
        self._archives = 0

    def unpack(self, reader: Reader, kind: Format, path: str, depth: int) -> Unpacked:
        """One archive; DEPTH of them are around it."""
        place = f"{self._place}/{self._archives}"
        self._archives += 1
        os.mkdir(place, 0o700)
        return _Archive(self, reader, kind, path, Folder(place, self.limits), depth).unpack()

    @property
    def limits(self) -> Limits:
        """What all of them may cost together."""
        return self._budget.limits

    @property
    def budget(self) -> Budget:
        """What is left of that."""
        return self._budget

    def spool(self) -> Folder:
        """A place for one archive on its way."""
        place = f"{self._place}/spool-{self._archives}"
        os.makedirs(place, 0o700, exist_ok=True)
        return Folder(place, self.limits)


class _Archive:
    """One archive on its way into its folder."""

    def __init__(self, work: _Work, reader: Reader, kind: Format, path: str, folder: Folder, depth: int) -> None:
        self._work = work
        self._reader = reader
        self._kind = kind
        self._path = path
        self._folder = folder
        self._depth = depth
        self._files: dict[str, Kept] = {}
        self._folders: dict[str, int] = {}
        self._skipped = 0
        self._problems: list[Problem] = []
        self._unsaid = 0
        self._odd = Oddities()
        self._inner: list[Unpacked] = []

    def unpack(self) -> Unpacked:
        metadata = Metadata()
        with self._said():
            opened = self._kind.opened(self._reader, self._work.budget)
            with self._said():
                self._take_all(opened)
            with self._said():
                metadata = opened.metadata()
        with self._said():
            self._folder.finish()
        if self._unsaid:
            self._problems.append(Problem(self._path, f"has {self._unsaid} more members that could not be read"))
        return Unpacked(
            path=self._path,
            format=self._kind.name,
            layout=self._kind.layout,
            folder=self._folder.place,
            files=self._files,
            folders=self._folders,
            skipped=self._skipped,
            problems=tuple(self._problems),
            metadata=metadata,
            oddities=self._odd.all(),
            inner=tuple(self._inner),
        )

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """What stops the work within is a problem of the archive."""
        try:
            yield
        except (Broken, Overrun, LinkScopeError) as error:
            self._say(self._path, error.reason)
        except MemoryError:  # what else is analysed has its answers
            self._say(self._path, "takes more memory than there is to be unpacked")
        except OSError as error:
            self._say(self._path, f"cannot be unpacked: {os.strerror(error.errno or 0).lower()}")

    def _take_all(self, opened: Opened) -> None:
        for member in opened.members:
            self._work.budget.member(member.name)
            try:
                self._take(member)
            except (Refused, Broken) as error:
                self._say_of(member, error.reason)
            except Overrun as error:
                self._say_of(member, error.reason)
                if error.stops:
                    return

    def _take(self, member: Member) -> None:
        """One member: into the folder, if it is of interest."""
        if member.kind == "folder":
            self._folders[self._folder.add_folder(member)] = member.mode
            return
        path, again = self._folder.new(member)
        self._files.pop(path, None)
        if again:
            self._odd.add("doubled-name", member.name, "stands in the archive more than once")
        if member.name.startswith("/") and self._kind.layout == "folder":
            self._odd.add("absolute-name", member.name, "is an absolute name")
        if member.kind == "file":
            self._take_file(path, member)
        elif member.kind == "symlink":
            self._take_symlink(path, member)
        elif member.kind == "hardlink":
            same = self._folder.link(path, member.target)
            if same is not None:
                self._files[path] = self._files[same]
        elif member.kind == "special":
            self._odd.add("special-file", member.name, member.what)
        else:
            raise Refused(f"{member.what}, and is left out")

    def _take_file(self, path: str, member: Member) -> None:
        limit = self._work.limits.member
        if member.size > limit:
            raise Overrun(f"is larger than {limit} bytes", stops=False)
        pieces = member.content()
        first = next(pieces, b"")
        if first.startswith(self._work.wanted) and not deb.begins(first):
            self._folder.write(path, chain((first,), pieces), limit)
            self._files[path] = Kept(member.mode, member.capabilities)
            return
        self._skipped += 1
        if self._kind.container and (first.startswith(_ARCHIVES) or first[_USTAR] == b"ustar"):
            self._look_into(member, chain((first,), pieces))

    def _take_symlink(self, path: str, member: Member) -> None:
        inside = self._folder.add_symlink(path, member.target)
        if not inside or (member.target.startswith("/") and self._kind.layout == "folder"):
            self._odd.add("symlink-out", member.name, f"is a symlink out of the archive, to {member.target}")

    def _look_into(self, member: Member, pieces: Iterator[bytes]) -> None:
        """An archive that is a member: unpacked as well, unless it lies too deep."""
        spool = self._work.spool()
        spool.write("archive", pieces, self._work.limits.member)
        place = f"{spool.place}/archive"
        path = member_path(self._path, member.name)
        try:
            with open_reader(place, path) as reader:
                name = format_of(reader)
                if name is None:
                    return
                if self._depth >= self._work.limits.nesting:
                    self._say(path, "is an archive that lies too deep in others to be looked into")
                    return
                self._inner.append(self._work.unpack(reader, FORMATS[name], path, self._depth + 1))
        except FileUnreadable as error:
            raise Broken(error.reason) from error
        finally:
            os.unlink(place)

    def _say_of(self, member: Member, reason: str) -> None:
        self._say(member_path(self._path, member.name), reason)

    def _say(self, path: str, reason: str) -> None:
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append(Problem(path, reason))
        else:
            self._unsaid += 1

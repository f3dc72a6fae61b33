"""One root together with everything that was already looked up in it: a file is read once in a run."""

from __future__ import annotations

import errno
import os
import stat

import msgspec

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader, open_reader
from linkscope.elf.rodata import pieces
from linkscope.errors import FileUnreadable, LinkScopeError
from linkscope.loader.environment import Cpu, cpu_for
from linkscope.loader.ldcache import LdCache, parse
from linkscope.loader.ldso import LoaderFacts, dated, read_loader
from linkscope.loader.root import Root, absolute

_HEADER = 64  # bytes: an ELF header of either class


class Candidate(msgspec.Struct, frozen=True):
    """What stands at a path, as one open() and the first reads find it.

    path: as the loader would open it. errno: why it cannot be opened, 0 where it can. head: the first 64 bytes (none
    for a directory). image: None where `fault` says why there is none. mode: st_mode. location: the place on this
    machine.
    """

    path: str
    errno: int
    mode: int = 0
    identity: tuple[int, int] = (0, 0)
    head: bytes = b""
    image: Image | None = None
    fault: LinkScopeError | None = None
    location: str = ""


class System:
    """A root, its files and what is known of them. Passed in, never global."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._candidates: dict[str, Candidate | int] = {}  # a number: errno, and nothing else to keep
        self._contents: dict[tuple[int, int], tuple[bytes, Image | None, LinkScopeError | None]] = {}
        self._is_directory: dict[str, bool] = {}
        self._modes: dict[str, int] = {}
        self._real: dict[str, str] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self.memory: dict[object, dict[object, object]] = {}
        self._ldcaches: dict[str, LdCache | None] = {}
        self._loaders: dict[str, LoaderFacts] = {}
        self._cpus: dict[tuple[int, str | None, str | None], Cpu] = {}

    def unsettled(self, path: str) -> str | None:  # noqa: ARG002 (here everything is at its place)
        """What people call a path in an archive that may be unpacked anywhere; None of any other. PATH is absolute."""
        return None

    def open(self, path: str, name: str | None = None) -> Reader:
        """The file at PATH (absolute, as seen from inside); NAME is what messages call it. Raises FileUnreadable."""
        try:
            location = self.root.locate(path)
        except OSError as error:
            raise FileUnreadable.from_os_error(name or path, error) from error
        return open_reader(location, name or path, self.root.open)

    def candidate(self, path: str, cwd: str) -> Candidate:
        """What stands at PATH, a relative one being taken from CWD."""
        place = absolute(path, cwd)
        known = self._candidates.get(place)
        if known is None:
            known = self._look(place)
            self._candidates[place] = known.errno or known
        if isinstance(known, int):
            return Candidate(path, known)
        return known if known.path == path else msgspec.structs.replace(known, path=path)

    def installed(self, image: Image) -> Image:
        """IMAGE as it is where its file is installed: of a file that lies there, as it is."""
        return image

    def remember(self, image: Image, head: bytes) -> None:
        """Keep the image of a file that was read elsewhere, so that it is not read again as somebody's library."""
        self._contents[image.identity] = (head[:_HEADER], image, None)

    def _look(self, path: str) -> Candidate:
        try:
            location = self.root.locate(path)
            status = os.stat(location)
        except (OSError, ValueError) as error:
            return Candidate(path, getattr(error, "errno", None) or errno.ENOENT)
        identity = (status.st_dev, status.st_ino)
        mode = status.st_mode
        content = self._contents.get(identity)
        if content is None:
            if not stat.S_ISREG(mode):
                if not os.access(location, os.R_OK, effective_ids=True):
                    return Candidate(path, errno.EACCES)
                if stat.S_ISSOCK(mode):  # open(2)
                    return Candidate(path, errno.ENXIO)
                return Candidate(path, 0, mode, identity, location=location)
            try:
                with open_reader(location, path, self.root.open) as reader:
                    content = self._read(reader)
            except LinkScopeError as error:
                cause = error.__cause__
                return Candidate(path, cause.errno or errno.EIO if isinstance(cause, OSError) else errno.EIO)
            self._contents[identity] = content
        head, image, fault = content
        return Candidate(path, 0, mode, identity, head, image, fault, location)

    @staticmethod
    def _read(reader: Reader) -> tuple[bytes, Image | None, LinkScopeError | None]:
        head = reader.head[:_HEADER]
        try:
            return head, read_image(reader), None
        except LinkScopeError as fault:
            return head, None, fault

    def is_directory(self, path: str) -> bool:
        """Whether PATH (absolute) leads to a directory."""
        known = self._is_directory.get(path)
        if known is None:
            known = self._is_directory[path] = stat.S_ISDIR(self.mode(path))
        return known

    def mode(self, path: str) -> int:
        """st_mode of what PATH (absolute) leads to, 0 where that is nothing."""
        known = self._modes.get(path)
        if known is None:
            try:
                known = os.stat(self.root.locate(path)).st_mode
            except (OSError, ValueError):
                known = 0
            self._modes[path] = known
        return known

    def realpath(self, path: str, cwd: str) -> str | None:
        """PATH with every symlink followed, None where it leads nowhere."""
        place = absolute(path, cwd)
        known = self._real.get(place)
        if known is None:
            try:
                known = self.root.real(place)
            except OSError:
                return None
            self._real[place] = known
        return known

    def names_in(self, folder: str) -> tuple[str, ...]:
        """The names in FOLDER (absolute), sorted; none where it cannot be read."""
        known = self._names.get(folder)
        if known is None:
            try:
                known = tuple(sorted(os.listdir(self.root.locate(folder))))
            except (OSError, ValueError):
                known = ()
            self._names[folder] = known
        return known

    def link_target(self, path: str) -> str | None:
        """What the symlink PATH (absolute) says, None where it is none."""
        folder, _, name = path.rpartition("/")
        try:
            return os.readlink(self.root.outside(f"{self.root.real(folder or '/').rstrip('/')}/{name}"))
        except (OSError, ValueError):
            return None

    def read_small(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """The whole of a configuration file, None where it cannot be read, is not regular or has over LIMIT bytes."""
        try:
            with self.open(path) as reader:
                return reader.read(0, reader.size) if reader.size <= limit else None
        except LinkScopeError:
            return None

    def ldcache(self, path: str) -> LdCache | None:
        """The loader's cache at PATH, None where there is none that it would use."""
        if path not in self._ldcaches:
            data = self.read_small(path, 1 << 24)
            self._ldcaches[path] = None if data is None else parse(data)
        return self._ldcaches[path]

    def cpu(self, machine: int, level: str | None, tunables: str | None) -> Cpu:
        """The processor to assume for files of MACHINE (`environment.cpu_for`), looked at once."""
        known = self._cpus.get((machine, level, tunables))
        if known is None:
            known = self._cpus[machine, level, tunables] = cpu_for(machine, level, tunables)
        return known

    def loader(self, path: str, cwd: str) -> LoaderFacts | None:
        """What the glibc loader at PATH says of itself, None where no such file can be read."""
        if path not in self._loaders:
            place = self.candidate(path, cwd)
            if place.image is None:
                return None
            with open_reader(place.location, path, self.root.open) as reader:
                facts = read_loader(reader, place.image)
            self._loaders[path] = facts if facts.version else self._dated(facts, path, cwd)
        return self._loaders[path]

    def _dated(self, facts: LoaderFacts, path: str, cwd: str) -> LoaderFacts:
        """FACTS with the version that the names and files around the loader tell."""
        real = self.realpath(path, cwd) or path
        libc = self.candidate(f"{real.rpartition('/')[0]}/libc.so.6", cwd)
        if libc.image is None:
            return dated(facts, real, ())
        with open_reader(libc.location, libc.path, self.root.open) as reader:
            return dated(facts, real, pieces(reader, libc.image))

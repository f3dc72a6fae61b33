"""What a process sees as `/`, and the way from the kernel's name of a mapped file to its name in there.

The kernel names a mapped file as the reader's root sees it: of a process in a chroot the name begins with the chroot,
of one in another mount namespace it begins at that namespace's own root (Linux fs/d_path.c, prepend_path).
"""

from __future__ import annotations

import errno
import itertools
import os
import resource
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from linkscope.errors import LinkScopeError, ProcessUnreadable
from linkscope.loader.root import Root
from linkscope.process import procfs

if TYPE_CHECKING:
    from linkscope.loader.system import System

# A name that a loader could not open either (open(2)); after any other error something may well stand there.
_NOTHING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_MOST_VIEWS = 128
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


_NUMBERS = itertools.count()


class Spot(msgspec.Struct, frozen=True):
    """What stands at a path. status: stat(2) of it, symlinks followed, None where nothing stands there.

    location: where it can be opened on this machine, None where it has no name that can be opened (longer than 4096
    bytes). hidden: why it cannot be told whether something stands there, None where it can.
    """

    status: os.stat_result | None
    location: str | None
    hidden: str | None = None


class View:
    """One root. prefix: what the kernel puts before names that lie in it. shown: the root as the caller sees it.

    shown is None where it is the caller's own root. What was looked up stays known as long as the view lives.
    """

    def __init__(self, root: Root, prefix: str, shown: str | None) -> None:
        self.root = root
        self.shown = shown
        self._prefix = prefix
        self._spots: dict[str, Spot] = {}

    @cached_property
    def system(self) -> System:
        """The root with all that a loader looks up in it."""
        from linkscope.loader.system import System  # where nothing is stale, no loader's rules are needed

        return System(self.root)

    def inside(self, name: str) -> str | None:
        """How the process sees the file that the kernel calls NAME; None where it lies outside of this root."""
        if not self._prefix:
            return name if name.startswith("/") else None
        return name[len(self._prefix) :] if name.startswith(f"{self._prefix}/") else None

    def spot(self, path: str) -> Spot:
        """What stands at PATH (absolute, as seen from inside), symlinks followed."""
        known = self._spots.get(path)
        if known is None:
            known = self._spots[path] = self._look(path)
        return known

    def _look(self, path: str) -> Spot:
        try:
            location = self.root.locate(path)
            return Spot(self._stat(location), location)
        except ValueError:  # a NUL byte
            return Spot(None, None)
        except OSError as error:
            far = _far(self.root.directory, path) if error.errno == errno.ENAMETOOLONG else None
            if far is None and error.errno not in _NOTHING:
                return Spot(None, None, os.strerror(error.errno or 0).lower())
            return Spot(far, None)

    def _stat(self, location: str) -> os.stat_result:
        """stat(2) of what stands at LOCATION, which holds no symlink: one that was put there since is not followed."""
        root = self.root
        if root.is_system:
            return os.stat(location)
        descriptor = root.open(location, os.O_PATH | os.O_CLOEXEC)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def status(self, path: str) -> os.stat_result | None:
        """stat(2) of what stands at PATH (absolute, as seen from inside); None where nothing does, or it is hidden."""
        return self.spot(path).status

    def locate(self, path: str) -> str:
        """Where PATH, which exists, can be opened on this machine."""
        return self.root.locate(path)


def _far(root: str, path: str) -> os.stat_result | None:
    """stat(2) of a path without symlinks, too long to be looked up in one piece; None where nothing stands there.

    The kernel writes names of any length into maps, and takes none of more than 4096 bytes (path_resolution(7)).
    """
    *folders, name = path.removeprefix("/").split("/")
    try:
        folder = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for part in folders:
                inner = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(folder)
    except OSError:
        return None


class Sight:
    """The views of one process: what it sees now and, where it may have seen more before a chroot, the caller's root.

    A daemon that confines itself after its start has mapped most of its files from outside. beyond: the caller's root,
    where the process is in another mount namespace and may have come from this one. number: no two sights of a run have
    the same one. standings: what `disk` has found out of files in it. held: a descriptor that keeps the mount
    namespace, and with it its number and all of its mounts.
    """

    __slots__ = ("_held", "_mounts", "_views", "beyond", "number", "standings")

    def __init__(
        self,
        views: tuple[View, ...],
        beyond: View | None,
        mounts: dict[int, tuple[str, int]] | None,
        held: int | None = None,
    ) -> None:
        self._views = views
        self.beyond = beyond
        self._mounts = mounts
        self._held = held
        self.number = next(_NUMBERS)
        self.standings: dict[object, object] = {}

    def close(self) -> None:
        """Give its descriptors back. What was predicted in it may refer to it for longer."""
        for view in self._views:
            view.root.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __del__(self) -> None:
        self.close()

    @property
    def now(self) -> View:
        """Its root as it is."""
        return self._views[0]

    def of(self, name: str) -> tuple[View, str] | None:
        """The view in which the file that the kernel calls NAME lies, and how it is called there."""
        for view in self._views:
            inside = view.inside(name)
            if inside is not None:
                return view, inside
        return None

    def has_mount(self, number: int) -> bool | None:
        """Whether its namespace has a mount of that number; None where not all of its mounts can be seen."""
        return None if self._mounts is None else number in self._mounts

    def kinds(self, devices: set[int]) -> set[str]:
        """The types of the mounted file systems with these devices, as far as they can be seen."""
        return {kind for kind, device in (self._mounts or {}).values() if device in devices}


class Views:
    """The views of all processes of one run: those with the same root share one, and all that was looked up in it.

    Each holds two descriptors, so that only the latest are kept: processes of one container mostly follow one another.
    """

    def __init__(self) -> None:
        self._most = max(4, min(_MOST_VIEWS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self._own = View(Root(), "", None)
        self._own_root = _whereabouts(os.getpid())
        self._own_mounts = _mounts(os.getpid())
        self._known: dict[object, Sight] = {self._own_root: Sight((self._own,), None, self._own_mounts)}

    @property
    def own(self) -> View:
        """The caller's own root."""
        return self._own

    def of(self, pid: int) -> Sight:
        """The views of one process. Raises ProcessUnreadable where the caller may not see its root."""
        whereabouts = _whereabouts(pid)
        known = self._known.pop(whereabouts, None) or self._look(pid, *whereabouts)
        self._known[whereabouts] = known  # the latest stands last
        if len(self._known) > self._most:
            self._known.pop(next(key for key in self._known if key != self._own_root)).close()
        return known

    def _look(self, pid: int, namespace: tuple[int, int], _root: tuple[int, int], shown: str) -> Sight:
        try:
            view = View(Root.of_process(pid), shown.rstrip("/"), shown)
        except LinkScopeError as error:
            cause = error.__cause__
            raise procfs.trouble(pid, cause) if isinstance(cause, OSError) else error from error
        if namespace == self._own_root[0]:
            return Sight((view, self._own), None, self._own_mounts)
        return Sight((view,), self._own, _mounts(pid), procfs.held(pid, "ns/mnt"))


def _whereabouts(pid: int) -> tuple[tuple[int, int], tuple[int, int], str]:
    """The mount namespace of a process, its root, and how the caller sees that: the same folder may be bound twice."""
    return procfs.identity(pid, "ns/mnt"), procfs.identity(pid, "root"), procfs.link(pid, "root")


def _mounts(pid: int) -> dict[int, tuple[str, int]] | None:
    """The mounts of the namespace of a process; None where not all of them are shown to it, or may be read.

    A process in a chroot that is no mount point is not shown the one below that.
    """
    try:
        mounts = procfs.mounts(pid)
        return mounts if procfs.mount_of(pid, "root") in mounts else None
    except ProcessUnreadable:
        return None

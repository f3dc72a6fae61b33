"""What a process sees as `/`, and the way from the kernel's name of a mapped file to its name in there.

The kernel names a mapped file as the reader's root sees it: of a process in a chroot the name begins with the chroot,
of one in another mount namespace it begins at that namespace's own root (Linux fs/d_path.c, prepend_path).
"""

from __future__ import annotations

import os

from linkscope.errors import LinkScopeError, ProcessUnreadable
from linkscope.loader.root import Root
from linkscope.loader.system import System
from linkscope.process import procfs


class View:
    """One root. prefix: what the kernel puts before names that lie in it. shown: the root as the caller sees it.

    shown is None where it is the caller's own root. What was looked up stays known as long as the view lives.
    """

    def __init__(self, root: Root, prefix: str, shown: str | None) -> None:
        self.system = System(root)
        self.shown = shown
        self._prefix = prefix
        self._statuses: dict[str, os.stat_result | None] = {}

    def inside(self, name: str) -> str | None:
        """How the process sees the file that the kernel calls NAME; None where it lies outside of this root."""
        if not self._prefix:
            return name if name.startswith("/") else None
        return name[len(self._prefix) :] if name.startswith(f"{self._prefix}/") else None

    def status(self, path: str) -> os.stat_result | None:
        """What stands at PATH (absolute, as seen from inside), symlinks followed; None where nothing does."""
        if path not in self._statuses:
            try:
                self._statuses[path] = os.stat(self.system.root.locate(path))
            except (OSError, ValueError):
                self._statuses[path] = None
        return self._statuses[path]

    def locate(self, path: str) -> str:
        """Where PATH, which exists, can be opened on this machine."""
        return self.system.root.locate(path)


class Sight(tuple[View, ...]):
    """The views of one process: what it sees now and, where it may have seen more before a chroot, the caller's root.

    A daemon that confines itself after its start has mapped most of its files from outside.
    """

    __slots__ = ()

    @property
    def now(self) -> View:
        """Its root as it is."""
        return self[0]

    def of(self, name: str) -> tuple[View, str] | None:
        """The view in which the file that the kernel calls NAME lies, and how it is called there."""
        for view in self:
            inside = view.inside(name)
            if inside is not None:
                return view, inside
        return None


class Views:
    """The views of all processes of one run: those with the same root share one, and all that was looked up in it."""

    def __init__(self) -> None:
        self._own = View(Root(), "", None)
        self._own_namespace = procfs.identity(os.getpid(), "ns/mnt")
        self._own_root = procfs.identity(os.getpid(), "root")
        self._known: dict[object, Sight] = {}

    @property
    def own(self) -> View:
        """The caller's own root."""
        return self._own

    def of(self, pid: int) -> Sight:
        """The views of one process. Raises ProcessUnreadable where the caller may not see its root."""
        namespace = procfs.identity(pid, "ns/mnt")
        root = procfs.identity(pid, "root")
        shown = procfs.link(pid, "root")
        key = (namespace, root, shown)
        if key not in self._known:
            self._known[key] = self._look(pid, namespace, root, shown)
        return self._known[key]

    def _look(self, pid: int, namespace: tuple[int, int], root: tuple[int, int], shown: str) -> Sight:
        same_mounts = namespace == self._own_namespace
        if same_mounts and root == self._own_root:
            return Sight((self._own,))
        try:
            view = View(Root.of_process(pid), shown.rstrip("/"), shown)
        except LinkScopeError as error:
            raise ProcessUnreadable(pid, error.reason) from error
        return Sight((view, self._own)) if same_mounts else Sight((view,))

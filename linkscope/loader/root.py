"""A directory seen as `/`: every path is looked up inside it, absolute symlinks included, and nothing outside is read.

For the real `/` the kernel does the walking. For any other root the walk is made here, component by component, by
the rules of path_resolution(7): `..` at the root stays there, and the 41st symlink ends in ELOOP. The root of a process
is reached through its link in /proc, which leads into mount namespaces as well; behind it the walk is the same.
"""

from __future__ import annotations

import errno
import os
import stat

from linkscope.errors import RootUnusable

_MAX_SYMLINKS = 40  # Linux include/linux/namei.h, MAXSYMLINKS
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def absolute(path: str, cwd: str) -> str:
    """PATH, a relative one taken from CWD; nothing of it is normalised."""
    return path if path.startswith("/") else f"{cwd.rstrip('/')}/{path}"


class Root:
    """One root. Paths going in and out are as seen from inside; `locate` gives the place on this machine.

    directory: where the root lies on this machine, without symlinks; of a process, its /proc/PID/root as it stands.
    """

    def __init__(self, directory: str = "/") -> None:
        if not directory:
            raise RootUnusable("--root", "names nothing; a folder that is to be seen as / is meant")
        try:
            real = os.path.realpath(directory, strict=True)
        except OSError as error:
            raise RootUnusable(directory, os.strerror(error.errno or 0).lower()) from error
        if not os.path.isdir(real):
            raise RootUnusable(directory, "is not a directory")
        self._begin(real, by_process=False)

    @classmethod
    def of_process(cls, pid: int) -> Root:
        """What process PID sees as `/`: its chroot, in its mount namespace. Never `is_system`, not even for our own.

        /proc/PID/root is no symlink that has a path for its target: the kernel goes straight to the folder, in whatever
        mount namespace it lies, and what readlink says of it need not exist here (proc(5); Linux fs/proc/base.c,
        proc_root_link). The folder is held open, and each place begins at the descriptor's own link, which is of the
        same kind: places are good for as long as this root is kept, also when the process has ended.

        Raises RootUnusable where the process has ended, or the caller may not look at it (ptrace(2),
        PTRACE_MODE_READ_FSCREDS).
        """
        directory = f"/proc/{pid}/root"
        try:
            held = os.open(directory, _FOLDER)
        except OSError as error:
            raise RootUnusable(directory, os.strerror(error.errno or 0).lower()) from error
        root = cls.__new__(cls)
        root._begin(f"/proc/self/fd/{held}", by_process=True)  # noqa: SLF001 (it is one of this class)
        root._held = held  # noqa: SLF001
        return root

    def _begin(self, directory: str, by_process: bool) -> None:
        self.directory = directory
        self.is_system = directory == "/"
        self._by_process = by_process
        self._held: int | None = None
        self._prefix = "" if self.is_system else directory
        self._directories: dict[str, str | int] = {"": ""}
        self._real_directories: dict[str, str] = {}

    def close(self) -> None:
        """Give the descriptor of a process's root back; nothing can be looked up in it any more."""
        held: int | None = getattr(self, "_held", None)  # absent where the root could not be made
        if held is not None:
            self._held = None
            os.close(held)

    def __del__(self) -> None:
        self.close()

    def view(self) -> tuple[int, int, int]:
        """Equal for roots in which every path leads to the same file: the mount, device and inode of the folder.

        A mount belongs to one mount namespace, and no two have the same number (proc(5), fdinfo; Linux fs/namespace.c,
        mnt_alloc_id). OSError where it cannot be opened any more.
        """
        descriptor = os.open(self.directory, _FOLDER)
        try:
            status = os.fstat(descriptor)
            with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
                number = int(file.read().partition(b"mnt_id:")[2].split(None, 1)[0])
        finally:
            os.close(descriptor)
        return number, status.st_dev, status.st_ino

    def outside(self, real: str) -> str:
        """The place on this machine of a path that holds no symlink; that of the root itself ends with `/`."""
        return self._prefix + (real or "/")

    def locate(self, path: str) -> str:
        """Where PATH (absolute, as seen from inside) lies on this machine; OSError where it leads nowhere."""
        if self.is_system:
            return path
        return self.outside(self._walk(path))

    def open(self, location: str, flags: int) -> int:
        """A descriptor of the file at LOCATION, which `locate` gave. OSError where that cannot be opened.

        The path is walked again without following any symlink, so that a part of it that was swapped for one since it
        was looked up does not lead out of the root.
        """
        if self.is_system:
            return os.open(location, flags)
        return open_below(self.directory, location, flags)

    def real(self, path: str) -> str:
        """PATH with every symlink followed, as seen from inside; OSError where it leads nowhere."""
        if not self.is_system:
            return self._walk(path) or "/"
        directory, _, name = path.rpartition("/")
        known = self._real_directories.get(directory)
        if known is None:
            known = self._real_directories[directory] = os.path.realpath(directory or "/", strict=True)
        if name in ("", ".", ".."):
            return os.path.realpath(path, strict=True)
        place = f"{known}/{name}" if known != "/" else f"/{name}"
        try:
            target = os.readlink(place)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return place
            raise
        return self._follow_system_link(known, target)

    def _follow_system_link(self, directory: str, target: str) -> str:
        if "/" in target:
            return os.path.realpath(os.path.join(directory, target), strict=True)
        place = os.path.join(directory, target)
        return os.path.realpath(place, strict=True) if os.path.islink(place) else place

    def inside(self, place: str) -> str | None:
        """How a file of this machine is seen from inside; None where it does not lie below the root.

        Below the root of a process is what its places name: `outside` turned round.
        """
        absolute = os.path.abspath(place)
        if self.is_system:
            return absolute
        if "\0" in absolute:  # no file has such a name
            return None
        parent = os.path.dirname(absolute)
        if not self._by_process:
            if os.path.realpath(absolute) == self.directory:
                return "/"
            parent = os.path.realpath(parent)
        if parent != self.directory and not parent.startswith(self.directory + "/"):
            return None
        return os.path.join(parent[len(self.directory) :] or "/", os.path.basename(absolute))

    def _walk(self, path: str) -> str:
        """PATH without symlinks, as seen from inside, "" for the root itself. Directories are remembered."""
        if "\0" in path:  # no file has such a name; lstat would raise ValueError
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        directory, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            return self._follow(_parts(path))
        parent = self._directory(directory)
        place = f"{parent}/{name}"
        mode = os.lstat(self.outside(place)).st_mode
        if stat.S_ISLNK(mode):
            return self._follow(_parts(path))
        if path.endswith("/") and not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return place

    def _directory(self, path: str) -> str:
        known = self._directories.get(path)
        if known is None:
            try:
                known = self._follow(_parts(path))
                if not stat.S_ISDIR(os.lstat(self.outside(known)).st_mode):
                    known = errno.ENOTDIR
            except OSError as error:
                known = error.errno or errno.EIO
            self._directories[path] = known
        if isinstance(known, int):
            raise OSError(known, os.strerror(known), path)
        return known

    def _follow(self, parts: list[str]) -> str:
        pending = parts[::-1]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == ".":
                continue
            if part == "..":
                if done:
                    done.pop()
                continue
            place = self.outside("/".join(("", *done, part)))
            mode = os.lstat(place).st_mode
            if stat.S_ISLNK(mode):
                links += 1
                if links > _MAX_SYMLINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), place)
                target = os.readlink(place)
                if target.startswith("/"):
                    done.clear()
                pending.extend(reversed(_parts(target)))
                continue
            if pending and not stat.S_ISDIR(mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place)
            done.append(part)
        return "".join("/" + part for part in done)


def open_below(directory: str, location: str, flags: int) -> int:
    """A descriptor of the file at LOCATION, which lies below DIRECTORY; no symlink on the way is followed."""
    *folders, name = location[len(directory) :].lstrip("/").split("/")
    folder = os.open(directory, _FOLDER)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name or ".", flags | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def _parts(path: str) -> list[str]:
    """The components of PATH; a slash at its end asks for a directory, as `.` does."""
    parts = [part for part in path.split("/") if part]
    return [*parts, "."] if path.endswith("/") else parts

"""Bounded reading at an offset of one open regular file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from linkscope.errors import FileUnreadable, MalformedElf

_HEAD = 4096
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_KINDS = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a FIFO, not a regular file"),
    (stat.S_ISCHR, "is a character device, not a regular file"),
    (stat.S_ISBLK, "is a block device, not a regular file"),
    (stat.S_ISSOCK, "is a socket, not a regular file"),
)


class Reader:
    """One open file, which is a regular one: FileUnreadable for any other, whatever stood at its path before.

    `read` never returns fewer bytes than asked for: it raises instead.

    path: the name for messages. identity: (device, inode). The first page is read at once and kept, since
    nearly everything of the loader's view of a small file lies there. memory: what was read and is wanted again while
    the file is open, by name.
    """

    __slots__ = ("_descriptor", "_head", "identity", "memory", "mode", "path", "size")

    def __init__(self, descriptor: int, path: str) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(path, status.st_mode)
        self._descriptor = descriptor
        self.memory: dict[str, object] = {}
        self.path = path
        self.size = status.st_size
        self.mode = status.st_mode
        self.identity = (status.st_dev, status.st_ino)
        try:
            self._head = os.pread(descriptor, _HEAD, 0)
        except OSError as error:
            raise FileUnreadable.from_os_error(path, error) from error

    @property
    def head(self) -> bytes:
        """The first 4096 bytes, or fewer where the file is shorter."""
        return self._head

    def read(self, offset: int, size: int) -> bytes:
        """SIZE bytes at OFFSET; MalformedElf where the file ends before that."""
        end = offset + size
        if 0 <= offset and end <= len(self._head):
            return self._head[offset:end]
        if offset < 0 or size < 0 or end > self.size:
            raise MalformedElf(self.path, f"truncated: {size} bytes wanted, the file has {self.size}", offset)
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise FileUnreadable.from_os_error(self.path, error) from error
        if len(data) != size:
            raise MalformedElf(self.path, "the file shrank while it was read", offset)
        return data

    def close(self) -> None:
        """Give the descriptor back; reading beyond the first page is no longer possible."""
        os.close(self._descriptor)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _not_regular(path: str, mode: int) -> FileUnreadable:
    return FileUnreadable(path, next((says for test, says in _KINDS if test(mode)), "is not a regular file"))


def open_reader(location: str, path: str | None = None, how: Callable[[str, int], int] = os.open) -> Reader:
    """The regular file at LOCATION, open; PATH is its name in messages. how: what opens it (`Root.open`).

    Anything that is not a regular file is refused before it is opened: opening a FIFO could block, and opening
    a device can do things. Raises FileUnreadable.
    """
    name = location if path is None else path
    try:
        mode = os.stat(location).st_mode
        if not stat.S_ISREG(mode):
            raise _not_regular(name, mode)
        descriptor = how(location, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise FileUnreadable.from_os_error(name, error) from error
        raise FileUnreadable(name, str(error)) from error  # a NUL byte in the name
    try:
        return Reader(descriptor, name)
    except BaseException:
        os.close(descriptor)
        raise

"""What a program reads from its standard input: nothing, or a file, from its start in each run."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from linkscope.errors import FileUnreadable

_STANDARD = 3  # descriptors: what is above them is in nobody's way
_ONCE = "cannot be read from its start again for every run: it is a pipe, a socket or a terminal"


def opened(path: str) -> int:
    """A descriptor of what lies at PATH, at its start, for one run: two runs with one would share how far it is read.

    Raises FileUnreadable where it is absent, a folder, not permitted, or can be read only once: pipes, sockets and
    terminals have no place to go back to (lseek(2), ESPIPE).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for its writer
    except OSError as error:
        raise FileUnreadable.from_os_error(path, error) from error
    try:
        _check(path, descriptor)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_RDONLY)  # as a shell would give it
        return aside(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _check(path: str, descriptor: int) -> None:
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise FileUnreadable.from_os_error(path, OSError(errno.EISDIR, ""))
    try:
        os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError as error:
        raise FileUnreadable(path, _ONCE) from error


def aside(descriptor: int) -> int:
    """What DESCRIPTOR stands for under a number above the standard ones; that itself is closed if it was one of these.

    A process that was started without them gets their numbers for whatever it opens first, and whoever puts one of
    several of these into its place (dup2(2)) takes the place of another.
    """
    if descriptor >= _STANDARD:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD)
    os.close(descriptor)
    return moved


@contextmanager
def fed(path: str | None, null: int) -> Iterator[int]:
    """The standard input of one run: what lies at PATH, opened anew; NULL where there is no PATH."""
    if path is None:
        yield null
        return
    descriptor = opened(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

"""Where the standard output of a program goes while it is measured: nowhere, through a pipe, or into a file.

Some programs do less work for /dev/null, which they recognise (GNU grep and tar), and others write in larger pieces
where nobody reads at once. What is written to a pipe is read here and thrown away; a file has no name, and is gone when
it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile

import msgspec

from linkscope.errors import CannotRun
from linkscope.measure.feeding import aside
from linkscope.model.compare import Output

_PIECE = 1 << 16  # bytes: as many as a pipe holds (pipe(7))


class Sink(msgspec.Struct, frozen=True):
    """given: what becomes a program's standard output. read: the other end, if it is a pipe; who runs it empties it."""

    given: int
    read: int | None = None

    def empty(self) -> bool:
        """Throw away what is there, and do not wait; whether there was anything."""
        if self.read is None:
            return False
        with suppress(BlockingIOError):
            return bool(os.read(self.read, _PIECE))
        return False


@contextmanager
def sink(output: Output, null: int) -> Iterator[Sink]:
    """What is written to until the end of the block; NULL is a descriptor of /dev/null. Raises CannotRun."""
    if output == "null":
        yield Sink(null)
        return
    given, read = _pipe() if output == "pipe" else (_file(), None)
    try:
        yield Sink(given, read)
    finally:
        os.close(given)
        if read is not None:
            os.close(read)


def _pipe() -> tuple[int, int]:
    """Both ends, the one for the program first; reading does not wait."""
    read, given = map(aside, os.pipe())
    os.set_blocking(read, False)
    return given, read


def _file() -> int:
    try:
        with TemporaryFile(buffering=0) as file:
            return aside(os.dup(file.fileno()))
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise CannotRun("the output of programs", f"cannot be kept in a file ({why})") from error

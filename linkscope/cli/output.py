"""Standard output and standard error: what each kind of reader is given, and what happens when writing fails."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from linkscope.errors import FileUnreadable, LinkScopeError
from linkscope.report.escape import escape

if TYPE_CHECKING:
    from linkscope.report.page import Page


# What Python sets LC_CTYPE to (PEP 538).
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


class OutputFailed(LinkScopeError):
    """Standard output is closed, or takes no more (a full disk). A reader that went away is a BrokenPipeError."""


@contextmanager
def writing() -> Iterator[None]:
    """Turns what goes wrong while standard output is written into OutputFailed; BrokenPipeError stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed("standard output", FileUnreadable.from_os_error("", error).reason) from error


class Output:
    """Standard output as bytes, with a buffer of its own whatever PYTHONUNBUFFERED says.

    To a terminal each piece goes at once; elsewhere when the buffer is full, at the end, and before an error line.
    """

    def __init__(self) -> None:
        with writing():
            # Python has no stream where the descriptor was closed before the start.
            if sys.stdout is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._stream = os.fdopen(sys.stdout.fileno(), "wb", closefd=False)
        self._encoding = sys.stdout.encoding
        self.terminal = self._stream.isatty()

    def page(self) -> Page:
        """The page to lay text out for: as wide as the terminal (or COLUMNS says), endless elsewhere."""
        from linkscope.report.page import LINE_ART, Page

        try:
            LINE_ART.encode("ascii" if _plain_locale() else self._encoding)
        except UnicodeEncodeError:
            return Page(width=self._width(), colour=self._colour(), unicode=False)
        return Page(width=self._width(), colour=self._colour())

    def _width(self) -> int | None:
        said = os.environ.get("COLUMNS", "")
        if said.isdecimal() and int(said):
            return int(said)
        return os.get_terminal_size(self._stream.fileno()).columns or None if self.terminal else None

    def _colour(self) -> bool:
        """As https://no-color.org and https://force-color.org describe the two variables; the first one wins."""
        if os.environ.get("NO_COLOR"):
            return False
        return bool(os.environ.get("FORCE_COLOR")) or (self.terminal and os.environ.get("TERM", "dumb") != "dumb")

    def write(self, piece: bytes | str) -> None:
        """Sends PIECE; characters that the encoding of standard output lacks appear as escapes."""
        with writing():
            self._stream.write(piece if isinstance(piece, bytes) else piece.encode(self._encoding, "backslashreplace"))
        if self.terminal:
            self.flush()

    def finish(self, piece: bytes | str) -> None:
        """Sends PIECE, and all before it, for good."""
        self.write(piece)
        self.flush()

    def flush(self) -> None:
        """Sends what the buffer still holds."""
        with writing():
            self._stream.flush()


def _plain_locale() -> bool:
    """Whether the user's locale is C or POSIX by name, whose characters are ASCII; none set says nothing of a terminal.

    Python hides it (PEP 538, 540): it writes UTF-8 then, and sets LC_CTYPE to a C locale with UTF-8 unless LC_ALL is
    set. Its UTF-8 mode is what tells that value from the same one set by the user.
    """
    named = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE")
    if not named or (not os.environ.get("LC_ALL") and sys.flags.utf8_mode and named in _COERCED):
        named = os.environ.get("LANG")
    return named in ("C", "POSIX")


def complain(message: str) -> None:
    """One line on standard error, safe for a terminal."""
    tell(f"linkscope: {escape(message)}\n")


def tell(lines: str) -> None:
    """LINES on standard error; nothing where it is closed or full, so that the exit code is what it would have been.

    Raises BrokenPipeError where its reader went away.
    """
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(lines)
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        return


def discard_output() -> None:
    """What is still buffered goes nowhere, so that nothing complains of the closed pipe at the exit.

    Source: the Python documentation's note on SIGPIPE (library/signal).
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())

"""Names of files out of a list that another program wrote."""

from __future__ import annotations

import errno
import os
import sys

import click

from linkscope.errors import FileUnreadable


def not_empty(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """VALUE of an option that names something. An empty one, as of a variable that is not set, is no choice to leave
    the option out. Raises click.BadParameter, which the caller tells in one line.
    """
    if value == "":
        raise click.BadParameter("the name is empty.", param=parameter)
    return value


def listed_in(source: str, separator: bytes) -> list[str]:
    """The names in the file SOURCE (`-`: standard input), one before each SEPARATOR; an empty one is passed over.

    FileUnreadable where SOURCE cannot be read, or is a standard input that is closed.
    """
    try:
        if source == "-":
            # Python has no stream where the descriptor was closed before the start.
            if sys.stdin is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            content = sys.stdin.buffer.read()
        else:
            with open(source, "rb") as file:
                content = file.read()
    except OSError as error:
        raise FileUnreadable.from_os_error("standard input" if source == "-" else source, error) from error
    return [os.fsdecode(name) for name in content.split(separator) if name]

"""What a command must not write over, however it was asked: the files that it reads, and what is no report."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from linkscope.elf.reader import open_reader
from linkscope.errors import FileUnreadable, LinkScopeError

_ELF = b"\x7fELF"


class WouldBeLost(LinkScopeError):
    """A file to write is there already, and is one that nobody means to lose."""


def refuse_losses(written: Iterable[str], read: Iterable[str], root: str = "/") -> None:
    """Raises WouldBeLost where one of the files to be WRITTEN is one of those that are READ, an ELF file or a package.

    Files are compared as such, whatever they are called. root: where the absolute ones of READ are meant.
    """
    present = {mark: name for name in written if (mark := _mark(name)) is not None}
    if not present:
        return
    for name in read:
        mark = _mark(name) or (_mark(os.path.join(root, name.lstrip("/"))) if root != "/" else None)
        if mark in present:
            raise WouldBeLost(present[mark], "is not written over: this command reads it")
    for name in present.values():
        what = _kind(name)
        if what is not None:
            raise WouldBeLost(name, f"is not written over: it is {what}")


def _mark(name: str) -> tuple[int, int] | None:
    """What is the same for every name of one file; None where there is no regular file."""
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _kind(name: str) -> str | None:
    from linkscope.packages.formats import format_of  # only where a file is there already

    try:
        with open_reader(name) as reader:
            if reader.head.startswith(_ELF):
                return "an ELF file"
            return "a package" if format_of(reader) is not None else None
    except FileUnreadable:  # whether it can be written is another question
        return None

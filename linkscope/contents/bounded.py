"""What a database of packages may cost: it may be of a foreign root, damaged, or made to be read for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError
from linkscope.packages.limits import Broken, reason_of

if TYPE_CHECKING:
    from linkscope.loader.root import Root

MOST_PACKAGES = 100_000  # all of Debian 12 are some 64,000
MOST_FILES = 4_000_000  # of all packages together; a full desktop has some 500,000
MOST_NAMES = 384 << 20  # characters of all of their paths together
_MOST_LINES = 1_500_000  # of one package; apk has three for a file


class Allowance:
    """What may still be taken from one database; each package is to be taken from it."""

    def __init__(self) -> None:
        self._packages = MOST_PACKAGES
        self._files = MOST_FILES
        self._names = MOST_NAMES

    def take(self, files: Sequence[str] = ()) -> None:
        """One more package, which has FILES. Raises Broken where that is too much."""
        self._packages -= 1
        self._files -= len(files)
        self._names -= sum(map(len, files))
        if self._packages < 0:
            raise Broken(f"has more than {MOST_PACKAGES} packages; the rest is not looked at")
        if self._files < 0:
            raise Broken(f"has more than {MOST_FILES} files; the rest is not looked at")
        if self._names < 0:
            raise Broken(f"has names of more than {MOST_NAMES} characters together; the rest is not looked at")


def opened(root: Root, path: str, most: int) -> Reader | None:
    """The regular file at PATH of the root, open, of no more than MOST bytes; None where there is none.

    Raises Broken where there is something else, or what may not be read.
    """
    location = located(root, path)
    if location is None:
        return None
    try:
        reader = open_reader(location, path, root.open)
    except LinkScopeError as error:
        raise Broken(error.reason) from error
    if reader.size > most:
        reader.close()
        raise Broken(f"has more than {most} bytes")
    return reader


def located(root: Root, path: str) -> str | None:
    """Where a file of the root lies on this machine; None where there is none. Raises Broken where one cannot tell."""
    try:
        location = root.locate(path)
        os.stat(location)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise Broken(os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)) from error
    return location


def content(root: Root, path: str, most: int) -> bytes | None:
    """The bytes of the regular file at PATH of the root; None where there is none. Raises Broken as `opened` does."""
    reader = opened(root, path, most)
    if reader is None:
        return None
    try:
        with reader:
            return reader.read(0, reader.size)
    except (LinkScopeError, OSError) as error:
        raise Broken(reason_of(error)) from error


def paragraphs(text: str) -> Iterator[str]:
    """What stands between empty lines. Raises Broken where one has more lines than any package could have."""
    at = 0
    while at < len(text):
        end = text.find("\n\n", at)
        end = len(text) if end < 0 else end
        if text.count("\n", at, end) > _MOST_LINES:
            raise Broken(f"has a package of more than {_MOST_LINES} lines")
        if end > at:
            yield text[at:end].lstrip("\n")
        at = end + 2


def names(root: Root, path: str, most: int) -> list[str]:
    """The names in a folder of the root, sorted; none where it is not. Raises Broken where it has more than MOST."""
    try:
        folder = root.open(root.locate(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Broken(os.strerror(error.errno or 0).lower()) from error
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in islice(entries, most + 1)]
    except OSError as error:
        raise Broken(os.strerror(error.errno or 0).lower()) from error
    finally:
        os.close(folder)
    if len(found) > most:
        raise Broken(f"has more than {most} files")
    return sorted(found)

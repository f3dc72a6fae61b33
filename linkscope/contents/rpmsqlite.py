"""The headers of the packages in rpm's SQLite database, which is read as a copy in a folder of our own.

SQLite opens by name, and follows symlinks in it: of a foreign root it might open another file than was looked up, or a
FIFO, for ever. What it is told by the file is not believed: a view, a virtual table or a generated column called
Packages computes what it likes (SQLite, "Defense Against The Dark Arts").
Source: rpm lib/backend/sqlite.c: the table Packages, whose column `blob` is the header.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkscope.contents.bounded import opened
from linkscope.errors import LinkScopeError, NoPrivateFolder
from linkscope.packages.limits import Broken, reason_of
from linkscope.packages.unpacked import private_folder

if TYPE_CHECKING:
    import sqlite3

    from linkscope.loader.root import Root

_LARGEST = 1 << 29  # bytes of a database that is copied
_MOST_HEADER = 33 << 20  # bytes of one header: its table and its data (packages/rpmheader.py)
_MOST_SCHEMA = 1 << 16  # bytes of one statement by which a table was made; rpm's have some 100
_PIECE = 1 << 20
# Instructions of SQLite's virtual machine: a row takes some ten. And after how many they are counted.
_STEPS_OF_SCHEMA, _STEPS, _COUNTED = 100_000, 10_000_000, 1000


def headers(root: Root, path: str) -> Iterator[bytes]:
    """The header of each package. Raises Broken, also while they are read."""
    import sqlite3

    try:
        with private_folder() as folder:
            place = f"{folder}/rpmdb.sqlite"
            size = _copied(root, path, place) + _copied(root, f"{path}-wal", f"{place}-wal")
            with contextlib.closing(sqlite3.connect(place)) as connection:
                yield from _rows(connection, size)
    except NoPrivateFolder as error:
        raise Broken("no folder for a copy of it can be made") from error
    except UnicodeDecodeError as error:  # CPython cannot decode what SQLite says of a name that is damaged
        raise Broken("is damaged: names that are no text") from error
    except (LinkScopeError, OSError, sqlite3.Error, ValueError, OverflowError, MemoryError) as error:
        raise Broken(reason_of(error)) from error


def _copied(root: Root, path: str, place: str) -> int:
    """The bytes of the file at PATH, all of which stand at PLACE then; 0 where there is none.

    What a running rpm has written stands in `-wal` until it is taken over (SQLite, "Write-Ahead Logging").
    """
    reader = opened(root, path, _LARGEST)
    if reader is None:
        return 0
    with reader, open(place, "xb") as file:
        file.writelines(reader.read(at, min(_PIECE, reader.size - at)) for at in range(0, reader.size, _PIECE))
        return reader.size


def _rows(connection: sqlite3.Connection, size: int) -> Iterator[bytes]:
    """The blobs of a database of SIZE bytes, which all of them together cannot have more of."""
    import sqlite3

    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_HEADER)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _MOST_SCHEMA)
    steps = _Steps(_STEPS_OF_SCHEMA)
    connection.set_progress_handler(steps.taken, _COUNTED)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA query_only = ON")
    # Of a view and of a virtual table the root page is 0 (SQLite, "The Schema Table").
    found = connection.execute("SELECT type, rootpage FROM sqlite_master WHERE name = 'Packages'").fetchmany(2)
    if len(found) != 1 or found[0][0] != "table" or not found[0][1]:
        raise Broken("is damaged: no table of packages")
    if any(hidden for *_, hidden in connection.execute("PRAGMA table_xinfo(Packages)")):
        raise Broken("is damaged: a table of packages that are computed")
    steps.left = _STEPS
    for (blob,) in connection.execute("SELECT blob FROM Packages NOT INDEXED"):
        if not isinstance(blob, bytes):
            raise Broken("is damaged: a package that is no header")
        size -= len(blob)
        if size < 0:
            raise Broken("is damaged: more packages than it has bytes for")
        yield blob


class _Steps:
    """The instructions that SQLite may still take."""

    def __init__(self, left: int) -> None:
        self.left = left

    def taken(self) -> bool:
        """Called after so many; whether SQLite shall give up."""
        self.left -= _COUNTED
        return self.left < 0

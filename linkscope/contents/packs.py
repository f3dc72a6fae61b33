"""The store of signatures: one SQLite file that holds the fingerprints of archives, and what is known of these.

The pack that LinkScope brings along and the user's own store are of the same form. A store is read whole in one
transaction, architecture by architecture, and written in one: after an interrupted change it is as it was before.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import msgspec

from linkscope.contents.blocks import COLUMNS, Block, BlockDamaged, block
from linkscope.contents.fingerprints import Archive
from linkscope.contents.known import Codes, Place
from linkscope.errors import FileUnreadable, StoreUnusable

if TYPE_CHECKING:
    import sqlite3

SHIPPED = os.path.join(os.path.dirname(__file__), "shipped.pack")
VARIABLE = "LINKSCOPE_STORE"
_NAME = os.path.join("linkscope", "signatures.db")
_SCHEMA = 1
_APPLICATION = 0x4C535347  # `LSSG`, by which file(1) and others can tell the file (SQLite, PRAGMA application_id)
_WAIT = 20.0  # seconds for which another process may write; it takes a second or so
_LEVEL = 9
_TABLES = """
CREATE TABLE blocks (id INTEGER PRIMARY KEY, architecture TEXT NOT NULL);
CREATE TABLE columns (
    block INTEGER NOT NULL REFERENCES blocks (id), name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (block, name)
) WITHOUT ROWID;
CREATE TABLE archives (
    id INTEGER PRIMARY KEY, block INTEGER NOT NULL REFERENCES blocks (id), place INTEGER NOT NULL,
    identity BLOB NOT NULL UNIQUE, origin TEXT NOT NULL, recognised INTEGER NOT NULL, name TEXT NOT NULL,
    architecture TEXT NOT NULL, members INTEGER NOT NULL, sections INTEGER NOT NULL, size INTEGER NOT NULL,
    bitcode INTEGER NOT NULL, library TEXT, version TEXT, package TEXT, package_version TEXT, distribution TEXT
);
"""
# What of an Archive is a column of its table, and its signatures are not.
_FIELDS = tuple(name for name in Archive.__struct_fields__ if name != "signatures")
_IDENTITY = 16  # bytes


class Filed(msgspec.Struct, frozen=True):
    """An archive of which a store has the fingerprints.

    archive: what is known of it, without its signatures. number: the store's own. identity: 32 hexadecimal digits, the
    same in every store. origin: the file that it was learnt from. recognised: how many signatures it has.
    """

    number: int
    identity: str
    origin: str
    recognised: int
    archive: Archive


class Learnt(msgspec.Struct, frozen=True):
    """An archive with its signatures, and the file that it was learnt from."""

    origin: str
    archive: Archive

    @property
    def identity(self) -> bytes:
        """The same for the same code under the same name, from the same package."""
        from hashlib import blake2b

        archive = self.archive
        said = (archive.name, archive.architecture, archive.package, archive.package_version, archive.distribution)
        digest = blake2b(repr(said).encode("utf-8", "surrogateescape"), digest_size=_IDENTITY)
        for one in archive.signatures:
            digest.update(one.digest + f"{one.member}\0{one.section}\0".encode("utf-8", "surrogateescape"))
        return digest.digest()


def default_store(environment: Mapping[str, str]) -> str:
    """The path of the user's own store: LINKSCOPE_STORE, else a file below XDG_DATA_HOME (XDG Base Directory)."""
    named = environment.get(VARIABLE)
    if named:
        return named
    data = environment.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):  # the specification: a relative path is to be ignored
        data = os.path.join(environment.get("HOME") or os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, _NAME)


class _Loaded(msgspec.Struct, frozen=True):
    """All fingerprints of one architecture. starts: the number of the first code of each block."""

    blocks: list[Block]
    starts: list[int]
    codes: Codes
    archives: dict[tuple[int, int], int]
    versions: dict[str, set[str | None]]


class Store:
    """A store at a path, opened whenever it is asked. Everything raises StoreUnusable.

    fixed: nobody writes to it, as to the one that LinkScope brings along. One that is not there is empty.
    """

    def __init__(self, path: str, *, fixed: bool = False) -> None:
        self.path = path
        self.fixed = fixed
        self._loaded: dict[str, _Loaded | None] = {}
        self._archives: dict[int, Archive] = {}

    def codes(self, architecture: str) -> Codes | None:
        """All distinct code of `elf.machine`; None where there is none."""
        loaded = self._of(architecture)
        return None if loaded is None else loaded.codes

    def proofs(self, architecture: str, codes: Sequence[int]) -> Sequence[tuple[bytes, bytes]]:
        """`digest` and `changeable` of each of the codes, in their order."""
        loaded = self._of(architecture)
        if loaded is None:
            return []
        with self._said():
            return [one.proof(code) for one, code in map(self._placed(loaded), codes)]

    def places(self, architecture: str, codes: Sequence[int]) -> Sequence[Place]:
        """Every place in an archive of that architecture where one of the codes stands."""
        loaded = self._of(architecture)
        if loaded is None:
            return []
        found: list[Place] = []
        with self._said():
            for number, (one, start) in enumerate(zip(loaded.blocks, loaded.starts, strict=True)):
                end = start + len(one.codes.lengths)
                inside = (code - start for code in codes if start <= code < end)
                for code, place, member, section, shared in one.places(inside):
                    archive = loaded.archives.get((number, place))
                    if archive is not None:
                        found.append(Place(code + start, archive, member, section, shared))
        return found

    def archives(self, numbers: Sequence[int]) -> Sequence[Archive]:
        """What the store says of archives that `places` named, in their order, without their signatures."""
        return [self._archives[number] for number in numbers]

    def versions(self, architecture: str) -> Mapping[str, AbstractSet[str | None]]:
        """The versions of each library for that architecture, by `Archive.called`; read with the fingerprints."""
        loaded = self._of(architecture)
        return {} if loaded is None else loaded.versions

    def filed(self) -> list[Filed]:
        """Every archive, in the order of library, version, package, distribution, architecture and name."""
        with self._said(), self._connected() as connection:
            return _filed(connection) if connection else []

    def learnt(self, wanted: Iterable[str] | None = None) -> Iterator[Learnt]:
        """The archives with their signatures, those with the identities WANTED or all of them."""
        chosen = None if wanted is None else set(wanted)
        with self._said(), self._connected() as connection:
            if connection:
                for number in [row[0] for row in connection.execute("SELECT id FROM blocks ORDER BY id")]:
                    for identity, one in _of_block(connection, number):
                        if chosen is None or identity in chosen:
                            yield one

    def add(self, learnt: Iterable[Learnt], level: int = _LEVEL) -> tuple[int, int]:
        """How many archives were added, and how many were there already. All of them are there afterwards, or none."""
        new = {one.identity: one for one in learnt}
        with self._said(), self._changing() as connection:
            known = {row[0] for row in connection.execute("SELECT identity FROM archives")}
            added = [one for identity, one in new.items() if identity not in known]
            for architecture in sorted({one.archive.architecture for one in added}):
                _insert(connection, [one for one in added if one.archive.architecture == architecture], level)
        return len(added), len(new) - len(added)

    def remove(self, identities: Iterable[str]) -> int:
        """How many archives were removed, with all of their code that no other archive has."""
        unwanted = set(identities)
        removed = 0
        with self._said(), self._changing() as connection:
            for (number,) in connection.execute("SELECT id FROM blocks").fetchall():
                there = list(_of_block(connection, number))
                kept = [one for identity, one in there if identity not in unwanted]
                if len(kept) < len(there):
                    removed += len(there) - len(kept)
                    for table, column in (("archives", "block"), ("columns", "block"), ("blocks", "id")):
                        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))
                    _insert(connection, kept, _LEVEL)
        return removed

    def _of(self, architecture: str) -> _Loaded | None:
        if architecture not in self._loaded:
            with self._said(), self._connected() as connection:
                self._loaded[architecture] = self._load(connection, architecture) if connection else None
        return self._loaded[architecture]

    def _load(self, connection: sqlite3.Connection, architecture: str) -> _Loaded | None:
        numbers = [
            row[0] for row in connection.execute("SELECT id FROM blocks WHERE architecture = ?", (architecture,))
        ]
        if not numbers:
            return None
        blocks = [_block(connection, number) for number in numbers]
        order = {number: at for at, number in enumerate(numbers)}
        archives: dict[tuple[int, int], int] = {}
        versions: dict[str, set[str | None]] = {}
        rows = f"SELECT block, place, id, {', '.join(_FIELDS)} FROM archives WHERE architecture = ?"
        for of, place, number, *fields in connection.execute(rows, (architecture,)):
            if of not in order:
                raise BlockDamaged
            archives[order[of], place] = number
            archive = self._archives[number] = _archive(fields)
            versions.setdefault(archive.called, set()).add(archive.version)
        starts = [0]
        for one in blocks:
            starts.append(starts[-1] + len(one.codes.lengths))
        return _Loaded(blocks, starts[:-1], _joined([one.codes for one in blocks]), archives, versions)

    def _placed(self, loaded: _Loaded) -> Any:
        from bisect import bisect_right

        def placed(code: int) -> tuple[Block, int]:
            """The block that has CODE, and the code's number in that."""
            at = bisect_right(loaded.starts, code) - 1
            return loaded.blocks[at], code - loaded.starts[at]

        return placed

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection | None]:
        """The store for reading, in one transaction; None where it is not there.

        It is opened as one that may be written to where that is allowed, so that SQLite can take back what an
        interrupted change has left (SQLite, Hot Rollback Journals).
        """
        import sqlite3

        if not os.path.lexists(self.path):
            yield None
            return
        mode = "mode=ro&immutable=1" if self.fixed else "mode=rw"
        with contextlib.closing(sqlite3.connect(_uri(self.path, mode), uri=True, timeout=_WAIT)) as connection:
            connection.isolation_level = None
            connection.execute("BEGIN")
            if _is_empty(connection):  # as a first change that was interrupted leaves it
                yield None
                return
            self._refuse_strangers(connection)
            yield connection

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """The store for writing, made where it is not there; what is done within is done whole, or not at all."""
        import sqlite3

        if self.fixed:
            raise StoreUnusable(self.path, "belongs to LinkScope itself and is not changed")
        folder = os.path.dirname(os.path.abspath(self.path))
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
        except OSError as error:
            raise StoreUnusable(folder, f"cannot be made: {FileUnreadable.from_os_error('', error).reason}") from error
        with contextlib.closing(sqlite3.connect(_uri(self.path, "mode=rwc"), uri=True, timeout=_WAIT)) as connection:
            connection.isolation_level = None
            connection.execute("BEGIN IMMEDIATE")
            if _is_empty(connection):
                _make(connection)
            self._refuse_strangers(connection)
            yield connection
            connection.execute("COMMIT")
        self._loaded.clear()

    def _refuse_strangers(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise StoreUnusable(self.path, "is a database, but none of signatures; name another file with --store")
        if schema != _SCHEMA:
            raise StoreUnusable(
                self.path,
                f"was made by another version of LinkScope (its form is {schema}, here it is {_SCHEMA}); move it "
                "away, and fill a new one with `linkscope sigs add` or `linkscope sigs import`",
            )

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """What goes wrong within is said in one line, with what can be done."""
        import sqlite3

        again = "move it away, and fill a new one with `linkscope sigs add` or `linkscope sigs import`"
        try:
            yield
        except BlockDamaged as error:
            raise StoreUnusable(self.path, f"is damaged (its fingerprints contradict themselves); {again}") from error
        except sqlite3.OperationalError as error:
            raise StoreUnusable(self.path, self._reason(error)) from error
        except sqlite3.DatabaseError as error:
            raise StoreUnusable(self.path, f"is no store of signatures, or damaged ({error}); {again}") from error

    def _reason(self, error: sqlite3.OperationalError) -> str:
        """Why SQLite could not do its work."""
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return "is in use: another process writes to it; try again later"
        if name.startswith("SQLITE_FULL"):
            return f"cannot be written: {os.strerror(errno.ENOSPC).lower()}; it is as it was before"
        if name.startswith("SQLITE_READONLY"):
            return "must not be written by this user; name another file with --store"
        if name.startswith("SQLITE_CANTOPEN") and os.path.isdir(self.path):
            return os.strerror(errno.EISDIR).lower()
        return f"cannot be used: {error}"


def _uri(path: str, mode: str) -> str:
    from urllib.parse import quote

    return f"file:{quote(os.fsencode(os.path.abspath(path)))}?{mode}"


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether there is nothing at all in it, not even a table."""
    return not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()


def _make(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {_SCHEMA}")


def _insert(connection: sqlite3.Connection, learnt: Sequence[Learnt], level: int) -> None:
    """File archives of one architecture as a block of their own."""
    if not learnt:
        return
    architecture = learnt[0].archive.architecture
    number = connection.execute("INSERT INTO blocks (architecture) VALUES (?)", (architecture,)).lastrowid
    data = block([one.archive for one in learnt], level)
    connection.executemany("INSERT INTO columns VALUES (?, ?, ?)", [(number, name, data[name]) for name in COLUMNS])
    names = ("block", "place", "identity", "origin", "recognised", *_FIELDS)
    statement = f"INSERT INTO archives ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    for place, one in enumerate(learnt):
        fields = [_storable(getattr(one.archive, name)) for name in _FIELDS]
        recognised = len(one.archive.signatures)
        connection.execute(statement, (number, place, one.identity, _storable(one.origin), recognised, *fields))


def _storable(value: object) -> object:
    """VALUE as SQLite takes it: text must be UTF-8, in which names of files need not be."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value


def _archive(fields: Sequence[Any]) -> Archive:
    """The archive of a row with _FIELDS, whose types are checked: the row may be damaged."""
    try:
        return msgspec.convert({**dict(zip(_FIELDS, fields, strict=True)), "signatures": ()}, Archive)
    except msgspec.ValidationError as error:
        raise BlockDamaged from error


def _block(connection: sqlite3.Connection, number: int) -> Block:
    return Block(dict(connection.execute("SELECT name, data FROM columns WHERE block = ?", (number,)).fetchall()))


def _of_block(connection: sqlite3.Connection, number: int) -> Iterator[tuple[str, Learnt]]:
    """The archives of a block with their signatures, each with its identity."""
    signatures = _block(connection, number).signatures()
    rows = f"SELECT place, identity, origin, {', '.join(_FIELDS)} FROM archives WHERE block = ? ORDER BY place"
    for place, identity, origin, *fields in connection.execute(rows, (number,)).fetchall():
        archive = msgspec.structs.replace(_archive(fields), signatures=tuple(signatures.get(place, ())))
        yield identity.hex(), Learnt(origin, archive)


def _filed(connection: sqlite3.Connection) -> list[Filed]:
    order = "library, version, package, package_version, distribution, architecture, name, id"
    rows = f"SELECT id, identity, origin, recognised, {', '.join(_FIELDS)} FROM archives ORDER BY {order}"
    return [
        Filed(number, identity.hex(), origin, recognised, _archive(fields))
        for number, identity, origin, recognised, *fields in connection.execute(rows)
    ]


def _joined(codes: Sequence[Codes]) -> Codes:
    """The codes of several blocks behind one another."""
    import numpy as np

    if len(codes) == 1:
        return codes[0]
    return Codes(*(np.concatenate([getattr(one, name) for one in codes]) for name in Codes.__struct_fields__))

"""The packages in rpm's database, in each of the three forms that it has had: a header of a package is a record.

    rpmdb.sqlite   SQLite, since 4.16: see `rpmsqlite`
    Packages.db    ndb, as SUSE has it: slots of 16 bytes from byte 32 on (Slot | number | place, length in units of 16
                   bytes), which lead to BlbS | number | generation | size (4 bytes each), and then the header
    Packages       Berkeley DB, before: a hash whose values are the headers, in pages of their own

Source: rpm lib/backend/ndb/rpmpkg.c, lib/backend/bdb_ro.cc; Berkeley DB src/dbinc/db_page.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from linkscope.contents import rpmsqlite
from linkscope.contents.bounded import Allowance, content, located
from linkscope.packages import rpm
from linkscope.packages.limits import Broken
from linkscope.packages.metadata import Metadata

if TYPE_CHECKING:
    from linkscope.loader.root import Root

_LARGEST = 1 << 29  # bytes of a database that is read into memory
_MOST_HEADER = 33 << 20  # bytes of one header: its table and its data (packages/rpmheader.py)
_UNIT, _FIRST_SLOT, _PAGE = 16, 32, 4096
_SLOT, _BLOB = struct.Struct("<4sIII"), struct.Struct("<4sIII")
_HASH_MAGIC = 0x061561
_HASH, _OLD_HASH, _OFF_PAGE = 13, 2, 3  # types of pages, and of items that lie in others
_PAGE_HEADER = 26


def packages(root: Root, folder: str) -> Iterator[tuple[Metadata, list[str]]] | None:
    """Each package with its files; None where FOLDER has no database. Raises Broken, also while it is read."""
    for name, headers in _FORMS:
        path = f"{folder}/{name}"
        if located(root, path) is not None:
            return _read(headers(root, path))
    return None


def _read(headers: Iterator[bytes]) -> Iterator[tuple[Metadata, list[str]]]:
    allowance = Allowance()
    for header in headers:
        metadata, files = rpm.installed(header)
        allowance.take(files)
        yield metadata, files


def _of_ndb(root: Root, path: str) -> Iterator[bytes]:
    data = _bytes(root, path)
    if data[:4] != b"RpmP" or len(data) < _FIRST_SLOT:
        raise Broken("is no database of packages")
    (pages,) = struct.unpack_from("<I", data, 12)
    end = min(pages * _PAGE, len(data))
    left = len(data)  # many slots may lead to one package
    for magic, _, place, length in _SLOT.iter_unpack(data[_FIRST_SLOT : end - end % _UNIT]):
        if magic != b"Slot":
            raise Broken("is damaged: no slot where one should be")
        at = place * _UNIT
        if not place:  # free
            continue
        if at + _BLOB.size > len(data):
            raise Broken("is truncated")
        begins, _, _, size = _BLOB.unpack_from(data, at)
        if begins != b"BlbS" or size > min(length * _UNIT, _MOST_HEADER) or at + _BLOB.size + size > len(data):
            raise Broken("is damaged: no package where one should be")
        left -= size
        if left < 0:
            raise Broken("is damaged: more packages than it has bytes for")
        yield data[at + _BLOB.size : at + _BLOB.size + size]


def _of_berkeley(root: Root, path: str) -> Iterator[bytes]:
    data = _bytes(root, path)
    order = next((order for order in "<>" if data[12:16] == struct.pack(order + "I", _HASH_MAGIC)), None)
    if order is None:
        raise Broken("is no hash of Berkeley DB")
    (size,) = struct.unpack_from(order + "I", data, 20)
    if not 512 <= size <= 1 << 16 or size & (size - 1):
        raise Broken(f"is damaged: pages of {size} bytes")
    read: set[int] = set()
    for page in range(size, len(data) - size + 1, size):
        (entries,) = struct.unpack_from(order + "H", data, page + 20)
        if data[page + 25] in (_HASH, _OLD_HASH):
            count = min(entries, (size - _PAGE_HEADER) // 2)
            places = struct.unpack_from(f"{order}{count}H", data, page + _PAGE_HEADER)
            for place in places[1::2]:  # keys and values take turns; a small value is the last number that was given
                if place + 12 <= size and data[page + place] == _OFF_PAGE:
                    first, length = struct.unpack_from(order + "II", data, page + place + 4)
                    yield _overflowing(data, order, size, first, length, read)


def _overflowing(data: bytes, order: str, size: int, page: int, length: int, read: set[int]) -> bytes:
    """An item of LENGTH bytes that begins in PAGE, and goes on in others; READ: the pages that were."""
    found = bytearray()
    while page and len(found) < length <= _MOST_HEADER:
        at = page * size
        if at + size > len(data) or page in read:
            break
        read.add(page)
        (following,) = struct.unpack_from(order + "I", data, at + 16)
        (used,) = struct.unpack_from(order + "H", data, at + 22)
        found += data[at + _PAGE_HEADER : at + _PAGE_HEADER + min(used, size - _PAGE_HEADER)]
        page = following
    if len(found) != length:
        raise Broken("is damaged: a package that does not end where it should")
    return bytes(found)


_FORMS: tuple[tuple[str, Callable[[Root, str], Iterator[bytes]]], ...] = (
    ("rpmdb.sqlite", rpmsqlite.headers),
    ("Packages.db", _of_ndb),
    ("Packages", _of_berkeley),
)


def _bytes(root: Root, path: str) -> bytes:
    data = content(root, path, _LARGEST)
    if data is None:
        raise Broken("is gone")
    return data

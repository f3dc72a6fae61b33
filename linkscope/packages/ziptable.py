"""The table of members at the end of a zip archive, which zipfile is given in parts.

zipfile makes an object of some 500 bytes for each of 47 before it can be asked how many there are. So the table is
walked here, where its length is told by its own records, and zipfile reads an archive that ends with a few of them.

    members | table: 46 bytes, name, extra field and comment for each | end (22 bytes) and comment     APPNOTE.TXT, 4.3
    of zip64, before the end: its own end record (56 bytes) | where that is (20 bytes)
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, cast

from linkscope.packages.limits import Broken
from linkscope.packages.streams import Slice

_ROW, _ROW_MAGIC = 46, b"PK\1\2"
_LENGTHS = struct.Struct("<HHH")  # of name, extra field and comment, from byte 28 of a row on
_END = struct.Struct("<4s4H2IH")
_END_MAGIC, _LONGEST_COMMENT = b"PK\5\6", 0xFFFF
_END_64, _END_64_MAGIC = struct.Struct("<4sQ2H2I4Q"), b"PK\6\6"
_PLACE_64, _PLACE_64_MAGIC = struct.Struct("<4sIQI"), b"PK\6\7"
_BEHIND_64 = _END_64.size + _PLACE_64.size
_ROWS, _PART = 512, 1 << 18  # rows, and bytes, of the table that zipfile is given at once
_BLOCK = 1 << 18  # bytes; more than any row has


class Table:
    """Where the table of an archive is. Raises Broken where there is none.

    Found as zipfile does: archives with something before their first member (self-extracting ones) are meant, too.
    """

    def __init__(self, part: Slice) -> None:
        self._part = part
        at = self._end()
        _, _, _, _, _, size, offset, _ = _END.unpack(part.at(at, _END.size))
        place = part.at(at - _PLACE_64.size, _PLACE_64.size) if at >= _BEHIND_64 else b""
        if place.startswith(_PLACE_64_MAGIC):
            end = part.at(at - _BEHIND_64, _END_64.size)
            if end.startswith(_END_64_MAGIC):
                size, offset = _END_64.unpack(end)[-2:]
                at -= _BEHIND_64
        if size > at:
            raise Broken(f"is damaged: a table of members of {size} bytes before byte {at:#x}")
        self._start = at - size
        self._size = size
        self._offset = offset

    def _end(self) -> int:
        """Where the end record is: the last 22 bytes or, if a comment follows, the last of that kind."""
        part = self._part
        last = part.size - _END.size
        if last >= 0:
            tail = part.at(last, _END.size)
            if tail.startswith(_END_MAGIC) and tail.endswith(b"\0\0"):
                return last
            begin = max(0, last - _LONGEST_COMMENT)
            found = part.at(begin, part.size - begin).rfind(_END_MAGIC)
            if 0 <= found <= last - begin:
                return begin + found
        raise Broken("is damaged: no table of members at its end")

    def rows(self) -> Iterator[bytes]:
        """The rows of the table, each whole. Raises Broken."""
        at, end = self._start, self._start + self._size
        while at < end:
            block = self._part.at(at, min(_BLOCK, end - at))
            used = 0
            while used + _ROW <= len(block):
                if not block.startswith(_ROW_MAGIC, used):
                    raise Broken(f"is damaged: no member at byte {at + used:#x}, in its table of members")
                length = _ROW + sum(_LENGTHS.unpack_from(block, used + 28))
                if used + length > len(block):
                    break
                yield block[used : used + length]
                used += length
            if not used:
                raise Broken("is truncated: half a member at the end of its table")
            at += used

    def archives(self) -> Iterator[zipfile.ZipFile]:
        """The archive, with some of its rows at a time. Raises Broken, and what zipfile raises."""
        rows: list[bytes] = []
        size = 0
        for row in self.rows():
            rows.append(row)
            size += len(row)
            if len(rows) >= _ROWS or size >= _PART:
                yield self.archive(rows)
                rows, size = [], 0
        if rows:
            yield self.archive(rows)

    def archive(self, rows: list[bytes]) -> zipfile.ZipFile:
        """The archive as if its table had nothing but these ROWS. Raises what zipfile raises."""
        table = b"".join(rows)
        end = (len(rows), len(rows), len(table), self._offset)
        tail = table + _END_64.pack(_END_64_MAGIC, _END_64.size - 12, 45, 45, 0, 0, *end)
        tail += _PLACE_64.pack(_PLACE_64_MAGIC, 0, self._start + len(table), 1)
        tail += _END.pack(_END_MAGIC, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        return zipfile.ZipFile(cast("IO[bytes]", io.BufferedReader(_Joined(self._part, self._start, tail))))


def name_of(row: bytes) -> bytes:
    """The name of a member, in whatever encoding."""
    length, _, _ = _LENGTHS.unpack_from(row, 28)
    return row[_ROW : _ROW + length]


class _Joined(io.RawIOBase):
    """The first SIZE bytes of a part of a file, and other bytes behind them."""

    def __init__(self, part: Slice, size: int, tail: bytes) -> None:
        super().__init__()
        self._part = part
        self._size = size
        self._tail = tail
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """The new position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size + len(self._tail)}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed's is wider
        """How many bytes were put into BUFFER."""
        if self._at < self._size:
            piece = self._part.at(self._at, min(len(buffer), self._size - self._at))
        else:
            piece = self._tail[self._at - self._size :][: len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

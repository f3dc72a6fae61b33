"""The bytes of an archive: a part of an open file, decompressed, read once from its beginning, in bounded pieces."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from linkscope.elf.reader import Reader
from linkscope.errors import LinkScopeError
from linkscope.packages.limits import Broken, Budget, Overrun, reason_of

_BUFFER = 1 << 16
_FIRST = 4096
_PIECE = 1 << 18
_ZEROS = bytes(1 << 16)
_WINDOW = 1 << 27  # bytes: what zstd itself allows unless asked for more (zstd.h, ZSTD_WINDOWLOG_LIMIT_DEFAULT)
_MEMORY = 1 << 28  # bytes of a decompressor of xz; `xz -9` takes 65 MiB (xz(1))


class Source(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Up to SIZE bytes; none at the end."""
        ...


class Slice(io.RawIOBase):
    """SIZE bytes of an open file from OFFSET on, as a file of its own, or as many as the file has there."""

    def __init__(self, reader: Reader, offset: int = 0, size: int | None = None) -> None:
        super().__init__()
        available = max(0, reader.size - offset)
        self._reader = reader
        self._offset = offset
        self.size = available if size is None else min(size, available)
        self._at = 0

    def buffered(self) -> io.BufferedReader:
        """The same, read in larger pieces."""
        return io.BufferedReader(self, _BUFFER)

    def at(self, offset: int, count: int) -> bytes:
        """COUNT bytes from OFFSET on, fewer at the end; the position stays. Raises FileUnreadable."""
        return self._reader.read(self._offset + offset, max(0, min(count, self.size - offset)))

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """The new position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed's is wider
        """How many bytes were put into BUFFER."""
        count = max(0, min(len(buffer), self.size - self._at))
        if count:
            buffer[:count] = self.at(self._at, count)
            self._at += count
        return count


class Compression(msgspec.Struct, frozen=True):
    """One way to compress. opened: from compressed bytes to plain ones, and the errors that reading those may raise."""

    name: str
    magic: bytes
    opened: Callable[[io.BufferedReader], tuple[Source, tuple[type[Exception], ...]]]


def _gzip(source: io.BufferedReader) -> tuple[Source, tuple[type[Exception], ...]]:
    import gzip

    return gzip.GzipFile(fileobj=source, mode="rb"), (zlib.error,)


def _bzip2(source: io.BufferedReader) -> tuple[Source, tuple[type[Exception], ...]]:
    import bz2

    return bz2.BZ2File(source), ()


def _xz(source: io.BufferedReader) -> tuple[Source, tuple[type[Exception], ...]]:
    import lzma

    return _Lzma(source), (lzma.LZMAError,)


def _zstd(source: io.BufferedReader) -> tuple[Source, tuple[type[Exception], ...]]:
    try:
        import zstandard
    except ImportError as error:
        raise Broken("is compressed by zstd, and the Python package zstandard is not installed") from error
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    return decompressor.stream_reader(source, read_across_frames=True), (zstandard.ZstdError,)


# RFC 1952; bzip2's compress.c; the .xz file format, 2.1.1.1; RFC 8878, 3.1.1; xz's doc/lzma-file-format.txt (no magic:
# properties, then the size of the dictionary, whose low bytes are zero).
COMPRESSIONS = (
    Compression("gzip", b"\x1f\x8b\x08", _gzip),
    Compression("bzip2", b"BZh", _bzip2),
    Compression("xz", b"\xfd7zXZ\0", _xz),
    Compression("zstd", b"\x28\xb5\x2f\xfd", _zstd),
    Compression("lzma", b"\x5d\0\0", _xz),
)


def compression_of(head: bytes) -> Compression | None:
    """How bytes that begin with HEAD are compressed, None where they are not."""
    return next((one for one in COMPRESSIONS if head.startswith(one.magic)), None)


class _Lzma:
    """xz and lzma with a bound on memory, which lzma.LZMAFile has not; streams and padding may follow one another."""

    def __init__(self, source: io.BufferedReader) -> None:
        import lzma

        self._source = source
        self._rest = b""

        def new() -> lzma.LZMADecompressor:
            return lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_MEMORY)

        self._new = new
        self._fault = lzma.LZMAError
        self._decompressor = self._new()

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decompressor.eof:
                self._rest = (self._decompressor.unused_data or self._source.read(_BUFFER)).lstrip(b"\0")
                if not self._rest:
                    self._rest = self._source.read(_BUFFER).lstrip(b"\0")
                if not self._rest:
                    return b""
                self._decompressor = self._new()
            elif self._decompressor.needs_input and not self._rest:
                self._rest = self._source.read(_BUFFER)
                if not self._rest:
                    raise self._fault("the compressed data ends too early")
            data = self._decompressor.decompress(self._rest, size)
            self._rest = b""
            if data:
                return data


class Forward:
    """Bytes that are read once, from the beginning; `position` is where.

    It has what tarfile asks of a file. Going back is refused, for which nothing but a lying size is a reason. So is
    a description of one member, which tarfile would hold in memory, that is larger than the limits allow.
    """

    def __init__(self, source: Source, budget: Budget, errors: tuple[type[Exception], ...] = ()) -> None:
        self._source = source
        self._budget = budget
        self._errors: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, LinkScopeError, *errors)
        self._described = 0
        self.position = 0
        self.last = b""

    def begin_member(self) -> None:
        """What is read from here on describes another member."""
        self._described = 0

    def tell(self) -> int:
        """The position."""
        return self.position

    def read(self, size: int) -> bytes:
        """SIZE bytes of a description, fewer at the end. Raises Broken and Overrun."""
        self._described += max(size, 0)
        if size < 0 or self._described > self._budget.limits.header:
            raise Overrun(f"describes a member in more than {self._budget.limits.header} bytes")
        self.last = self._exactly(size)
        return self.last

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """The position, which is now POSITION or the end. Raises Broken where that lies behind."""
        if whence != os.SEEK_SET or position < self.position:
            raise Broken(f"is damaged: a member's size leads back (at byte {self.position:#x} of what it unpacks to)")
        while self.position < position and self._exactly(min(_PIECE, position - self.position)):
            pass
        return self.position

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next SIZE bytes. Raises Broken where the end comes before that or SIZE is none, and Overrun."""
        _refuse_negative(size)
        wanted = min(size, _FIRST)
        while size:
            piece = self._exactly(wanted)
            yield piece
            if len(piece) < wanted:
                raise Broken(f"is truncated: its last member lacks {size - len(piece)} bytes")
            size -= wanted
            wanted = min(size, _PIECE)

    def made_up(self, size: int) -> Iterator[bytes]:
        """SIZE zeros, which no bytes of the archive stand for. Raises Broken where SIZE is no size, and Overrun."""
        _refuse_negative(size)
        while size:
            piece = _ZEROS[:size]
            self._budget.take(len(piece))
            yield piece
            size -= len(piece)

    def _exactly(self, size: int) -> bytes:
        _refuse_negative(size)
        found: list[bytes] = []
        left = size
        while left:
            try:
                piece = self._source.read(left)
            except self._errors as error:
                raise Broken(f"is damaged: {reason_of(error)} (after {self.position:#x} bytes)") from error
            if not piece:
                break
            found.append(piece)
            left -= len(piece)
            self.position += len(piece)
            self._budget.take(len(piece))
        return found[0] if len(found) == 1 else b"".join(found)


def _refuse_negative(size: int) -> None:
    """Of a reader, -1 bytes are all that there are, before anything is taken from the budget."""
    if size < 0:
        raise Broken(f"claims a size of {size} bytes")


def forward(part: Slice, budget: Budget) -> Forward:
    """The bytes of a part of a file, decompressed where its first bytes say that they are compressed. Raises Broken."""
    buffered = part.buffered()
    compression = compression_of(buffered.peek(6))
    if compression is None:
        return Forward(buffered, budget)
    source, errors = compression.opened(buffered)
    return Forward(source, budget, errors)

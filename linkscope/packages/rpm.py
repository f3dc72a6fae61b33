"""The members of an RPM package: headers of tags (see `rpmheader`), and a compressed cpio archive behind them.

Source: the RPM package format, https://rpm-software-management.github.io/rpm/manual/format_v4.html; cpio(5), New ASCII
Format; rpm lib/cpio.c for the stripped headers of packages with large files. Read here, since rpmfile drops setuid
bits, hard links and stripped headers, and holds what zstd unpacks to in memory.
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Iterator

import msgspec

from linkscope.elf.reader import Reader
from linkscope.packages.limits import Broken, Budget, Limits, Overrun
from linkscope.packages.member import Member
from linkscope.packages.metadata import Metadata
from linkscope.packages.rpmheader import LONGEST, MOST_DATA, MOST_TAGS, Header
from linkscope.packages.streams import Forward, Slice, forward

MAGIC = b"\xed\xab\xee\xdb"
_LEAD = 96
_HEADER_MAGIC = b"\x8e\xad\xe8"
_SIZES, _MODES, _INODES = 1028, 1030, 1096
_LONG_SIZES, _CAPABILITIES = 5008, 5010
_NEW_HEADER = 110
_TRAILER = "TRAILER!!!"
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{8}")
_WAITING = 16 << 20  # bytes of the names of hard links before the file that they are one with
_SPECIAL = {
    stat.S_IFCHR: "is a character device",
    stat.S_IFBLK: "is a block device",
    stat.S_IFIFO: "is a FIFO",
    stat.S_IFSOCK: "is a socket",
}


class _Described(msgspec.Struct, frozen=True):
    """What the header says of a file, for payloads that do not say it themselves. last: its bytes stand with it.

    Of hard links, only the last one in the payload has the bytes (rpm lib/rpmfi.c, rpmfiArchiveHasContent).
    """

    name: str
    mode: int
    size: int
    inode: int
    last: bool


def installed(header: bytes) -> tuple[Metadata, list[str]]:
    """A package of rpm's database, and the paths of its files. Raises Broken.

    header: as the database has it: number of tags, bytes of data, and then both (rpm lib/header.cc, hdrblobInit).
    """
    if len(header) < 8:
        raise Broken("is truncated: no header of a package")
    count, size = struct.unpack_from(">II", header)
    if count > MOST_TAGS or 8 + count * 16 + size > len(header):
        raise Broken(f"is truncated: a header of {count} tags")
    data = 8 + count * 16
    described = Header(header[8:data], header[data : data + size], Limits())
    try:
        return described.metadata(), list(described.names())
    except Overrun as error:
        raise Broken(error.reason) from error


class Rpm:
    """An open package. Raises Broken where its headers contradict the file."""

    def __init__(self, reader: Reader, budget: Budget) -> None:
        self._reader = reader
        self._budget = budget
        _, end = self._header(_LEAD)
        self._main, self._payload = self._header(end + -end % 8)

    def _header(self, offset: int) -> tuple[Header, int]:
        """The header at OFFSET, and where it ends."""
        reader = self._reader
        if offset + 16 > reader.size:
            raise Broken(f"is truncated: no header at byte {offset:#x}")
        magic, count, size = struct.unpack(">3s5xII", reader.read(offset, 16))
        if magic != _HEADER_MAGIC or count > MOST_TAGS or size > MOST_DATA:
            raise Broken(f"is damaged: no header at byte {offset:#x}")
        end = offset + 16 + count * 16 + size
        if end > reader.size:
            raise Broken(f"is truncated: a header of {count} tags at byte {offset:#x}")
        index, data = reader.read(offset + 16, count * 16), reader.read(offset + 16 + count * 16, size)
        return Header(index, data, self._budget.limits), end

    def metadata(self) -> Metadata:
        """What the main header says. Raises Broken and Overrun."""
        return self._main.metadata()

    def members(self) -> Iterator[Member]:
        """The files that the package installs; of hard links, all but the one with the bytes as such, after it.

        Raises Broken and Overrun.
        """
        stream = forward(Slice(self._reader, self._payload), self._budget)
        capabilities = self._main.strings(_CAPABILITIES)
        capable = {_plain(name) for name, text in zip(self._main.names(), capabilities, strict=False) if text}
        waiting = _Waiting()
        for file in self._files(stream):
            start = stream.position
            yield from _members(file, stream, waiting, _plain(file.name) in capable)
            stream.seek(start + file.size)
            stream.seek(stream.position + -stream.position % 4)
            stream.begin_member()
        for name in waiting.left():
            yield Member(name=name, kind="file")  # hard links to a file of no bytes

    def _files(self, stream: Forward) -> Iterator[_Described]:
        described: list[_Described] | None = None
        while True:
            magic = stream.read(6)
            if magic in (b"070701", b"070702"):
                file = _new_ascii(magic + stream.read(_NEW_HEADER - 6), stream)
                if file.name == _TRAILER:
                    return
                yield file
            elif magic == b"07070X":
                number = _hexadecimal(stream.read(8), stream)
                stream.read(2)  # to a multiple of four
                if described is None:
                    described = self._described()
                if number >= len(described):
                    raise Broken(f"is damaged: no file {number} in its header")
                yield described[number]
            else:
                raise Broken(f"is damaged: no header of a member at byte {stream.position - len(magic):#x}")

    def _described(self) -> list[_Described]:
        main = self._main
        sizes = main.numbers(_LONG_SIZES) or main.numbers(_SIZES)
        rows = list(zip(main.names(), main.numbers(_MODES), sizes, main.numbers(_INODES), strict=False))
        last = {inode: number for number, (_, mode, _, inode) in enumerate(rows) if stat.S_ISREG(mode)}
        return [
            _Described(
                name=name,
                mode=mode,
                size=size if stat.S_ISLNK(mode) or last.get(inode) == number else 0,
                inode=inode,
                last=not stat.S_ISREG(mode) or last[inode] == number,
            )
            for number, (name, mode, size, inode) in enumerate(rows)
        ]


def _plain(name: str) -> str:
    return name.removeprefix(".").lstrip("/")


class _Waiting:
    """Names of hard links that have come before the file that they are one with, by its inode."""

    def __init__(self) -> None:
        self._names: dict[int, list[str]] = {}
        self._left = _WAITING

    def add(self, inode: int, name: str) -> None:
        """One more. Raises Overrun where all of them together are too long to be kept."""
        self._left -= len(name)
        if self._left < 0:
            raise Overrun(f"has hard links whose names take more than {_WAITING} bytes; the rest is not looked at")
        self._names.setdefault(inode, []).append(name)

    def taken(self, inode: int) -> list[str]:
        """Those of an inode, which wait no more."""
        names = self._names.pop(inode, [])
        self._left += sum(map(len, names))
        return names

    def left(self) -> Iterator[str]:
        """Those whose file has not come."""
        return (name for names in self._names.values() for name in names)


def _hexadecimal(digits: bytes, stream: Forward) -> int:
    """The number that eight digits are; int() would take a sign, spaces and underscores for a part of one."""
    if not _HEXADECIMAL.fullmatch(digits):
        raise Broken(f"is damaged: no number at byte {stream.position - len(digits):#x}")
    return int(digits, 16)


def _new_ascii(header: bytes, stream: Forward) -> _Described:
    """The header of one member: thirteen numbers of eight digits, and a name; padded to four bytes."""
    if len(header) < _NEW_HEADER:
        raise Broken("is truncated: half a header at its end")
    numbers = [_hexadecimal(header[at : at + 8], stream) for at in range(6, _NEW_HEADER, 8)]
    inode, mode, links, size, length = numbers[0], numbers[1], numbers[4], numbers[6], numbers[11]
    if not 0 < length <= LONGEST:
        raise Broken(f"is damaged: a name of {length} bytes")
    name = stream.read(length + -(_NEW_HEADER + length) % 4)[: length - 1]
    # The one with the bytes comes last; one of no bytes at all is as good as the others.
    last = links < 2 or bool(size)
    return _Described(name.decode("utf-8", "surrogateescape"), mode, size, inode, last)


def _members(file: _Described, stream: Forward, waiting: _Waiting, capable: bool) -> Iterator[Member]:
    kind, mode = stat.S_IFMT(file.mode), stat.S_IMODE(file.mode)
    if kind == stat.S_IFDIR:
        yield Member(name=file.name, kind="folder", mode=mode)
    elif kind == stat.S_IFLNK:
        if file.size > LONGEST:
            raise Broken(f"is damaged: a symlink to {file.size} bytes")
        target = b"".join(stream.pieces(file.size)).decode("utf-8", "surrogateescape")
        yield Member(name=file.name, kind="symlink", target=target)
    elif kind in _SPECIAL:
        yield Member(name=file.name, kind="special", what=_SPECIAL[kind])
    elif kind != stat.S_IFREG:
        yield Member(name=file.name, kind="other", what="is of an unknown type")
    elif not file.last:
        waiting.add(file.inode, file.name)
    else:
        yield Member(
            name=file.name,
            kind="file",
            mode=mode,
            size=file.size,
            capabilities=capable,
            content=lambda: stream.pieces(file.size),
        )
        for name in waiting.taken(file.inode):
            yield Member(name=name, kind="hardlink", mode=mode, target=file.name)

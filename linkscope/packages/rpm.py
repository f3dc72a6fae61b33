"""The members of an RPM package: a header of tags, and a compressed cpio archive behind it.

Source: the RPM package format, https://rpm-software-management.github.io/rpm/manual/format_v4.html; cpio(5), New ASCII
Format; rpm lib/cpio.c for the stripped headers of packages with large files. Read here, since rpmfile drops setuid
bits, hard links and stripped headers, and holds what zstd unpacks to in memory.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

import msgspec

from linkscope.elf.reader import Reader
from linkscope.packages.limits import Broken, Budget
from linkscope.packages.member import Member
from linkscope.packages.metadata import Metadata
from linkscope.packages.streams import Forward, Slice, forward

MAGIC = b"\xed\xab\xee\xdb"
_LEAD = 96
_HEADER_MAGIC = b"\x8e\xad\xe8"
_MOST_TAGS = 0xFFFF  # rpm lib/header_internal.hh, hdrchkTags
_MOST_DATA = 64 << 20  # bytes; rpm takes 256 MiB, the largest header in practice (kernel sources) has some 10
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE = 1000, 1001, 1002, 1003, 1022, 1044
_SIZES, _MODES, _INODES, _DIRECTORIES, _BASENAMES, _FOLDERS = 1028, 1030, 1096, 1116, 1117, 1118
_LONG_SIZES, _CAPABILITIES = 5008, 5010
_NUMBERS = {2: "B", 3: "H", 4: "I", 5: "Q"}  # the types INT8 to INT64
_STRINGS = (6, 8, 9)  # STRING, STRING_ARRAY, I18NSTRING
_NEW_HEADER = 110
_TRAILER = "TRAILER!!!"
_LONGEST = 4096  # bytes of a name or target: PATH_MAX
_OTHERS = {stat.S_IFCHR: "is a character device", stat.S_IFBLK: "is a block device", stat.S_IFIFO: "is a FIFO"}


class _Header(msgspec.Struct, frozen=True):
    """The tags of one header: where each one's data are, (type, offset, count)."""

    tags: dict[int, tuple[int, int, int]]
    data: bytes

    @classmethod
    def of(cls, index: bytes, data: bytes) -> _Header:
        """From the entries of the index, sixteen bytes each, and the data that they point into."""
        entries = struct.iter_unpack(">IIII", index)
        return cls({tag: (kind, at, number) for tag, kind, at, number in entries}, data)

    def strings(self, tag: int) -> list[str]:
        """The strings of a tag; none where it is absent or not of strings."""
        kind, offset, count = self.tags.get(tag, (0, 0, 0))
        if kind not in _STRINGS or not count:
            return []
        return [part.decode("utf-8", "surrogateescape") for part in self.data[offset:].split(b"\0", count)[:count]]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The numbers of a tag; none where it is absent, not of numbers, or cut off."""
        kind, offset, count = self.tags.get(tag, (0, 0, 0))
        letter = _NUMBERS.get(kind)
        if letter is None or offset + count * struct.calcsize(letter) > len(self.data):
            return ()
        return struct.unpack_from(f">{count}{letter}", self.data, offset)

    def metadata(self) -> Metadata:
        """Name, version (with epoch and release), architecture and source package."""
        name, version, release, arch, source = (
            next(iter(self.strings(tag)), None) for tag in (_NAME, _VERSION, _RELEASE, _ARCH, _SOURCE)
        )
        epoch = "".join(f"{number}:" for number in self.numbers(_EPOCH)[:1])
        return Metadata(
            name=name,
            version=f"{epoch}{version}-{release}" if version else None,
            architecture=arch,
            source=_source(source) if source else None,
        )

    def names(self) -> list[str]:
        """The paths of the files."""
        folders = self.strings(_FOLDERS)
        pairs = zip(self.numbers(_DIRECTORIES), self.strings(_BASENAMES), strict=False)
        return [folders[number] + name for number, name in pairs if number < len(folders)]


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
    if count > _MOST_TAGS or 8 + count * 16 + size > len(header):
        raise Broken(f"is truncated: a header of {count} tags")
    described = _Header.of(header[8 : 8 + count * 16], header[8 + count * 16 : 8 + count * 16 + size])
    return described.metadata(), described.names()


class Rpm:
    """An open package. Raises Broken where its headers contradict the file."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        _, end = self._header(_LEAD)
        self._main, self._payload = self._header(end + -end % 8)

    def _header(self, offset: int) -> tuple[_Header, int]:
        """The header at OFFSET, and where it ends."""
        reader = self._reader
        if offset + 16 > reader.size:
            raise Broken(f"is truncated: no header at byte {offset:#x}")
        magic, count, size = struct.unpack(">3s5xII", reader.read(offset, 16))
        if magic != _HEADER_MAGIC or count > _MOST_TAGS or size > _MOST_DATA:
            raise Broken(f"is damaged: no header at byte {offset:#x}")
        end = offset + 16 + count * 16 + size
        if end > reader.size:
            raise Broken(f"is truncated: a header of {count} tags at byte {offset:#x}")
        index, data = reader.read(offset + 16, count * 16), reader.read(offset + 16 + count * 16, size)
        return _Header.of(index, data), end

    def metadata(self) -> Metadata:
        """What the main header says."""
        return self._main.metadata()

    def members(self, budget: Budget) -> Iterator[Member]:
        """The files that the package installs; of hard links, all but the one with the bytes as such, after it.

        Raises Broken and Overrun.
        """
        stream = forward(Slice(self._reader, self._payload), budget)
        capable = {
            _plain(name)
            for name, text in zip(self._main.names(), self._main.strings(_CAPABILITIES), strict=False)
            if text
        }
        waiting: dict[int, list[str]] = {}
        for file in self._files(stream):
            start = stream.position
            yield from _members(file, stream, waiting, _plain(file.name) in capable)
            stream.seek(start + file.size)
            stream.seek(stream.position + -stream.position % 4)
            stream.begin_member()
        for name in (name for names in waiting.values() for name in names):
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


def _source(file: str) -> str | None:
    """The name in that of a source package's FILE (`zlib-1.2.13-5.fc39.src.rpm`): all before version and release."""
    return file.rsplit("-", 2)[0] if file.count("-") >= 2 else None


def _plain(name: str) -> str:
    return name.removeprefix(".").lstrip("/")


def _hexadecimal(digits: bytes, stream: Forward) -> int:
    try:
        return int(digits.decode("ascii"), 16)
    except ValueError as error:
        raise Broken(f"is damaged: no number at byte {stream.position - len(digits):#x}") from error


def _new_ascii(header: bytes, stream: Forward) -> _Described:
    """The header of one member: thirteen numbers of eight digits, and a name; padded to four bytes."""
    if len(header) < _NEW_HEADER:
        raise Broken("is truncated: half a header at its end")
    numbers = [_hexadecimal(header[at : at + 8], stream) for at in range(6, _NEW_HEADER, 8)]
    inode, mode, links, size, length = numbers[0], numbers[1], numbers[4], numbers[6], numbers[11]
    if not 0 < length <= _LONGEST:
        raise Broken(f"is damaged: a name of {length} bytes")
    name = stream.read(length + -(_NEW_HEADER + length) % 4)[: length - 1]
    # The one with the bytes comes last; one of no bytes at all is as good as the others.
    last = links < 2 or bool(size)
    return _Described(name.decode("utf-8", "surrogateescape"), mode, size, inode, last)


def _members(file: _Described, stream: Forward, waiting: dict[int, list[str]], capable: bool) -> Iterator[Member]:
    kind, mode = stat.S_IFMT(file.mode), stat.S_IMODE(file.mode)
    if kind == stat.S_IFDIR:
        yield Member(name=file.name, kind="folder", mode=mode)
    elif kind == stat.S_IFLNK:
        if file.size > _LONGEST:
            raise Broken(f"is damaged: a symlink to {file.size} bytes")
        target = b"".join(stream.pieces(file.size)).decode("utf-8", "surrogateescape")
        yield Member(name=file.name, kind="symlink", target=target)
    elif kind != stat.S_IFREG:
        yield Member(name=file.name, kind="other", what=_OTHERS.get(kind, "is no file"))
    elif not file.last:
        waiting.setdefault(file.inode, []).append(file.name)
    else:
        yield Member(
            name=file.name,
            kind="file",
            mode=mode,
            size=file.size,
            capabilities=capable,
            content=lambda: stream.pieces(file.size),
        )
        for name in waiting.pop(file.inode, ()):
            yield Member(name=name, kind="hardlink", mode=mode, target=file.name)

"""The members of a zip archive, and what a wheel says of itself.

zipfile reads it. Of a member that is of no interest, only the first bytes are decompressed.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from linkscope.errors import LinkScopeError
from linkscope.packages.limits import Broken, Budget, Overrun, reason_of
from linkscope.packages.member import Member
from linkscope.packages.metadata import Metadata, fields
from linkscope.packages.streams import Slice

_FIRST = 4096
_PIECE = 1 << 18
_DIRECTORY = 48 << 20  # bytes of the table of members; 500,000 of them with names of 50 characters
_UNIX = 3  # APPNOTE.TXT, 4.4.2: the upper half of the external attributes is st_mode
_LONGEST_TARGET = 4096  # bytes: PATH_MAX
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)  # LZMA's dictionary may be any size
_FAULTS = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(LinkScopeError, OSError, EOFError, ValueError, LookupError, OverflowError, RuntimeError, NotImplementedError),
)
_UTF8 = 1 << 11  # APPNOTE.TXT, 4.4.4: the flag for names in UTF-8; else they are in code page 437
_TEXT = 1 << 20  # bytes of METADATA, long descriptions included


class _Bounded(io.BufferedReader):
    """A file of which no more is read at once than a table of members may have: zipfile reads that in one piece."""

    def __init__(self, part: Slice) -> None:
        super().__init__(part)
        self._size = part.size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # the last 22 bytes, or some 64 KiB
            size = max(0, self._size - self.tell())
        if size > _DIRECTORY:
            raise Overrun(f"has a table of members of more than {_DIRECTORY} bytes; nothing of it is looked at")
        return super().read(size)


class Zip:
    """An open zip archive. Raises Broken and Overrun where its table of members cannot be read."""

    def __init__(self, part: Slice, budget: Budget) -> None:
        self._budget = budget
        try:
            self._archive = zipfile.ZipFile(cast("IO[bytes]", _Bounded(part)))
        except _FAULTS as error:
            raise Broken(f"is damaged: {reason_of(error)}") from error

    def members(self) -> Iterator[Member]:
        """The members in the order of the table; a name that comes twice is given twice."""
        for info in self._archive.infolist():
            yield self._member(info)

    def metadata(self) -> Metadata:
        """What a wheel says of itself (binary distribution format, PyPA: `*.dist-info`); nothing for any other zip."""
        names = self._archive.namelist()
        folder = next((name[: -len("WHEEL")] for name in names if name.endswith(".dist-info/WHEEL")), None)
        if folder is None or folder.count("/") != 1:
            return Metadata()
        wheel, described = fields(self._text(folder + "WHEEL")), fields(self._text(folder + "METADATA"))
        return Metadata(
            name=described.get("name"), version=described.get("version"), tags=tuple(wheel.get("tag", "").split("\n"))
        )

    def _text(self, name: str) -> bytes:
        try:
            info = self._archive.getinfo(name)
            return b"".join(self._content(info)) if info.file_size <= _TEXT else b""
        except (KeyError, Broken):
            return b""

    def _member(self, info: zipfile.ZipInfo) -> Member:
        mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
        kind = stat.S_IFMT(mode)
        permissions = stat.S_IMODE(mode)
        name = _name(info)
        if name.endswith("/") or kind == stat.S_IFDIR:
            return Member(name=name, kind="folder", mode=permissions)
        if kind == stat.S_IFLNK:
            return self._symlink(info)
        if kind not in (0, stat.S_IFREG):
            return Member(name=name, kind="other", what="is a device, a FIFO or a socket")
        size = info.file_size
        return Member(name=name, kind="file", mode=permissions, size=size, content=lambda: self._content(info))

    def _symlink(self, info: zipfile.ZipInfo) -> Member:
        """A symlink, whose content is its target (Info-ZIP)."""
        if info.file_size > _LONGEST_TARGET:
            return Member(name=_name(info), kind="other", what=f"is a symlink to {info.file_size} bytes")
        try:
            target = b"".join(self._content(info)).decode("utf-8", "surrogateescape")
        except Broken as error:
            return Member(name=_name(info), kind="other", what=f"is a symlink that {error.reason}")
        return Member(name=_name(info), kind="symlink", target=target)

    def _content(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        if info.flag_bits & 1:
            raise Broken("is encrypted")
        if info.compress_type not in _READ:
            raise Broken(f"is compressed in a way that is not read here (method {info.compress_type})")
        try:
            with self._archive.open(info) as member:
                wanted, missing = _FIRST, info.file_size
                while piece := member.read(wanted):
                    missing -= len(piece)
                    self._budget.take(len(piece))
                    yield piece
                    wanted = _PIECE
            if missing:  # zipfile is content with what the compressed data end with
                raise Broken(f"is damaged: {missing} of its bytes are not there")
        except _FAULTS as error:
            raise Broken(f"is damaged: {reason_of(error)}") from error


def _name(info: zipfile.ZipInfo) -> str:
    """The name with all its characters. Info-ZIP writes the bytes of a Unix name as they are, without the flag."""
    name = info.orig_filename  # zipfile cuts the other one off at a NUL byte
    if info.create_system == _UNIX and not info.flag_bits & _UTF8:
        return name.encode("cp437", "replace").decode("utf-8", "surrogateescape")
    return name

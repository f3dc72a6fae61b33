"""The members of a zip archive, and what a wheel says of itself.

zipfile reads it, with a part of its table at a time. Of a member that is of no interest, only the first bytes are
decompressed.
"""

from __future__ import annotations

import functools
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator

from linkscope.errors import LinkScopeError
from linkscope.packages.limits import Broken, Budget, Overrun, reason_of
from linkscope.packages.member import Member
from linkscope.packages.metadata import Metadata, fields
from linkscope.packages.streams import Slice
from linkscope.packages.ziptable import Table, name_of

_FIRST = 4096
_PIECE = 1 << 18
_UNIX = 3  # APPNOTE.TXT, 4.4.2: the upper half of the external attributes is st_mode
_LONGEST_TARGET = 4096  # bytes: PATH_MAX
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)  # LZMA's dictionary may be any size
_FAULTS = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(LinkScopeError, OSError, EOFError, ValueError, LookupError, OverflowError, RuntimeError, NotImplementedError),
)
_UTF8 = 1 << 11  # APPNOTE.TXT, 4.4.4: the flag for names in UTF-8; else they are in code page 437
_OF_WHEELS = (b".dist-info/WHEEL", b".dist-info/METADATA")
_TEXT = 1 << 20  # bytes of METADATA, long descriptions included


class Zip:
    """An open zip archive. Raises Broken where its table of members cannot be read, Overrun where that is too long."""

    def __init__(self, part: Slice, budget: Budget) -> None:
        self._budget = budget
        self._wheel: dict[bytes, bytes] = {}  # rows of the table by the names that a wheel says of itself
        try:
            self._table = Table(part)
            for number, row in enumerate(self._table.rows()):
                if number >= budget.limits.members:
                    raise Overrun(f"has more than {budget.limits.members} members; nothing of it is looked at")
                name = name_of(row)
                if name.endswith(_OF_WHEELS) and name.count(b"/") == 1:
                    self._wheel.setdefault(name.rpartition(b"/")[2], row)
        except _FAULTS as error:
            raise Broken(f"is damaged: {reason_of(error)}") from error

    def members(self) -> Iterator[Member]:
        """The members in the order of the table; a name that comes twice is given twice. Raises Broken and Overrun."""
        archives = self._table.archives()
        while (archive := _next(archives)) is not None:
            for info in archive.infolist():
                yield self._member(archive, info)

    def metadata(self) -> Metadata:
        """What a wheel says of itself (binary distribution format, PyPA: `*.dist-info`); nothing for any other zip."""
        wheel, described = self._wheel.get(b"WHEEL"), self._wheel.get(b"METADATA")
        if wheel is None:
            return Metadata()
        if described is not None and _folder(described) != _folder(wheel):
            described = None
        tags = fields(self._text(wheel)).get("tag", "")
        told = fields(self._text(described)) if described else {}
        return Metadata(name=told.get("name"), version=told.get("version"), tags=tuple(tags.split("\n")))

    def _text(self, row: bytes) -> bytes:
        try:
            archive = self._table.archive([row])
            (info,) = archive.infolist()
            return b"".join(self._content(archive, info)) if info.file_size <= _TEXT else b""
        except (*_FAULTS, Broken):
            return b""

    def _member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
        mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
        kind = stat.S_IFMT(mode)
        permissions = stat.S_IMODE(mode)
        name = _name(info)
        if name.endswith("/") or kind == stat.S_IFDIR:
            return Member(name=name, kind="folder", mode=permissions)
        if kind == stat.S_IFLNK:
            return self._symlink(archive, info)
        if kind not in (0, stat.S_IFREG):
            return Member(name=name, kind="special", what="is a device, a FIFO or a socket")
        size = info.file_size
        content = functools.partial(self._content, archive, info)
        return Member(name=name, kind="file", mode=permissions, size=size, content=content)

    def _symlink(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
        """A symlink, whose content is its target (Info-ZIP)."""
        if info.file_size > _LONGEST_TARGET:
            return Member(name=_name(info), kind="other", what=f"is a symlink to {info.file_size} bytes")
        try:
            target = b"".join(self._content(archive, info)).decode("utf-8", "surrogateescape")
        except Broken as error:
            return Member(name=_name(info), kind="other", what=f"is a symlink that {error.reason}")
        return Member(name=_name(info), kind="symlink", target=target)

    def _content(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
        if info.flag_bits & 1:
            raise Broken("is encrypted")
        if info.compress_type not in _READ:
            raise Broken(f"is compressed in a way that is not read here (method {info.compress_type})")
        try:
            with archive.open(info) as member:
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


def _next(archives: Iterator[zipfile.ZipFile]) -> zipfile.ZipFile | None:
    """The archive with the next part of its table; None behind the last one."""
    try:
        return next(archives, None)
    except _FAULTS as error:
        raise Broken(f"is damaged: {reason_of(error)}") from error


def _folder(row: bytes) -> bytes:
    return name_of(row).rpartition(b"/")[0]


def _name(info: zipfile.ZipInfo) -> str:
    """The name with all its characters. Info-ZIP writes the bytes of a Unix name as they are, without the flag."""
    name = info.orig_filename  # zipfile cuts the other one off at a NUL byte
    if info.create_system == _UNIX and not info.flag_bits & _UTF8:
        return name.encode("cp437", "replace").decode("utf-8", "surrogateescape")
    return name

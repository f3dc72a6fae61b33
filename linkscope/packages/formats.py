"""The formats that are known, and how a file's own bytes tell which one it is; its name counts for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from linkscope.elf.reader import Reader
from linkscope.packages import apk, deb, rpm
from linkscope.packages.limits import Broken, Budget, Limits, Overrun
from linkscope.packages.member import Member
from linkscope.packages.metadata import Metadata
from linkscope.packages.streams import Slice, compression_of, forward

_ZIP = (b"PK\3\4", b"PK\5\6")  # APPNOTE.TXT, 4.3.7 and, where it has no members, 4.3.16
_TAR_HEADER = 512
_MAGIC_OF_TAR = 257, b"ustar"  # POSIX.1-2017, pax, ustar Interchange Format; GNU's has it too
Layout = Literal["root", "folder"]


class Opened(msgspec.Struct, frozen=True):
    """An archive that is being read. metadata: asked for once, after the members."""

    members: Iterator[Member]
    metadata: Callable[[], Metadata]


class Format(msgspec.Struct, frozen=True):
    """A kind of package.

    layout: "root" where the paths are those of an installed system, "folder" where they begin anywhere. container: it
    may hold packages that are meant to be taken out of it, so that one looks into those; in a package that is
    installed as it is, an archive is just a file of it.
    """

    name: str
    layout: Layout
    container: bool
    opened: Callable[[Reader, Budget], Opened]


def format_of(reader: Reader) -> str | None:
    """The name of the format of an open file (a key of FORMATS), None where it is no package.

    Of what is compressed, a first piece is decompressed. Raises FileUnreadable where the file cannot be read.
    """
    head = reader.head
    if head.startswith(_ZIP):
        return "wheel" if _is_wheel(reader) else "zip"
    if deb.begins(head):
        return "deb"
    if head.startswith(rpm.MAGIC):
        return "rpm"
    if head.startswith(apk.MAGIC_3):
        return "apk3"
    compression = compression_of(head)
    if compression is None and not _may_be_tar(head):
        return None
    return _kind_of_tar(reader, compressed=compression is not None)


def _may_be_tar(head: bytes) -> bool:
    """Whether a closer look pays: the magic is there or, of a v7 archive, octal digits and NULs where those must be."""
    at, magic = _MAGIC_OF_TAR
    if len(head) < _TAR_HEADER:
        return False
    return head[at : at + len(magic)] == magic or (head[:1] != b"\0" and head[148:154].strip(b" 01234567\0") == b"")


def _kind_of_tar(reader: Reader, compressed: bool) -> str | None:
    from linkscope.packages import tar

    try:
        first = tar.begins(forward(Slice(reader), Budget(Limits(), reader.size)).read(_TAR_HEADER))
    except (Broken, Overrun):
        return None
    if first is None:
        return None
    return "apk" if compressed and apk.begins(first) else "tar"


def _is_wheel(reader: Reader) -> bool:
    from linkscope.packages.zip import Zip

    try:
        return bool(Zip(Slice(reader), Budget(Limits(), reader.size)).metadata().tags)
    except (Broken, Overrun):
        return False


def _open_zip(reader: Reader, budget: Budget) -> Opened:
    from linkscope.packages.zip import Zip

    archive = Zip(Slice(reader), budget)
    return Opened(archive.members(), archive.metadata)


def _open_tar(reader: Reader, budget: Budget) -> Opened:
    from linkscope.packages import tar

    return Opened(tar.members(forward(Slice(reader), budget)), Metadata)


def _open_deb(reader: Reader, budget: Budget) -> Opened:
    return Opened(deb.members(reader, budget), lambda: deb.metadata(reader, budget))


def _open_apk(reader: Reader, budget: Budget) -> Opened:
    return Opened(apk.members(Slice(reader), budget), lambda: apk.metadata(Slice(reader), budget))


def _open_rpm(reader: Reader, budget: Budget) -> Opened:
    archive = rpm.Rpm(reader, budget)
    return Opened(archive.members(), archive.metadata)


def _refuse(_reader: Reader, _budget: Budget) -> Opened:
    raise Broken("is an Alpine package of format 3, which is not read here")


FORMATS = {
    one.name: one
    for one in (
        Format("wheel", "folder", container=False, opened=_open_zip),
        Format("zip", "folder", container=True, opened=_open_zip),
        Format("tar", "folder", container=True, opened=_open_tar),
        Format("deb", "root", container=False, opened=_open_deb),
        Format("rpm", "root", container=False, opened=_open_rpm),
        Format("apk", "root", container=False, opened=_open_apk),
        Format("apk3", "root", container=False, opened=_refuse),
    )
}

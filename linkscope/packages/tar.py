"""The members of a tar archive, in one pass over its bytes.

tarfile reads the headers of all variants (v7, ustar, GNU, pax). What it would take in good faith is bounded or judged
here: sizes that lead back (on which older releases of it never end), maps of sparse files, headers of any length, and
damage after the first member, which it takes for the end of the archive.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, cast

from linkscope.packages.limits import Broken, reason_of
from linkscope.packages.member import Member
from linkscope.packages.streams import Forward

_BLOCK = 512
_CAPABILITIES = "SCHILY.xattr.security.capability"  # star(1), and GNU tar with --xattrs
_FAULTS = (tarfile.TarError, ValueError, LookupError, OverflowError, RecursionError)
_SPECIAL = {
    tarfile.CHRTYPE: "is a character device",
    tarfile.BLKTYPE: "is a block device",
    tarfile.FIFOTYPE: "is a FIFO",
}


def begins(block: bytes) -> str | None:
    """The name of the first member, where BLOCK is the first 512 bytes of a tar archive; None where it is not.

    A header is told by its checksum (POSIX.1-2017, pax, ustar Interchange Format), which v7 archives have as well.
    """
    try:
        return tarfile.TarInfo.frombuf(block[:_BLOCK], "utf-8", "surrogateescape").name
    except _FAULTS:
        return None


def members(stream: Forward) -> Iterator[Member]:
    """The members, in their order; a name that comes twice is given twice. Raises Broken and Overrun."""
    try:
        archive = tarfile.TarFile(
            fileobj=cast("IO[bytes]", stream), mode="r", encoding="utf-8", errors="surrogateescape"
        )
    except tarfile.ReadError as error:
        if str(error) == "empty file" and not any(stream.last):  # nothing but the mark of the end
            return
        raise Broken(f"is damaged: {reason_of(error)}") from error
    except _FAULTS as error:
        raise Broken(f"is damaged: {reason_of(error)}") from error
    while (info := _next(archive, stream)) is not None:
        yield _member(info, stream)
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
        stream.begin_member()
    if any(stream.last) or 0 < len(stream.last) < _BLOCK:
        raise Broken(f"is damaged: no header of a member at byte {stream.position - len(stream.last):#x}")


def _next(archive: tarfile.TarFile, stream: Forward) -> tarfile.TarInfo | None:
    try:
        return archive.next()
    except _FAULTS as error:
        raise Broken(f"is damaged: {reason_of(error)} (at byte {stream.position:#x})") from error


def _member(info: tarfile.TarInfo, stream: Forward) -> Member:
    mode = info.mode & 0o7777
    if info.isdir():
        return Member(name=info.name, kind="folder", mode=mode)
    if info.issym():
        return Member(name=info.name, kind="symlink", mode=mode, target=info.linkname)
    if info.islnk():
        return Member(name=info.name, kind="hardlink", mode=mode, target=info.linkname)
    if not info.isreg():
        what = _SPECIAL.get(info.type)
        if what is not None:
            return Member(name=info.name, kind="special", what=what)
        return Member(name=info.name, kind="other", what=f"is of an unknown type ({info.type!r})")
    return Member(
        name=info.name,
        kind="file",
        mode=mode,
        size=info.size,
        capabilities=_CAPABILITIES in info.pax_headers,
        content=lambda: _content(info, stream),
    )


def _content(info: tarfile.TarInfo, stream: Forward) -> Iterator[bytes]:
    if info.size < 0:
        raise Broken(f"claims a size of {info.size} bytes")
    stream.seek(info.offset_data)
    if info.sparse is None:
        return stream.pieces(info.size)
    return _sparse(info, stream)


def _sparse(info: tarfile.TarInfo, stream: Forward) -> Iterator[bytes]:
    """The bytes of a sparse file: what the archive has of it, and zeros between.

    Source of the map: GNU tar's manual, Sparse Formats; its pieces come in order and do not overlap.
    """
    pieces: list[tuple[int, int]] = info.sparse  # type: ignore[assignment]  # typeshed takes it for bytes
    at = 0
    for offset, size in pieces:
        if not size:  # GNU tar ends a map with such, and fills it up with them
            continue
        if size < 0 or offset < at or offset + size > info.size:
            raise Broken("is a sparse file whose map contradicts its size")
        yield from stream.made_up(offset - at)
        yield from stream.pieces(size)
        at = offset + size
    yield from stream.made_up(info.size - at)

"""The members of a Debian package: an ar archive of two tar archives (deb(5)).

The ar headers are read here, twenty lines: python-debian's reader trusts their sizes, and holds what xz and zstd unpack
to in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.elf.reader import Reader
from linkscope.packages import tar
from linkscope.packages.limits import Broken, Budget
from linkscope.packages.member import Member
from linkscope.packages.metadata import Metadata, fields
from linkscope.packages.streams import Slice, forward

MAGIC = b"!<arch>\n"
_HEADER = 60  # ar(5): name 16, date 12, uid 6, gid 6, mode 8, size 10, and two bytes that end it
_CONTROL = 1 << 20  # bytes


class _Part(msgspec.Struct, frozen=True):
    """A member of the ar archive: where its bytes lie in the file."""

    name: str
    offset: int
    size: int


def begins(head: bytes) -> bool:
    """Whether an ar archive is a Debian package: its first member says so."""
    return head.startswith(MAGIC + b"debian-binary")


def _parts(reader: Reader) -> Iterator[_Part]:
    at = len(MAGIC)
    while at < reader.size:
        if at + _HEADER > reader.size:
            raise Broken(f"is truncated: half a header at byte {at:#x}")
        header = reader.read(at, _HEADER)
        digits = header[48:58].strip()
        if header[58:] != b"`\n" or not digits.isdigit():
            raise Broken(f"is damaged: no header of a member at byte {at:#x}")
        size = int(digits)
        if at + _HEADER + size > reader.size:
            raise Broken(f"is truncated: a member of {size} bytes at byte {at:#x}")
        yield _Part(header[:16].decode("latin-1").rstrip(" ").rstrip("/"), at + _HEADER, size)
        at += _HEADER + size + size % 2


def members(reader: Reader, budget: Budget) -> Iterator[Member]:
    """The files that the package installs. Raises Broken and Overrun."""
    for part in _parts(reader):
        if _is_tar(part.name, "data"):
            yield from tar.members(forward(Slice(reader, part.offset, part.size), budget))
            return
    raise Broken("has no data.tar")


def metadata(reader: Reader, budget: Budget) -> Metadata:
    """Name, version and architecture (deb-control(5)). Raises Broken and Overrun."""
    for part in _parts(reader):
        if _is_tar(part.name, "control"):
            for member in tar.members(forward(Slice(reader, part.offset, part.size), budget)):
                if member.name.removeprefix("./") == "control" and 0 <= member.size <= _CONTROL:
                    said = fields(b"".join(member.content()))
                    return Metadata(
                        name=said.get("package"),
                        version=said.get("version"),
                        architecture=said.get("architecture"),
                        source=said.get("source", "").partition(" ")[0] or None,
                    )
    return Metadata()


def _is_tar(name: str, which: str) -> bool:
    return name == f"{which}.tar" or name.startswith(f"{which}.tar.")

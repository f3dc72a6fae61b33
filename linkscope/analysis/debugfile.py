"""Where the debug file of a program is looked for, and whether the one that is there belongs to this build.

Source: gdb, Separate Debug Files. A file with another build id, or with another checksum than .gnu_debuglink has, is
passed over, with a warning (gdb/build-id.c, build_id_verify; gdb/symfile.c, separate_debug_file_exists).
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import notes
from linkscope.elf.image import read_image
from linkscope.errors import LinkScopeError

if TYPE_CHECKING:
    from linkscope.elf.reader import Reader
    from linkscope.loader.system import System

_FOLDER = "/usr/lib/debug"  # the global debug directory of every distribution
_CHUNK = 1 << 20


class DebugLink(msgspec.Struct, frozen=True):
    """What .gnu_debuglink says: the name of the file, and the CRC-32 of all its bytes."""

    name: str
    checksum: int


def debug_link(content: bytes, order: str) -> DebugLink | None:
    """The link in the CONTENT of .gnu_debuglink; None where it has no name or no checksum.

    The name ends in a NUL byte and is filled up to a multiple of 4, and four bytes in the file's byte order follow.
    """
    name, end, _ = content.partition(b"\0")
    at = len(name) + 4 & ~3
    checksum = content[at : at + 4]
    if not name or not end or len(checksum) < 4:
        return None
    return DebugLink(os.fsdecode(name), int.from_bytes(checksum, "little" if order == "<" else "big"))


def places(folder: str, build_id: str | None, link: DebugLink | None) -> Iterator[str]:
    """The paths at which debuggers look for the debug file of a file in FOLDER, in order."""
    if build_id:
        yield f"{_FOLDER}/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
    if link is not None:
        yield from (f"{folder}/{link.name}", f"{folder}/.debug/{link.name}", f"{_FOLDER}{folder}/{link.name}")


def belongs(system: System, path: str, build_id: str | None, link: DebugLink | None) -> bool:
    """Whether there is a file at PATH, and it was split off a file with this build id, or is the one linked to."""
    if not stat.S_ISREG(system.mode(path)):
        return False
    try:
        with system.open(path) as reader:
            its_own = notes.build_id(reader, read_image(reader))
            if build_id and its_own:
                return its_own == build_id
            return link is not None and _checksum(reader) == link.checksum
    except LinkScopeError:
        return False


def _checksum(reader: Reader) -> int:
    found = 0
    for at in range(0, reader.size, _CHUNK):
        found = zlib.crc32(reader.read(at, min(_CHUNK, reader.size - at)), found)
    return found

"""Files that were written in place after they had been mapped: device and inode are the same, and the bytes are not.

Pages of the file that nobody has written to show the new bytes in memory too (one page cache for both), so that neither
the inode nor the build id tells. What the loader has changed in memory still comes of the old file.
"""

from __future__ import annotations

import msgspec

from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.process import procfs, witness
from linkscope.process.contradiction import contradicts
from linkscope.process.disk import Standing
from linkscope.process.mapped import Mapped


def judged(pid: int, one: Mapped, started: float, vector: dict[int, int] | None) -> Standing | None:
    """The standing of an object whose file may have been written since STARTED (seconds since the epoch).

    VECTOR: the auxiliary vector, for the file that the kernel started.

    `overwritten` where memory contradicts the file. The time of writing alone shows nothing: the file may have been
    written before this process mapped it, or with the same bytes. A later change of the inode (chmod, link, rename) is
    no sign at all.
    """
    standing = one.standing
    if standing is None or standing.disk not in ("same", "renamed") or standing.status is None:
        return standing
    written = standing.status.st_mtime > started + procfs.SLACK
    if not written and standing.status.st_ctime <= started + procfs.SLACK:
        return standing
    what, readable = _contradiction(pid, one, standing, vector)
    if what is not None:
        return msgspec.structs.replace(standing, disk="overwritten", reason=what)
    if not written or standing.disk == "renamed":
        return standing
    seen = "nothing in memory contradicts it" if readable else "its memory may not be read"
    return msgspec.structs.replace(
        standing, disk="unknown", reason=f"the file was written after the process had started, and {seen}"
    )


def _other_build_id(memory: procfs.Memory, one: Mapped) -> str | None:
    """What the build id in memory contradicts: in an overlay, memory goes on showing the file of the lower layer."""
    there = one.facts.build_id if one.facts else None
    seen = witness.build_id(memory, one.mappings) if there else None
    return "its build id was another one" if seen not in (None, there) else None


def _contradiction(pid: int, one: Mapped, standing: Standing, vector: dict[int, int] | None) -> tuple[str | None, bool]:
    """What in memory contradicts the file, and whether memory could be read."""
    if standing.location is None:
        return None, False
    if one.image is None:
        return "the file is no readable ELF file any more", True
    base, dynamic = (one.entries[0].base, one.entries[0].dynamic) if one.entries else (None, 0)
    try:
        with procfs.Memory(pid) as memory, open_reader(standing.location, standing.path) as reader:
            what = contradicts(memory, base, one.image, reader, one.mappings, dynamic=dynamic, vector=vector)
            return what or _other_build_id(memory, one), True
    except LinkScopeError:
        return None, False

"""One member of an archive as every format gives it, and how members are named in answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from linkscope.model.document import WITHIN
from linkscope.packages.limits import Limits

_LONGEST_COMPONENT = 255  # bytes: NAME_MAX of Linux (limits.h)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member as its archive describes it; nothing of that is checked yet.

    name: as it stands there, bytes that are not UTF-8 as surrogates. mode: permission bits with setuid, setgid and
    sticky, 0 where the archive keeps none. size: in bytes, as claimed. target: of a symlink, what it says; of a hard
    link, the name of the member that it is one with. special: a device, a FIFO or a socket. what: what such, or an
    `other`, is. content: its bytes, in pieces of which
    the first has as many as there are up to 4096; good until the next member is asked for. capabilities: whether it
    has file capabilities.
    """

    name: str
    kind: Literal["file", "folder", "symlink", "hardlink", "special", "other"]
    mode: int = 0
    size: int = 0
    target: str = ""
    what: str = ""
    capabilities: bool = False
    content: Callable[[], Iterator[bytes]] = lambda: iter(())


class Refused(Exception):
    """A member that is not put into the folder; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def member_path(archive: str, member: str) -> str:
    """How a member is named in answers: `dist/app.whl!/pkg/_ext.so`."""
    return f"{archive}{WITHIN}{member}"


def components(name: str, limits: Limits) -> tuple[str, ...]:
    """Where a member stands below the top of its archive; () is the top itself. A leading `/` counts for nothing.

    Raises Refused for a name with `..` in it, as tar(1) does, and for one that no file can have.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Refused("its name leads out of the archive (`..`)")
    if "\0" in name:
        raise Refused("its name holds a NUL byte")
    if len(parts) > limits.depth:
        raise Refused(f"its name has more than {limits.depth} components")
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) > limits.name or any(len(part) > _LONGEST_COMPONENT for part in encoded.split(b"/")):
        raise Refused("its name is too long")
    return parts


def leads_out(parts: tuple[str, ...], target: str) -> bool:
    """Whether a relative symlink that stands at PARTS climbs above the top of the archive."""
    depth = len(parts) - 1
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False

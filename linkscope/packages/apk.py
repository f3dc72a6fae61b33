"""The members of an Alpine package of format 2: signature, control and data, each a tar in its own gzip stream.

The first two lack the blocks that end a tar, so that all three are one archive (apk-tools, apk-v2(5)).
"""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.packages import tar
from linkscope.packages.limits import Budget
from linkscope.packages.member import Member
from linkscope.packages.metadata import Metadata
from linkscope.packages.streams import Slice, forward

MAGIC_3 = b"ADB"  # apk-v3(5): `ADB.`, `ADBd` and `ADBc`, no tar at all
_INFORMATION = ".PKGINFO"
_TEXT = 1 << 20  # bytes


def begins(first: str) -> bool:
    """Whether a compressed tar is an Alpine package: FIRST is the name of its first member."""
    return first.startswith(".SIGN.") or first == _INFORMATION


def members(part: Slice, budget: Budget) -> Iterator[Member]:
    """The files that the package installs: at the top, a dot begins the package's own. Raises Broken, Overrun."""
    for member in tar.members(forward(part, budget)):
        if not member.name.startswith(".") or member.name.startswith("./"):
            yield member


def metadata(part: Slice, budget: Budget) -> Metadata:
    """Name, version and architecture. Raises Broken and Overrun."""
    for member in tar.members(forward(part, budget)):
        if member.name == _INFORMATION and 0 <= member.size <= _TEXT:
            lines = b"".join(member.content()).decode("utf-8", "replace").splitlines()
            said = {
                name.strip(): value.strip() for name, equals, value in (line.partition("=") for line in lines) if equals
            }
            return Metadata(
                name=said.get("pkgname"),
                version=said.get("pkgver"),
                architecture=said.get("arch"),
                source=said.get("origin"),
            )
        if not member.name.startswith("."):
            break
    return Metadata()

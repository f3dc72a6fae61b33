"""What a package says of itself."""

from __future__ import annotations

import msgspec


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Name, version and architecture in the format's own words; None where it does not say.

    source: the source package that it was built from, where it says so; Debian leaves that out where it is NAME.
    source_version: the version of that, where it says so; Debian does only where it is not VERSION.
    tags: of a wheel, its compatibility tags (`cp311-cp311-manylinux_2_17_x86_64`), expanded as in its file WHEEL.
    """

    name: str | None = None
    version: str | None = None
    architecture: str | None = None
    source: str | None = None
    source_version: str | None = None
    tags: tuple[str, ...] = ()


def fields(text: bytes) -> dict[str, str]:
    """The fields before the first empty line, by their names in lower case; of one that is repeated, all, one a line.

    Debian's control files (deb-control(5)) and Python's metadata are both of the form of RFC 822.
    """
    found: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if not colon or line[0] in " \t":  # another line of the same field
            continue
        name = name.strip().lower()
        found[name] = f"{found[name]}\n{value.strip()}" if name in found else value.strip()
    return found

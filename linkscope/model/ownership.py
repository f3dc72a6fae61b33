"""Whose a file is: the installed package that brought it along."""

from __future__ import annotations

from typing import Literal

import msgspec

Manager = Literal["deb", "rpm", "apk"]
"""Whose database says so, by the kind of its packages: as the types of package URLs are called."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A package in its manager's own words; None where it does not say.

    version: as the manager has it, of rpm with epoch and release. source: the source package that it was built from;
    source_version: of that, where the manager has it apart. distribution, release: the system's ID and VERSION_ID of
    os-release(5), `debian` and `12`.
    """

    manager: Manager
    name: str
    version: str | None = None
    architecture: str | None = None
    source: str | None = None
    source_version: str | None = None
    distribution: str | None = None
    release: str | None = None

"""A package as the rules on packages see it."""

from __future__ import annotations

import msgspec

from linkscope.packages.oddities import Oddity


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """A package that was looked into. path: as in the answers; path_bytes: see `model.document.exact_bytes`."""

    path: str
    path_bytes: str | None
    oddities: tuple[Oddity, ...]

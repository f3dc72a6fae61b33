"""What is odd about an archive that was read all the same: harmless here, and not to everybody who unpacks it."""

from __future__ import annotations

from typing import Literal

import msgspec

OddKind = Literal["symlink-out", "special-file", "doubled-name", "absolute-name"]
_MOST = 50  # members that are named of one kind


class Oddity(msgspec.Struct, frozen=True):
    """One kind of it in one archive. count: how many members are such; members: the first of them, each with what."""

    kind: OddKind
    count: int
    members: tuple[tuple[str, str], ...]


class Oddities:
    """Those of one archive while it is read."""

    def __init__(self) -> None:
        self._counts: dict[OddKind, int] = {}
        self._members: dict[OddKind, list[tuple[str, str]]] = {}

    def add(self, kind: OddKind, member: str, what: str) -> None:
        """One more: the MEMBER, and WHAT is odd about it."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        named = self._members.setdefault(kind, [])
        if len(named) < _MOST:
            named.append((member, what))

    def all(self) -> tuple[Oddity, ...]:
        """One for each kind, in the order in which they were met."""
        return tuple(Oddity(kind, count, tuple(self._members[kind])) for kind, count in self._counts.items())

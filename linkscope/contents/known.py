"""The shape in which packs of signatures are given to a search: what it compares with, and what it asks for later.

The same code stands in many archives (a library's next version, another package of it), so that a search looks for
each code once and asks afterwards which archives hold what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Protocol

import msgspec

from linkscope.contents.fingerprints import Archive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Codes(msgspec.Struct, frozen=True):
    """The distinct code of one architecture, one element of each array a code: what `Signature` says under that name.

    A code is named by its place in the arrays, whose order is the pack's own.
    """

    anchors: NDArray[np.uint64]
    anchors_at: NDArray[np.uint32]
    checks: NDArray[np.uint32]
    checks_at: NDArray[np.uint32]
    lengths: NDArray[np.uint32]


class Place(msgspec.Struct, frozen=True):
    """Where a code stands: the section of a member of an archive. archive: the pack's number for it.

    shared: what `Signature` says under that name.
    """

    code: int
    archive: int
    member: str
    section: str
    shared: bool = False


class Pack(Protocol):
    """One collection of archives' fingerprints, open."""

    def codes(self, architecture: str) -> Codes | None:
        """All distinct code for the contract's `elf.machine`; None where there is none."""

    def proofs(self, architecture: str, codes: Sequence[int]) -> Sequence[tuple[bytes, bytes]]:
        """`digest` and `changeable` of each of the codes, in their order."""

    def places(self, architecture: str, codes: Sequence[int]) -> Sequence[Place]:
        """Every place in an archive of that architecture where one of the codes stands."""

    def archives(self, numbers: Sequence[int]) -> Sequence[Archive]:
        """What the pack says of archives, in their order, without the signatures (an empty tuple)."""

    def versions(self, architecture: str) -> Mapping[str, AbstractSet[str | None]]:
        """The versions of each library that the pack knows for an architecture, by `Archive.called`."""

"""How much of an archive is read, and what happens where there is more: everything that it claims is bounded first."""

from __future__ import annotations

import msgspec

from linkscope.errors import LinkScopeError


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one archive may cost, those inside of it included; of a run, only one is unpacked at a time.

    total: bytes that it unpacks to; member: bytes of one member. members, folders: their number. ratio: how many times
    its own size it may unpack to, once that is above `ratio_from` bytes (deflate reaches 1032 on zeros, programs with
    their debug information seldom 10). header: bytes that describe one member. nesting: how many archives deep is
    looked. depth, name: components and bytes of one member's path; names: of all their paths together, which are kept.

    The largest packages in practice (CUDA wheels, debug packages of browsers) unpack to some 5 GB, their largest
    member to 2 GB; trees of the largest sources have some 400,000 files, and none is of interest here.
    """

    total: int = 16 << 30
    member: int = 4 << 30
    members: int = 500_000
    folders: int = 100_000
    ratio: int = 200
    ratio_from: int = 64 << 20
    header: int = 1 << 20
    nesting: int = 1
    depth: int = 128
    name: int = 2048
    names: int = 64 << 20


class Overrun(Exception):
    """A limit is reached; `stops`: of the archive as a whole, so that nothing more of it is read."""

    def __init__(self, reason: str, stops: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stops = stops


class Broken(Exception):
    """The archive, or one member of it, contradicts itself or cannot be decompressed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def reason_of(error: Exception) -> str:
    """What an error says, on one line; its name where it says nothing."""
    said = error.reason if isinstance(error, LinkScopeError) else str(error)
    return " ".join(said.split()) or type(error).__name__


class Budget:
    """What is left of the limits; archives inside of one draw on the same.

    size: of the outermost archive's file, in bytes, since that is what was paid for all that it unpacks to.
    """

    def __init__(self, limits: Limits, size: int) -> None:
        self.limits = limits
        self._size = size
        self._read = 0
        self._members = 0
        self._names = 0

    def take(self, count: int) -> None:
        """COUNT more bytes were unpacked. Raises Overrun."""
        self._read += count
        limits = self.limits
        if self._read > limits.total:
            raise Overrun(f"unpacks to more than {limits.total} bytes; the rest is not looked at")
        if self._read > limits.ratio_from and self._read > limits.ratio * self._size:
            raise Overrun(f"unpacks to more than {limits.ratio} times its size; the rest is not looked at")

    def member(self, name: str) -> None:
        """One more member was met, which is called NAME. Raises Overrun."""
        self._members += 1
        self._names += len(name)
        if self._members > self.limits.members:
            raise Overrun(f"has more than {self.limits.members} members; the rest is not looked at")
        if self._names > self.limits.names:
            raise Overrun(f"has names of more than {self.limits.names} bytes together; the rest is not looked at")

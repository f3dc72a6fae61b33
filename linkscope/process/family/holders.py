"""What each member of a family holds, and the ends of a channel that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.model.pid import ChannelEnd
from linkscope.process.family.descriptors import Descriptor, descriptors_of
from linkscope.process.family.sockets import network_of
from linkscope.process.mappings import Mapping, read_maps

Use = Literal["read", "write", "both", "map", "accept", "hold"]


class Member(msgspec.Struct, frozen=True):
    """One process. What the caller may not see is empty. namespace: its network namespace, None where not known."""

    pid: int
    descriptors: list[Descriptor]
    mappings: list[Mapping]
    namespace: tuple[int, int] | None


class Held(msgspec.Struct, frozen=True):
    """A member with those of its descriptors that are one and the same thing."""

    member: Member
    descriptors: list[Descriptor]

    def end(self, use: Use) -> ChannelEnd:
        """This as an end of a channel."""
        return ChannelEnd(pid=self.member.pid, descriptors=[each.number for each in self.descriptors], use=use)


def member(pid: int) -> Member:
    """What a process holds now."""
    try:
        mappings = read_maps(pid)
    except ProcessUnreadable:
        mappings = []
    return Member(pid, descriptors_of(pid), mappings, network_of(pid))


def by_thing(members: Iterable[Member], thing: Callable[[Descriptor], str | int | None]) -> dict[str | int, list[Held]]:
    """Who holds each thing: what THING says of a descriptor, None where it is of no interest."""
    found: dict[str | int, dict[int, Held]] = {}
    for one in members:
        for descriptor in one.descriptors:
            key = thing(descriptor)
            if key is not None:
                held = found.setdefault(key, {}).setdefault(one.pid, Held(one, []))
                held.descriptors.append(descriptor)
    return {key: list(holders.values()) for key, holders in found.items()}

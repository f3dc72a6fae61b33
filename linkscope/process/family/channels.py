"""By what the members of a family can talk to each other: what two of them hold the ends of, or have mapped.

What one of them shares with somebody else alone (its standard output, a connection to a service) is no channel of the
family. What a process holds that is somebody else's is not known. TCP connections between members are not looked for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from linkscope.model.document import text
from linkscope.model.pid import Channel, ChannelEnd, ChannelKind
from linkscope.process.family.descriptors import STANDARD, Access, Descriptor, access_of, status_of, watched_by
from linkscope.process.family.holders import Held, Member, Use, by_thing, member
from linkscope.process.family.sharing import shared_memory
from linkscope.process.family.sockets import Socket, SocketTables, network_of
from linkscope.process.family.waiting import awaited_by

_KINDS: tuple[ChannelKind, ...] = get_args(ChannelKind)
_NARROW = 1 << 32  # all addresses of a process of 32 bits lie below


def channels_among(pids: Sequence[int], tables: SocketTables | None = None) -> list[Channel]:
    """The channels among these processes, by kind; a listening socket also where one of them alone has it.

    tables: what was read of their network namespaces already; None where nothing was.
    """
    members = [member(pid) for pid in pids]
    tables = tables or SocketTables()
    sockets = _sockets(members, tables)
    found = [
        *_pipes(members),
        *_connections(members, sockets, tables),
        *shared_memory(members),
        *_listening(members, sockets),
    ]
    return sorted(found, key=lambda channel: _KINDS.index(channel.kind))


# --- Pipes ------------------------------------------------------------------------------------------------------------


def _pipes(members: Sequence[Member]) -> Iterator[Channel]:
    """Pipes, and FIFOs by their names, that one member reads and another writes."""
    for name, holders in by_thing(members, _pipe_name).items():
        if len(holders) < 2 or not _is_pipe(holders[0]):
            continue
        ends = [held.end(_way(held)) for held in holders]
        if _opposite(ends):
            yield Channel(kind="pipe", name=text(str(name)), size=None, ends=ends)


def _pipe_name(descriptor: Descriptor) -> str | None:
    return descriptor.target if descriptor.kind == "pipe" or descriptor.target.startswith("/") else None


def _is_pipe(held: Held) -> bool:
    """Whether it is one; of what has a path only stat(2) knows."""
    descriptor = held.descriptors[0]
    if descriptor.kind == "pipe":
        return True
    status = status_of(held.member.pid, descriptor)
    return status is not None and stat.S_ISFIFO(status.st_mode)


def _way(held: Held) -> Use:
    ways: set[Access | None] = {access_of(held.member.pid, descriptor) for descriptor in held.descriptors} - {None}
    return ways.pop() or "hold" if len(ways) == 1 else "both" if ways else "hold"


def _opposite(ends: Iterable[ChannelEnd]) -> bool:
    """Whether what one of them writes another one may read."""
    readers = {end.pid for end in ends if end.use in ("read", "both")}
    writers = {end.pid for end in ends if end.use in ("write", "both")}
    return bool(readers and writers) and len(readers | writers) > 1


# --- Sockets ----------------------------------------------------------------------------------------------------------


def _sockets(members: Sequence[Member], tables: SocketTables) -> dict[int, Socket]:
    """What the members' network namespaces say of the sockets that they hold."""
    found: dict[int, Socket] = {}
    for one in members:
        inodes = {each.inode for each in one.descriptors if each.kind == "socket"}
        found.update(tables.sockets_of(one.pid, inodes))
    return found


def _by_socket(members: Sequence[Member]) -> dict[str | int, list[Held]]:
    return by_thing(members, lambda descriptor: descriptor.inode if descriptor.kind == "socket" else None)


def _connections(members: Sequence[Member], sockets: dict[int, Socket], tables: SocketTables) -> Iterator[Channel]:
    """Connected unix sockets of which one member has the one end and another the other."""
    holders = _by_socket(members)
    connected = sorted(inode for inode, it in sockets.items() if it.family == "unix" and not it.listens)
    if not connected:
        return
    peers = tables.unix_peers()
    own = network_of(os.getpid())
    for inode in connected:
        if peers is not None and inode in peers:
            other = peers[inode]
            if other not in holders or (peers.get(other) == inode and other < inode):
                continue
            yield from _pair(sockets, inode, holders[inode], other, holders[other])
        elif peers is None or any(held.member.namespace not in (own, None) for held in holders[inode]):
            yield from _unpaired(sockets[inode], holders[inode])


def _pair(sockets: dict[int, Socket], inode: int, here: list[Held], other: int, there: list[Held]) -> Iterator[Channel]:
    """One connection; nothing where one process has both its ends to itself."""
    by_pid = {held.member.pid: held for held in here}
    for held in there:
        known = by_pid.get(held.member.pid)
        both = [*known.descriptors, *held.descriptors] if known else held.descriptors
        by_pid[held.member.pid] = Held(held.member, both)
    if len(by_pid) > 1:
        name = next((at.local for at in (sockets.get(inode), sockets.get(other)) if at and at.local), "")
        ends = [held.end("both") for held in by_pid.values()]
        yield _connection(name, f"socket:[{inode}]", ends)


def _unpaired(socket: Socket, holders: list[Held]) -> Iterator[Channel]:
    """An end that several members have, where the kernel cannot be asked who has the other.

    Those that every program is given are left out: they lead to whoever started the family.
    """
    standard = any(descriptor.number < STANDARD for held in holders for descriptor in held.descriptors)
    if len(holders) > 1 and not standard:
        yield _connection(socket.local, f"socket:[{socket.inode}]", [held.end("both") for held in holders])


def _connection(name: str, number: str, ends: list[ChannelEnd]) -> Channel:
    return Channel(kind="unix-socket" if name else "socket-pair", name=name or number, size=None, ends=ends)


# --- Listening sockets ------------------------------------------------------------------------------------------------


def _listening(members: Sequence[Member], sockets: dict[int, Socket]) -> Iterator[Channel]:
    """Each address with those who wait for connections there; sockets that share a port (SO_REUSEPORT) are one."""
    accepting = {one.pid: accepted_by(one) for one in members if _has_listener(one, sockets)}
    addresses: dict[str, dict[int, Held]] = {}
    for inode, holders in _by_socket(members).items():
        socket = sockets.get(int(inode))
        if socket is None or not socket.listens:
            continue
        for held in holders:
            by_pid = addresses.setdefault(socket.local or f"socket:[{inode}]", {})
            known = by_pid.setdefault(held.member.pid, Held(held.member, []))
            known.descriptors.extend(held.descriptors)
    for name, by_member in addresses.items():
        ends = [
            held.end("accept" if any(each.inode in accepting[pid] for each in held.descriptors) else "hold")
            for pid, held in by_member.items()
        ]
        yield Channel(kind="listening", name=name, size=None, ends=ends)


def _has_listener(one: Member, sockets: dict[int, Socket]) -> bool:
    found = (sockets.get(descriptor.inode) for descriptor in one.descriptors)
    return any(socket is not None and socket.listens for socket in found)


def accepted_by(one: Member) -> set[int]:
    """The inodes of the sockets on which it waits now: it has them in an epoll set, or a thread is blocked on them.

    Of a process that is busy this minute, and of one that waits through io_uring, nothing is seen.
    """
    numbers = {descriptor.number: descriptor.inode for descriptor in one.descriptors if descriptor.inode}
    watched = [it for descriptor in one.descriptors for it in watched_by(one.pid, descriptor)]
    found = {it.inode or numbers.get(it.number, 0) for it in watched}
    if any(mapping.start >= _NARROW for mapping in one.mappings):
        found |= {numbers[number] for number in awaited_by(one.pid) if number in numbers}
    return found

"""Ports of servers on this machine's loopback addresses: who has one, which are free, where a program is told of it."""

from __future__ import annotations

import errno
import random
import socket
import time
from collections.abc import Iterable, Iterator

import msgspec

from linkscope.errors import NoPlaceForPort, PortTaken, ProcessUnreadable
from linkscope.measure.command import Command
from linkscope.process import procfs
from linkscope.process.family.descriptors import descriptors_of
from linkscope.process.family.sockets import Socket, SocketTables

PLACE = "{port}"
LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_LOWEST = 10000  # below it are many that are known
_RANGE = "sys/net/ipv4/ip_local_port_range"
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # where IPv6 is switched off
_PAUSE = 0.02


def has_place(command: Command) -> bool:
    """Whether the program is told of its port, by `{port}` among its arguments."""
    return any(PLACE in word for word in command.arguments)


def told(command: Command, port: int) -> Command:
    """The command with PORT in the place of `{port}`."""
    words = tuple(word.replace(PLACE, str(port)) for word in command.arguments)
    return msgspec.structs.replace(command, arguments=words)


def ports_for(command: Command, port: int | None, count: int) -> list[int]:
    """Ports for COUNT copies: PORT first if it is given, the others free ones. Raises NoPlaceForPort, PortTaken."""
    if port is None and not has_place(command):
        raise NoPlaceForPort(command.path)
    chosen = [] if port is None else [port]
    for candidate in _candidates():
        if len(chosen) >= count:
            break
        if candidate not in chosen and is_free(candidate):
            chosen.append(candidate)
    return chosen[:count]


def _candidates() -> Iterator[int]:
    """Ports below those that the kernel gives to whoever connects.

    Who connects to one of these in vain may be given the very port that it tries, and be connected with itself.
    """
    try:
        with open(f"{procfs.PROC}/{_RANGE}", "rb") as file:
            end = int(file.read().split()[0])
    except OSError:
        end = 32768
    known = range(_LOWEST, end) if end > _LOWEST + 1000 else range(1024, 1 << 16)
    yield from random.sample(known, len(known))


def is_free(port: int) -> bool:
    """Whether a server could listen there now. Connections that linger (TIME_WAIT) are in nobody's way who says so.

    A port for which this process has no right (below 1024) counts as free unless it takes connections.
    """
    for family, address in LOOPBACK:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((address, port))
        except PermissionError:
            if connected(port) is not None:
                return False
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                return False
    return True


def await_free(port: int, seconds: float) -> None:
    """Wait until a server could listen on PORT. Raises PortTaken, with who has it."""
    deadline = time.monotonic() + seconds
    while not is_free(port):
        if time.monotonic() > deadline:
            raise PortTaken(port, holder_of(port))
        time.sleep(_PAUSE)


def holder_of(port: int) -> str:
    """Name and number of a process that listens on PORT; "" where none can be seen."""
    tables = SocketTables()
    for pid in procfs.pids():
        if any(one.listens and port_of(one) == port for one in sockets_of(pid, tables)):
            try:
                return f"{procfs.stat(pid).name} ({pid})"
            except ProcessUnreadable:
                continue
    return ""


def sockets_of(pid: int, tables: SocketTables) -> list[Socket]:
    """The TCP sockets that a process has open."""
    inodes = {one.inode for one in descriptors_of(pid) if one.kind == "socket"}
    return [one for one in tables.sockets_of(pid, inodes).values() if one.family == "tcp"]


def listening(pids: Iterable[int]) -> list[int]:
    """The ports on which any of the processes waits for connections."""
    tables = SocketTables()
    return sorted({port_of(one) for pid in pids for one in sockets_of(pid, tables) if one.listens})


def port_of(one: Socket) -> int:
    """The port of a TCP socket at this end."""
    return int(one.local.rpartition(":")[2])


def connected(port: int, seconds: float = 1.0) -> socket.socket | None:
    """A new connection to PORT on a loopback address; None where nobody takes it."""
    for family, address in LOOPBACK:
        try:
            tried = socket.socket(family, socket.SOCK_STREAM)
        except OSError:  # a kernel without IPv6
            continue
        try:
            tried.settimeout(seconds)
            tried.connect((address, port))
            if tried.getsockname() != tried.getpeername():  # or it is connected with itself
                return tried
        except OSError:
            pass
        tried.close()
    return None

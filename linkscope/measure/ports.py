"""Ports of servers on this machine's loopback addresses: who has one, which are free, where a program is told of it."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from linkscope.errors import PortTaken, ProcessUnreadable
from linkscope.measure.command import Command
from linkscope.process import procfs
from linkscope.process.family.descriptors import descriptors_of
from linkscope.process.family.sockets import Socket, SocketTables

PLACE = "{port}"
Address = tuple[socket.AddressFamily, str]
LOOPBACK: tuple[Address, ...] = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_LOWEST = 10000  # below it are many that are known
_RANGE = "sys/net/ipv4/ip_local_port_range"
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # where IPv6 is switched off
_PAUSE = 0.02
_UNTIL_FREE = 2.0  # seconds that a port may stay taken after its server has ended
_UNTIL_CONNECTED = 1  # seconds


def has_place(command: Command) -> bool:
    """Whether the program is told of its port, by `{port}` among its arguments."""
    return any(PLACE in word for word in command.arguments)


def told(command: Command, port: int) -> Command:
    """The command with PORT in the place of `{port}`."""
    words = tuple(word.replace(PLACE, str(port)) for word in command.arguments)
    return msgspec.structs.replace(command, arguments=words)


def ports_for(port: int | None, count: int) -> list[int]:
    """Ports for COUNT copies: PORT first if it is given, the others free ones. Raises PortTaken.

    PORT is waited for, 2 s at most. Of a free one the server has to be told: `has_place`.
    """
    if port is not None:
        await_free(port)
    chosen = [] if port is None else [port]
    for candidate in _candidates():
        if len(chosen) >= count:
            break
        if candidate not in chosen and is_free(candidate):
            chosen.append(candidate)
    return chosen[:count]


def _candidates() -> Iterator[int]:
    """Ports below those that the kernel gives to whoever connects, in their order, from a place that chance chooses.

    Who connects to one of these in vain may be given the very port that it tries, and be connected with itself. All in
    an order of chance would take as long to draw as several servers to start, and leave the caches full of it.
    """
    try:
        with open(f"{procfs.PROC}/{_RANGE}", "rb") as file:
            end = int(file.read().split()[0])
    except OSError:
        end = 32768
    known = range(_LOWEST, end) if end > _LOWEST + 1000 else range(1024, 1 << 16)
    first = random.randrange(len(known))
    yield from known[first:]
    yield from known[:first]


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


def await_free(port: int) -> None:
    """Wait until a server could listen on PORT, 2 s at most. Raises PortTaken, with who has it."""
    deadline = time.monotonic() + _UNTIL_FREE
    while True:
        is_last = time.monotonic() > deadline
        if is_free(port):
            return
        if is_last:
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


def connected(port: int) -> socket.socket | None:
    """A new connection to PORT on a loopback address; None where nobody takes it."""
    with knocking(port) as knocks:
        return next((taken for knock in knocks if (taken := knock.answered()) is not None), None)


def answering(port: int) -> tuple[Address, ...]:
    """The first loopback address on which PORT takes connections; none where it does on neither."""
    for address in LOOPBACK:
        with knocking(port, [address]) as (knock,):
            connection = knock.answered()
        if connection is not None:
            connection.close()
            return (address,)
    return ()


@contextlib.contextmanager
def knocking(port: int, addresses: Sequence[Address] = LOOPBACK) -> Iterator[list[Knock]]:
    """Who tries PORT on each of ADDRESSES, until the end of the block."""
    knocks = [Knock(port, address) for address in addresses]
    try:
        yield knocks
    finally:
        for knock in knocks:
            knock.close()


class Knock:
    """A port of one address that is tried again and again, with as little as that can cost.

    at: when the last try was over, by time.monotonic().

    A socket that was refused may connect again (Linux net/ipv4/af_inet.c, __inet_stream_connect: SS_UNCONNECTED after
    an error), so that a try is one system call, where a new socket with a timeout of Python's takes six, and four times
    as long. The kernel limits how long a connect may take (SO_SNDTIMEO, socket(7)).
    """

    def __init__(self, port: int, address: Address) -> None:
        self._family, host = address
        self._target = (host, port)
        self._socket = self._new()
        self.at = 0.0

    def answered(self) -> socket.socket | None:
        """A connection; None where nobody takes it."""
        tried = self._socket or self._new()
        number = tried.connect_ex(self._target) if tried else errno.EAFNOSUPPORT
        self.at = time.monotonic()
        if tried is None or number == errno.ECONNREFUSED:
            self._socket = tried
            return None
        self._socket = None
        if not number and tried.getsockname() != tried.getpeername():  # or it is connected with itself
            return tried
        tried.close()
        return None

    def close(self) -> None:
        """Give back what is open here."""
        if self._socket is not None:
            self._socket.close()

    def _new(self) -> socket.socket | None:
        try:
            new = socket.socket(self._family, socket.SOCK_STREAM)
        except OSError:  # a kernel without IPv6
            return None
        new.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _UNTIL_CONNECTED, 0))
        return new

"""Sockets by their inodes: where they listen, by which addresses they are known, and who is at the other end.

The kernel writes the name of a unix socket into its list as it is, ends of lines included: who names a socket can write
whole rows there. Of the caller's own network namespace sock_diag(7) tells the same in a form that nobody can forge.

Source: proc_pid_net(5); Linux net/ipv4/tcp_ipv4.c (tcp4_seq_show), net/ipv6/tcp_ipv6.c, net/unix/af_unix.c
(unix_seq_show), net/unix/diag.c.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Literal

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.model.document import text
from linkscope.process import procfs

_LISTEN = 0x0A  # Linux include/net/tcp_states.h, TCP_LISTEN, which unix sockets have too
_ACCEPTS = 0x10000  # Linux include/uapi/linux/net.h, __SO_ACCEPTCON
# Netlink, as sock_diag(7) and linux/unix_diag.h have it.
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP = 4, 20, 0x301
_SHOW_NAME, _SHOW_PEER, _NAME, _PEER, _DONE, _ERROR = 1, 4, 0, 2, 3, 2
_HEADER, _REQUEST, _MESSAGE, _ATTRIBUTE = (struct.Struct(shape) for shape in ("=IHHII", "=BBHIIIII", "=BBBBIII", "=HH"))
_SECONDS = 2.0  # that the kernel may take
_MOST = 1 << 18  # bytes of one message; the kernel's own limit is lower
# Num RefCount Protocol Flags Type St Inode Path. The first is an address in the kernel, or what it shows instead of one
# (Linux lib/vsprintf.c).
_UNIX = re.compile(
    rb"(?:[0-9a-f]{8}|[0-9a-f]{16}|\(_*ptrval_*\)): [0-9A-F]{8} 00000000 ([0-9A-F]{8}) [0-9A-F]{4} [0-9A-F]{2} "
    rb" {0,4}(\d{1,20})(?: (.*))?",
    re.DOTALL,
)


class Socket(msgspec.Struct, frozen=True):
    """local: `127.0.0.1:80`, `[::1]:80`, or the name of a unix socket (`@` before an abstract one), "" without one."""

    inode: int
    family: Literal["tcp", "unix"]
    local: str
    listens: bool


class _Row(msgspec.Struct, frozen=True):
    """What the kernel says of one socket. address: as it writes it. peer: of a unix socket its other end's inode."""

    family: Literal["tcp", "unix"]
    address: bytes
    listens: bool
    peer: int | None = None


class SocketTables:
    """The sockets of each network namespace that is asked for, as they were when it was first asked."""

    def __init__(self) -> None:
        self._tables: dict[tuple[int, int], dict[int, _Row]] = {}
        self._own: list[dict[int, _Row] | None] = []

    def sockets_of(self, pid: int, wanted: Collection[int]) -> dict[int, Socket]:
        """Those of the inodes WANTED that are TCP or unix sockets in the network namespace of process PID."""
        table = self._table(pid) if wanted else {}
        return {inode: _socket(inode, table[inode]) for inode in wanted if inode in table}

    def unix_peers(self) -> dict[int, int] | None:
        """The other end of each connected unix socket in the caller's own network namespace, by inode.

        None where the kernel does not answer (without CONFIG_UNIX_DIAG, or where that is not permitted).
        """
        told = self._told()
        return None if told is None else {inode: row.peer for inode, row in told.items() if row.peer is not None}

    def _table(self, pid: int) -> dict[int, _Row]:
        namespace = network_of(pid)
        if namespace is None:
            return _rows(pid, None) or {}
        if namespace not in self._tables:
            rows = _rows(pid, self._told() if namespace == network_of(os.getpid()) else None)
            if rows is None:
                return {}
            self._tables[namespace] = rows
        return self._tables[namespace]

    def _told(self) -> dict[int, _Row] | None:
        """What sock_diag says of the unix sockets in the caller's own namespace."""
        if not self._own:
            self._own.append(_diagnosed())
        return self._own[0]


def network_of(pid: int) -> tuple[int, int] | None:
    """The network namespace of a process; None where that may not be seen."""
    try:
        return procfs.identity(pid, "ns/net")
    except ProcessUnreadable:
        return None


def _rows(pid: int, told: dict[int, _Row] | None) -> dict[int, _Row] | None:
    """The sockets in the namespace of a process, unix ones as TOLD; None where it has ended meanwhile."""
    lists = {name: _list(pid, name) for name in ("tcp", "tcp6", *(("unix",) if told is None else ()))}
    if not any(lists.values()):  # each has a line at its head
        return None
    rows = {**dict(_tcp(lists["tcp"])), **dict(_tcp(lists["tcp6"]))}
    for inode, row in _unix(lists["unix"]) if told is None else told.items():
        rows.setdefault(inode, row)  # the first, where somebody wrote another
    return rows


def _list(pid: int, name: str) -> bytes:
    try:
        return procfs.read(pid, f"net/{name}")
    except ProcessUnreadable:
        return b""


def _tcp(data: bytes) -> Iterator[tuple[int, _Row]]:
    for line in data.split(b"\n")[1:]:
        fields = line.split(None, 10)
        if len(fields) > 9:
            yield int(fields[9]), _Row("tcp", fields[1], int(fields[3], 16) == _LISTEN)


def _unix(data: bytes) -> Iterator[tuple[int, _Row]]:
    for line in data.split(b"\n")[1:]:
        match = _UNIX.fullmatch(line)
        if match:
            flags, inode, name = match.groups()
            yield int(inode), _Row("unix", name or b"", bool(int(flags, 16) & _ACCEPTS))


def _socket(inode: int, row: _Row) -> Socket:
    local = _address(row.address.decode()) if row.family == "tcp" else text(os.fsdecode(row.address))
    return Socket(inode, row.family, local, row.listens)


def _address(written: str) -> str:
    """`0100007F:22B8` as people write it: words of 32 bits in the machine's own byte order, the port in hexadecimal."""
    import socket

    words, _, port = written.partition(":")
    order = "<" if sys.byteorder == "little" else ">"
    numbers = [int(words[at : at + 8], 16) for at in range(0, len(words), 8)]
    data = struct.pack(f"{order}{len(numbers)}I", *numbers)
    if len(data) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, data)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, data)}]:{int(port, 16)}"


def _diagnosed() -> dict[int, _Row] | None:
    """The unix sockets in the caller's own network namespace, by inode; None where the kernel does not answer."""
    import socket

    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_NAME | _SHOW_PEER, 0, 0)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as diagnosis:
            diagnosis.settimeout(_SECONDS)
            diagnosis.send(header + request)
            return dict(_answers(diagnosis.recv))
    except OSError:
        return None


def _answers(receive: Callable[[int], bytes]) -> Iterator[tuple[int, _Row]]:
    """The sockets out of all messages up to the last. OSError where the kernel refuses."""
    while True:
        data = receive(_MOST)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR or length < _HEADER.size:
                raise OSError("the kernel does not tell of sockets")
            yield from _answer(data[at + _HEADER.size : at + length])
            at += (length + 3) & ~3


def _answer(message: bytes) -> Iterator[tuple[int, _Row]]:
    """One socket by its inode."""
    if len(message) < _MESSAGE.size:
        return
    _, _, state, _, inode, _, _ = _MESSAGE.unpack_from(message)
    found: dict[int, bytes] = {}
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        found[kind] = message[at + _ATTRIBUTE.size : at + length]
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
    peer = found.get(_PEER, b"")
    yield (
        inode,
        _Row(
            "unix",
            _named(found.get(_NAME, b"")),
            state == _LISTEN,
            struct.unpack("=I", peer)[0] if len(peer) == 4 else None,
        ),
    )


def _named(name: bytes) -> bytes:
    """The bytes of a sun_path (unix(7)) as the kernel's list has them."""
    return name.replace(b"\0", b"@") if name.startswith(b"\0") else name.removesuffix(b"\0")

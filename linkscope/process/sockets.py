"""Sockets by their inodes: where they listen, by which addresses they are known, and who is at the other end.

Source: proc_pid_net(5); Linux net/ipv4/tcp_ipv4.c (tcp4_seq_show), net/ipv6/tcp_ipv6.c, net/unix/af_unix.c
(unix_seq_show); sock_diag(7) for the other ends of unix sockets.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Literal

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.process import procfs

_LISTEN = "0A"  # Linux include/net/tcp_states.h, TCP_LISTEN
_ACCEPTS = 0x10000  # Linux include/uapi/linux/net.h, __SO_ACCEPTCON
# Netlink, as sock_diag(7) and linux/unix_diag.h have it.
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP = 4, 20, 0x301
_SHOW_PEER, _PEER, _DONE, _ERROR = 4, 2, 3, 2
_HEADER, _REQUEST, _MESSAGE, _ATTRIBUTE = (struct.Struct(shape) for shape in ("=IHHII", "=BBHIIIII", "=BBBBIII", "=HH"))
_SECONDS = 2.0  # that the kernel may take
_MOST = 1 << 18  # bytes of one message; the kernel's own limit is lower


class Socket(msgspec.Struct, frozen=True):
    """local: `127.0.0.1:80`, `[::1]:80`, or the name of a unix socket (`@` before an abstract one), "" without one."""

    inode: int
    family: Literal["tcp", "unix"]
    local: str
    listens: bool


def sockets_of(pid: int, wanted: Collection[int]) -> dict[int, Socket]:
    """Those of the inodes WANTED that are TCP or unix sockets in the network namespace of process PID."""
    if not wanted:
        return {}
    names = {str(inode).encode() for inode in wanted}
    found = [*_tcp(_table(pid, "tcp"), names), *_tcp(_table(pid, "tcp6"), names), *_unix(_table(pid, "unix"), names)]
    return {socket.inode: socket for socket in found}


def _table(pid: int, name: str) -> list[bytes]:
    try:
        return procfs.read(pid, f"net/{name}").split(b"\n")[1:]
    except ProcessUnreadable:
        return []


def _tcp(lines: list[bytes], wanted: Collection[bytes]) -> Iterator[Socket]:
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[9] in wanted:
            yield Socket(int(fields[9]), "tcp", _address(fields[1].decode()), fields[3].decode() == _LISTEN)


def _unix(lines: list[bytes], wanted: Collection[bytes]) -> Iterator[Socket]:
    for line in lines:
        # Num RefCount Protocol Flags Type St Inode Path; a path may hold spaces.
        fields = line.split(None, 7)
        if len(fields) > 6 and fields[6] in wanted:
            name = fields[7].decode("utf-8", "surrogateescape") if len(fields) > 7 else ""
            yield Socket(int(fields[6]), "unix", name, bool(int(fields[3], 16) & _ACCEPTS))


def _address(text: str) -> str:
    """`0100007F:22B8` as people write it: words of 32 bits in the machine's own byte order, the port in hexadecimal."""
    import socket

    words, _, port = text.partition(":")
    order = "<" if sys.byteorder == "little" else ">"
    numbers = [int(words[at : at + 8], 16) for at in range(0, len(words), 8)]
    data = struct.pack(f"{order}{len(numbers)}I", *numbers)
    if len(data) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, data)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, data)}]:{int(port, 16)}"


def unix_peers() -> dict[int, int] | None:
    """The other end of each connected unix socket in the caller's own network namespace, by inode.

    None where the kernel does not answer (without CONFIG_UNIX_DIAG, or where that is not permitted). It is only asked.
    """
    import socket

    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_PEER, 0, 0)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as diagnosis:
            diagnosis.settimeout(_SECONDS)
            diagnosis.send(header + request)
            return dict(_answers(diagnosis.recv))
    except OSError:
        return None


def _answers(receive: Callable[[int], bytes]) -> Iterator[tuple[int, int]]:
    """The pairs out of all messages up to the last. OSError where the kernel refuses."""
    while True:
        data = receive(_MOST)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR or length < _HEADER.size:
                raise OSError("the kernel does not tell of sockets")
            yield from _peer(data[at + _HEADER.size : at + length])
            at += (length + 3) & ~3


def _peer(message: bytes) -> Iterator[tuple[int, int]]:
    """The inode of one socket with that of its other end, where it has one."""
    if len(message) < _MESSAGE.size:
        return
    inode = _MESSAGE.unpack_from(message)[4]
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _PEER and length >= _ATTRIBUTE.size + 4:
            yield inode, struct.unpack_from("=I", message, at + _ATTRIBUTE.size)[0]
        at += max((length + 3) & ~3, _ATTRIBUTE.size)

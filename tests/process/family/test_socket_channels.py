"""Sockets between and of the members of a family: who is joined with whom, by what name, and who accepts."""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.process.family.channels import channels_among
from linkscope.process.family.descriptors import descriptors_of
from linkscope.process.family.sockets import SocketTables, _diagnosed, _unix
from tests.oracle.availability import Unavailable
from tests.process.family.pairs import SOCKETPAIR, of_kind, pair, until_all_wait, uses
from tests.process.started import until

RequireTool = Callable[[str], str]


# --- Unix sockets -----------------------------------------------------------------------------------------------------


def test_a_socket_pair_joins_those_who_have_its_ends() -> None:
    with pair(SOCKETPAIR) as (parent, child):
        (joined,) = channels_among([parent, child])
        assert joined.kind == "socket-pair"
        assert uses(joined) == {parent: "both", child: "both"}
        inodes = {each.inode for pid in (parent, child) for each in descriptors_of(pid) if each.kind == "socket"}
        assert joined.name in {f"socket:[{inode}]" for inode in inodes}


def test_a_socket_pair_that_one_process_has_to_itself_is_no_channel() -> None:
    with pair("a, b = socket.socketpair()\ndef parent(): pass\ndef child(): a.close(); b.close()") as pids:
        assert channels_among(pids) == []


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_SEQPACKET"])
@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_connection_between_members_has_the_name_of_the_listening_socket(
    tmp_path: Path, kind: str, abstract: bool
) -> None:
    name = f"\0linkscope {os.getpid()}" if abstract else str(tmp_path / "a socket")
    code = f"""
server = socket.socket(socket.AF_UNIX, socket.{kind})
server.bind(sys.argv[1].replace("@", "\\0"))
server.listen()
def parent():
    global connection
    connection, _ = server.accept()
def child():
    global client
    server.close()
    client = socket.socket(socket.AF_UNIX, socket.{kind})
    client.connect(sys.argv[1].replace("@", "\\0"))
"""
    shown = name.replace("\0", "@")
    with pair(code, shown) as (parent, child):
        found = channels_among([parent, child])
        (connection,), (listener,) = of_kind(found, "unix-socket"), of_kind(found, "listening")
        assert connection.name == listener.name == shown
        assert set(uses(connection)) == {parent, child}
        assert uses(listener) == {parent: "hold"}


def test_datagram_sockets_are_joined_from_one_side(tmp_path: Path) -> None:
    """As those who log are: the receiver is not connected back."""
    code = """
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
def parent(): pass
def child():
    global client
    server.close()
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.connect(sys.argv[1])
"""
    with pair(code, str(tmp_path / "log")) as (parent, child):
        (found,) = channels_among([parent, child])
        assert (found.kind, found.name) == ("unix-socket", str(tmp_path / "log"))
        assert set(uses(found)) == {parent, child}


def test_in_another_network_namespace_only_an_end_that_is_shared_shows(require_tool: RequireTool) -> None:
    """The kernel tells of the other ends in the caller's namespace only."""
    if os.geteuid():
        raise Unavailable("only the administrator makes network namespaces")
    code = """
a, b = socket.socketpair()
server = socket.create_server(("127.0.0.1", 0))
def parent(): b.close()
def child(): b.close()
"""
    with pair(code, prefix=[require_tool("unshare"), "--net"]) as (parent, child):
        found = channels_among([parent, child])
        (shared,) = of_kind(found, "socket-pair")
        assert set(uses(shared)) == {parent, child}
        # Loopback is down there, and still its addresses are told.
        (listener,) = of_kind(found, "listening")
        assert listener.name.startswith("127.0.0.1:")
        inodes = {each.inode for each in descriptors_of(parent) if each.kind == "socket"}
        assert not SocketTables().sockets_of(os.getpid(), inodes)


def test_the_kernel_tells_the_other_end_of_a_socket_pair() -> None:
    one, other = socket.socketpair()
    with one, other:
        inodes = [os.fstat(each.fileno()).st_ino for each in (one, other)]
        peers = SocketTables().unix_peers()
        assert peers is not None
        assert [peers[inode] for inode in inodes] == inodes[::-1]


FORGED = {
    "no row": "x x x ZZ x x {inode} y",
    "a row": "0000000000000000: 00000002 00000000 00010000 0001 01 {inode} /forged",
}


@pytest.mark.parametrize("row", FORGED.values(), ids=FORGED)
def test_nobody_forges_a_socket_by_the_name_of_another(row: str) -> None:
    """The kernel writes names into its list as they are, with their ends of lines."""
    one, other = socket.socketpair()
    with one, other, socket.socket(socket.AF_UNIX) as forger:
        inode = os.fstat(one.fileno()).st_ino
        forger.bind("\0a\n" + row.format(inode=inode))
        assert row.format(inode=inode).encode() in Path("/proc/self/net/unix").read_bytes().split(b"\n")
        (found,) = SocketTables().sockets_of(os.getpid(), {inode}).values()
        assert (found.local, found.listens) == ("", False)


def test_a_line_that_is_no_row_of_the_kernels_is_passed_over_in_another_network_namespace(
    require_tool: RequireTool,
) -> None:
    if os.geteuid():
        raise Unavailable("only the administrator makes network namespaces")
    code = f"""
a, b = socket.socketpair()
forger = socket.socket(socket.AF_UNIX)
forger.bind("\\0a\\n" + "{FORGED["no row"]}".format(inode=os.fstat(a.fileno()).st_ino))
def parent(): b.close()
def child(): b.close()
"""
    with pair(code, prefix=[require_tool("unshare"), "--net"]) as (parent, child):
        names = {channel.name for channel in channels_among([parent, child]) if len(channel.ends) == 2}
        assert len(names) == 2
        assert "y" not in names


def test_the_kernels_list_of_unix_sockets_says_what_its_diagnosis_says(tmp_path: Path) -> None:
    """Also of datagram sockets, abstract names, NULs, spaces, and what has no name."""
    with contextlib.ExitStack() as stack:
        own = {}
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            for name in (str(tmp_path / f"a {kind}  name "), f"\0linkscope\0{os.getpid()} {kind}", None):
                it = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
                if name is not None:
                    it.bind(name)
                if name is not None and kind != socket.SOCK_DGRAM:
                    it.listen()
                own[os.fstat(it.fileno()).st_ino] = name
        told, listed = _diagnosed(), dict(_unix(Path("/proc/self/net/unix").read_bytes()))
        if told is None:
            raise Unavailable("the kernel diagnoses no sockets here")
        for inode, name in own.items():
            assert (told[inode].address, told[inode].listens) == (listed[inode].address, listed[inode].listens)
            assert told[inode].address == (name or "").replace("\0", "@").encode()


# --- Who accepts ------------------------------------------------------------------------------------------------------

# How a thread waits on `server`, or on something else, or not at all.
WAYS = {
    "accept": "server.accept()",
    "accept in a thread": "threading.Thread(target=server.accept, daemon=True).start(); signal.pause()",
    "poll": "p = select.poll(); p.register(quiet, select.POLLIN); p.register(server, select.POLLIN); p.poll()",
    "select": "select.select([quiet, server], [], [])",
    "epoll": "e.register(server, select.EPOLLIN); e.poll()",
    "epoll, and busy elsewhere": "e.register(server, select.EPOLLIN); signal.pause()",
}
IDLE_WAYS = {
    "poll for urgent data": "p = select.poll(); p.register(server, select.POLLPRI); p.poll()",
    "epoll for writing": "e.register(server, select.EPOLLOUT); e.poll()",
    "poll on another": "p = select.poll(); p.register(quiet, select.POLLIN); p.poll()",
    "nothing": "signal.pause()",
}


@pytest.mark.parametrize("way", [*WAYS, *IDLE_WAYS])
def test_who_waits_for_connections_accepts_and_who_only_has_the_socket_holds_it(way: str) -> None:
    code = f"""
server = socket.create_server(("127.0.0.1", 0))
e = select.epoll()
quiet, _ = os.pipe()
def child(): e.close()
def parent(): pass
def wait(): {WAYS.get(way) or IDLE_WAYS[way]}
"""
    with pair(code) as (parent, child):

        def seen() -> bool:
            until_all_wait([parent, child])
            (listener,) = of_kind(channels_among([parent, child]), "listening")
            assert uses(listener)[child] == "hold"
            return uses(listener)[parent] == ("accept" if way in WAYS else "hold")

        until(seen, "what the parent does is seen")


def test_sockets_that_share_a_port_are_one_channel() -> None:
    code = """
first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
def parent(): pass
def child():
    global second
    second = socket.create_server(first.getsockname(), reuse_port=True)
    first.close()
"""
    with pair(code) as (parent, child):
        (listener,) = channels_among([parent, child])
        assert set(uses(listener)) == {parent, child}


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_an_address_is_written_as_people_write_it(family: socket.AddressFamily, address: str) -> None:
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError as error:
        raise Unavailable(f"no sockets of this family here: {error.strerror}") from error
    with server:
        inode, port = os.fstat(server.fileno()).st_ino, server.getsockname()[1]
        (found,) = SocketTables().sockets_of(os.getpid(), {inode}).values()
        assert found.local == (f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
        assert found.listens

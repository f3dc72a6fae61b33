"""The channels inside a family: the programs that make them say what there is, and the kernel who waits where."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from linkscope.model.pid import Channel
from linkscope.process.channels import channels_among
from linkscope.process.descriptors import descriptors_of
from linkscope.process.sockets import SocketTables, _diagnosed, _unix
from linkscope.process.waiting import awaited_by
from tests.oracle.availability import Unavailable
from tests.process.started import NOBODY, Argument, children, connected, echoed, started, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]
Ends = dict[int, tuple[str, list[int]]]

_POOL = Path(__file__).resolve().parents[2] / "fixtures" / "python" / "pool.py"


def _ends(channel: Channel) -> Ends:
    return {end.pid: (end.use, end.descriptors) for end in channel.ends}


def _uses(channel: Channel) -> dict[int, str]:
    return {end.pid: end.use for end in channel.ends}


def _of_kind(found: Sequence[Channel], kind: str) -> list[Channel]:
    return [channel for channel in found if channel.kind == kind]


@contextlib.contextmanager
def _pair(code: str, *arguments: str, prefix: Sequence[Argument] = ()) -> Iterator[tuple[int, int]]:
    """A parent and its child, from a program that defines what each of them does, and how the parent waits after it."""
    program = f"""
import mmap, os, select, signal, socket, sys, threading
wait = signal.pause
{code}
told, tell = os.pipe2(os.O_CLOEXEC)
pid = os.fork()
if pid == 0:
    os.close(told)
    child()
    os.write(tell, b"x")
    os.close(tell)
    while True: signal.pause()
os.close(tell)
parent()
os.read(told, 1)
os.close(told)
print("ready", flush=True)
while True: wait()
"""
    with started([*prefix, sys.executable, "-c", program, *arguments], stdin=subprocess.DEVNULL) as pair:
        pair.expect("ready")
        (pid,) = children(pair.pid)
        yield pair.pid, pid


_IDLE = "def parent(): pass\ndef child(): pass\n"


# --- The fixtures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["", "-static", "-musl", "-musl-static"])
def test_all_that_a_prefork_server_has_in_common_is_told(fixture_file: FixtureFile, variant: str) -> None:
    with started([fixture_file(f"servers/prefork{variant}"), "-p", "0", "-n", "3"]) as server:
        server.expect("ready")
        (port,), pids = server.values("port"), [int(pid) for pid in server.values("pid")]
        master, workers = pids[0], pids[1:]
        _waiting(workers)
        found = channels_among(pids)
        (pipe,), (pair,), (memfd,), (listener,) = (
            _of_kind(found, kind) for kind in ("pipe", "socket-pair", "memfd", "listening")
        )
        anonymous, shm = sorted(_of_kind(found, "shared-memory"), key=lambda channel: channel.name, reverse=True)
        assert len(found) == 6
        assert {pid: use for pid, use in _uses(pipe).items() if use == "read"} == {master: "read"}
        assert all(_uses(pipe)[worker] == "write" for worker in workers)
        assert set(_uses(pair)) == set(pids)
        for memory in (anonymous, shm, memfd):
            assert _uses(memory) == dict.fromkeys(pids, "map")
            assert memory.size == os.sysconf("SC_PAGE_SIZE")
        assert memfd.name == "memfd:prefork"
        assert shm.name == f"/dev/shm/prefork-{master} (deleted)"
        assert listener.name == f"127.0.0.1:{port}"
        assert _uses(listener) == {master: "hold", **dict.fromkeys(workers, "accept")}


def _waiting(pids: Sequence[int]) -> None:
    """Until each of these sleeps in a system call."""
    until(lambda: all(_sleeps(pid) for pid in pids), "all of them wait")


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] not in ("running", "-1")


def test_a_worker_that_is_busy_with_a_connection_holds_the_listening_socket(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/prefork"), "-p", "0", "-n", "2"]) as server:
        server.expect("ready")
        port, pids = int(server.values("port")[0]), [int(pid) for pid in server.values("pid")]
        with connected(port) as connection:
            assert echoed(connection, b"x") == b"x"
            _waiting(pids)
            (listener,) = _of_kind(channels_among(pids), "listening")
            assert sorted(_uses(listener).values()) == ["accept", "hold", "hold"]


@pytest.mark.parametrize("name", ["servers/fork", "servers/threads"])
def test_a_server_that_is_alone_accepts_on_its_socket(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(name), "-p", "0"]) as server:
        port = server.number("port")
        _waiting([server.pid])
        (listener,) = channels_among([server.pid])
        assert (listener.kind, listener.name) == ("listening", f"127.0.0.1:{port}")
        assert _uses(listener) == {server.pid: "accept"}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_talks_through_pipes_and_shared_semaphores(method: str) -> None:
    with started([sys.executable, _POOL, method]) as pool:
        pool.expect("ready")
        master, *workers = [int(pid) for pid in pool.values("pid")]
        others = [int(pid) for word in ("tracker", "forkserver") for pid in pool.values(word)]
        found = channels_among([master, *workers, *others])
        pipes = _of_kind(found, "pipe")
        for worker in workers:
            # The queue of tasks, that of results, and its own sentinel.
            assert sum({master, worker} <= _uses(pipe).keys() for pipe in pipes) >= 3
        semaphores = [channel for channel in _of_kind(found, "shared-memory") if "/sem." in channel.name]
        assert semaphores
        assert all({master, *workers} <= _uses(channel).keys() for channel in semaphores)
        for tracker in map(int, pool.values("tracker")):
            assert any(_uses(pipe).get(tracker) == "read" and _uses(pipe).get(master) == "write" for pipe in pipes)
        for server in map(int, pool.values("forkserver")):
            (listener,) = _of_kind(found, "listening")
            assert _uses(listener) == {server: "accept"}
            assert listener.name.startswith("/")


# --- Pipes ------------------------------------------------------------------------------------------------------------


def test_what_leads_out_of_the_family_is_no_channel_of_it() -> None:
    """Both write to the standard output that the test reads; both have /dev/null."""
    with _pair(_IDLE) as pids:
        assert all(any(each.number == 1 and each.kind == "pipe" for each in descriptors_of(pid)) for pid in pids)
        assert channels_among(pids) == []


def test_a_pipe_of_which_one_process_has_both_ends_is_no_channel() -> None:
    with _pair("pipe = os.pipe()\ndef parent(): pass\ndef child(): os.close(pipe[0]); os.close(pipe[1])") as pids:
        assert channels_among(pids) == []


def test_a_pipe_leads_from_the_one_who_writes_to_the_one_who_reads() -> None:
    code = """
r, w = os.pipe()
def parent(): os.close(w); os.dup2(r, 40); os.dup2(r, 41); os.close(r)
def child(): os.close(r)
"""
    with _pair(code) as (parent, child):
        (pipe,) = channels_among([parent, child])
        assert pipe.name.startswith("pipe:[")
        assert _ends(pipe)[parent] == ("read", [40, 41])
        assert _uses(pipe)[child] == "write"


def test_a_fifo_is_a_pipe_with_a_name(tmp_path: Path) -> None:
    fifo = tmp_path / "a fifo"
    os.mkfifo(fifo)
    code = """
def parent(): os.open(sys.argv[1], os.O_RDONLY)
def child(): os.open(sys.argv[1], os.O_WRONLY)
"""
    with _pair(code, str(fifo)) as (parent, child):
        (found,) = channels_among([parent, child])
        assert (found.kind, found.name) == ("pipe", str(fifo))
        assert _uses(found) == {parent: "read", child: "write"}


# --- Unix sockets -----------------------------------------------------------------------------------------------------

_SOCKETPAIR = """
a, b = socket.socketpair()
def parent(): b.close()
def child(): a.close()
"""


def test_a_socket_pair_joins_those_who_have_its_ends() -> None:
    with _pair(_SOCKETPAIR) as (parent, child):
        (pair,) = channels_among([parent, child])
        assert pair.kind == "socket-pair"
        assert _uses(pair) == {parent: "both", child: "both"}
        inodes = {each.inode for pid in (parent, child) for each in descriptors_of(pid) if each.kind == "socket"}
        assert pair.name in {f"socket:[{inode}]" for inode in inodes}


def test_a_socket_pair_that_one_process_has_to_itself_is_no_channel() -> None:
    with _pair("a, b = socket.socketpair()\ndef parent(): pass\ndef child(): a.close(); b.close()") as pids:
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
    with _pair(code, shown) as (parent, child):
        found = channels_among([parent, child])
        (connection,), (listener,) = _of_kind(found, "unix-socket"), _of_kind(found, "listening")
        assert connection.name == listener.name == shown
        assert set(_uses(connection)) == {parent, child}
        assert _uses(listener) == {parent: "hold"}


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
    with _pair(code, str(tmp_path / "log")) as (parent, child):
        (found,) = channels_among([parent, child])
        assert (found.kind, found.name) == ("unix-socket", str(tmp_path / "log"))
        assert set(_uses(found)) == {parent, child}


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
    with _pair(code, prefix=[require_tool("unshare"), "--net"]) as (parent, child):
        found = channels_among([parent, child])
        (shared,) = _of_kind(found, "socket-pair")
        assert set(_uses(shared)) == {parent, child}
        # Loopback is down there, and still its addresses are told.
        (listener,) = _of_kind(found, "listening")
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
    with _pair(code, prefix=[require_tool("unshare"), "--net"]) as (parent, child):
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


# --- Memory -----------------------------------------------------------------------------------------------------------


def test_a_file_is_shared_memory_where_one_may_write_to_it(tmp_path: Path) -> None:
    for access, expected in (("mmap.PROT_READ | mmap.PROT_WRITE", 1), ("mmap.PROT_READ", 0)):
        file = tmp_path / "a file"
        file.write_bytes(bytes(3 * os.sysconf("SC_PAGE_SIZE")))
        code = f"""
file = open(sys.argv[1], "r+b")
memory = mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED, {access})
further = mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED, {access}, offset=2 * mmap.PAGESIZE)
{_IDLE}"""
        with _pair(code, str(file)) as (parent, child):
            found = channels_among([parent, child])
            assert len(found) == expected
            for channel in found:
                assert (channel.kind, channel.name) == ("shared-file", str(file))
                assert channel.size == 2 * os.sysconf("SC_PAGE_SIZE")
                assert _uses(channel) == {parent: "map", child: "map"}


def test_a_private_mapping_is_no_channel(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    code = f"file = open(sys.argv[1], 'r+b')\nmemory = mmap.mmap(file.fileno(), 100, mmap.MAP_PRIVATE)\n{_IDLE}"
    with _pair(code, str(tmp_path / "x")) as pids:
        assert channels_among(pids) == []


def test_a_memfd_that_one_maps_and_another_only_holds_is_a_channel() -> None:
    code = """
number = os.memfd_create("a memfd")
os.ftruncate(number, 5 * mmap.PAGESIZE)
def parent(): pass
def child():
    global memory
    memory = mmap.mmap(number, 5 * mmap.PAGESIZE, mmap.MAP_SHARED)
    os.close(number)
"""
    with _pair(code) as (parent, child):
        (memfd,) = channels_among([parent, child])
        assert (memfd.kind, memfd.name, memfd.size) == ("memfd", "memfd:a memfd", 5 * os.sysconf("SC_PAGE_SIZE"))
        assert _uses(memfd) == {parent: "hold", child: "map"}
        assert _ends(memfd)[child][1]  # mmap keeps a descriptor of its own


def test_anonymous_and_system_v_memory_is_known_by_its_number() -> None:
    code = f"""
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, 8192, 0o1600)
address = libc.shmat(segment, None, 0)
libc.shmctl(segment, 0, None)
memory = mmap.mmap(-1, 12288)
{_IDLE}"""
    with _pair(code) as (parent, child):
        found = {channel.name.split()[0].split(":")[0]: channel for channel in channels_among([parent, child])}
        assert {name: channel.size for name, channel in found.items()} == {"anonymous": 12288, "System": 8192}
        assert all(_uses(channel) == {parent: "map", child: "map"} for channel in found.values())
        assert found["System"].name.endswith("(key 0x00000000)")


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
    with _pair(code) as (parent, child):

        def seen() -> bool:
            _waiting([parent, child])
            (listener,) = _of_kind(channels_among([parent, child]), "listening")
            assert _uses(listener)[child] == "hold"
            return _uses(listener)[parent] == ("accept" if way in WAYS else "hold")

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
    with _pair(code) as (parent, child):
        (listener,) = channels_among([parent, child])
        assert set(_uses(listener)) == {parent, child}


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


# --- What may not be seen ---------------------------------------------------------------------------------------------


def test_of_processes_that_are_gone_there_are_no_channels() -> None:
    assert channels_among([1 << 30, (1 << 30) + 1]) == []
    assert awaited_by(1 << 30) == set()


def test_of_somebody_elses_processes_nothing_is_seen_and_nothing_fails() -> None:
    if os.geteuid():
        raise Unavailable("only the administrator becomes another user")
    with _pair(_SOCKETPAIR) as pids:
        copy = os.fork()
        if copy == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                code = int(channels_among(pids) != [])
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0


def test_a_process_may_look_at_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = _of_kind(channels_among([os.getpid()]), "listening")
        (own,) = (each for each in found if each.name.endswith(f":{server.getsockname()[1]}"))
        assert _ends(own) == {os.getpid(): ("hold", [server.fileno()])}

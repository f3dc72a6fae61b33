"""The channels inside a family: the programs that make them say what there is, and the kernel who waits where."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.process.family.channels import channels_among
from linkscope.process.family.descriptors import descriptors_of
from linkscope.process.family.waiting import awaited_by
from tests.oracle.availability import Unavailable
from tests.process.family.pairs import IDLE, SOCKETPAIR, ends_of, of_kind, pair, until_all_wait, uses
from tests.process.started import NOBODY, connected, echoed, started

FixtureFile = Callable[[str], Path]

_POOL = Path(__file__).resolve().parents[3] / "fixtures" / "python" / "pool.py"


# --- The fixtures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["", "-static", "-musl", "-musl-static"])
def test_all_that_a_prefork_server_has_in_common_is_told(fixture_file: FixtureFile, variant: str) -> None:
    with started([fixture_file(f"servers/prefork{variant}"), "-p", "0", "-n", "3"]) as server:
        server.expect("ready")
        (port,), pids = server.values("port"), [int(pid) for pid in server.values("pid")]
        master, workers = pids[0], pids[1:]
        until_all_wait(workers)
        found = channels_among(pids)
        (pipe,), (joined,), (memfd,), (listener,) = (
            of_kind(found, kind) for kind in ("pipe", "socket-pair", "memfd", "listening")
        )
        anonymous, shm = sorted(of_kind(found, "shared-memory"), key=lambda channel: channel.name, reverse=True)
        assert len(found) == 6
        assert {pid: use for pid, use in uses(pipe).items() if use == "read"} == {master: "read"}
        assert all(uses(pipe)[worker] == "write" for worker in workers)
        assert set(uses(joined)) == set(pids)
        for memory in (anonymous, shm, memfd):
            assert uses(memory) == dict.fromkeys(pids, "map")
            assert memory.size == os.sysconf("SC_PAGE_SIZE")
        assert memfd.name == "memfd:prefork"
        assert shm.name == f"/dev/shm/prefork-{master} (deleted)"
        assert listener.name == f"127.0.0.1:{port}"
        assert uses(listener) == {master: "hold", **dict.fromkeys(workers, "accept")}


def test_a_worker_that_is_busy_with_a_connection_holds_the_listening_socket(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/prefork"), "-p", "0", "-n", "2"]) as server:
        server.expect("ready")
        port, pids = int(server.values("port")[0]), [int(pid) for pid in server.values("pid")]
        with connected(port) as connection:
            assert echoed(connection, b"x") == b"x"
            until_all_wait(pids)
            (listener,) = of_kind(channels_among(pids), "listening")
            assert sorted(uses(listener).values()) == ["accept", "hold", "hold"]


@pytest.mark.parametrize("name", ["servers/fork", "servers/threads"])
def test_a_server_that_is_alone_accepts_on_its_socket(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(name), "-p", "0"]) as server:
        port = server.number("port")
        until_all_wait([server.pid])
        (listener,) = channels_among([server.pid])
        assert (listener.kind, listener.name) == ("listening", f"127.0.0.1:{port}")
        assert uses(listener) == {server.pid: "accept"}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_talks_through_pipes_and_shared_semaphores(method: str) -> None:
    with started([sys.executable, _POOL, method]) as pool:
        pool.expect("ready")
        master, *workers = [int(pid) for pid in pool.values("pid")]
        others = [int(pid) for word in ("tracker", "forkserver") for pid in pool.values(word)]
        found = channels_among([master, *workers, *others])
        pipes = of_kind(found, "pipe")
        for worker in workers:
            # The queue of tasks, that of results, and its own sentinel.
            assert sum({master, worker} <= uses(pipe).keys() for pipe in pipes) >= 3
        semaphores = [channel for channel in of_kind(found, "shared-memory") if "/sem." in channel.name]
        assert semaphores
        assert all({master, *workers} <= uses(channel).keys() for channel in semaphores)
        for tracker in map(int, pool.values("tracker")):
            assert any(uses(pipe).get(tracker) == "read" and uses(pipe).get(master) == "write" for pipe in pipes)
        for server in map(int, pool.values("forkserver")):
            (listener,) = of_kind(found, "listening")
            assert uses(listener) == {server: "accept"}
            assert listener.name.startswith("/")


# --- Pipes ------------------------------------------------------------------------------------------------------------


def test_what_leads_out_of_the_family_is_no_channel_of_it() -> None:
    """Both write to the standard output that the test reads; both have /dev/null."""
    with pair(IDLE) as pids:
        assert all(any(each.number == 1 and each.kind == "pipe" for each in descriptors_of(pid)) for pid in pids)
        assert channels_among(pids) == []


def test_a_pipe_of_which_one_process_has_both_ends_is_no_channel() -> None:
    with pair("pipe = os.pipe()\ndef parent(): pass\ndef child(): os.close(pipe[0]); os.close(pipe[1])") as pids:
        assert channels_among(pids) == []


def test_a_pipe_leads_from_the_one_who_writes_to_the_one_who_reads() -> None:
    code = """
r, w = os.pipe()
def parent(): os.close(w); os.dup2(r, 40); os.dup2(r, 41); os.close(r)
def child(): os.close(r)
"""
    with pair(code) as (parent, child):
        (pipe,) = channels_among([parent, child])
        assert pipe.name.startswith("pipe:[")
        assert ends_of(pipe)[parent] == ("read", [40, 41])
        assert uses(pipe)[child] == "write"


def test_a_fifo_is_a_pipe_with_a_name(tmp_path: Path) -> None:
    fifo = tmp_path / "a fifo"
    os.mkfifo(fifo)
    code = """
def parent(): os.open(sys.argv[1], os.O_RDONLY)
def child(): os.open(sys.argv[1], os.O_WRONLY)
"""
    with pair(code, str(fifo)) as (parent, child):
        (found,) = channels_among([parent, child])
        assert (found.kind, found.name) == ("pipe", str(fifo))
        assert uses(found) == {parent: "read", child: "write"}


# --- Memory -----------------------------------------------------------------------------------------------------------


def test_a_file_is_shared_memory_where_one_may_write_to_it(tmp_path: Path) -> None:
    for access, expected in (("mmap.PROT_READ | mmap.PROT_WRITE", 1), ("mmap.PROT_READ", 0)):
        file = tmp_path / "a file"
        file.write_bytes(bytes(3 * os.sysconf("SC_PAGE_SIZE")))
        code = f"""
file = open(sys.argv[1], "r+b")
memory = mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED, {access})
further = mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED, {access}, offset=2 * mmap.PAGESIZE)
{IDLE}"""
        with pair(code, str(file)) as (parent, child):
            found = channels_among([parent, child])
            assert len(found) == expected
            for channel in found:
                assert (channel.kind, channel.name) == ("shared-file", str(file))
                assert channel.size == 2 * os.sysconf("SC_PAGE_SIZE")
                assert uses(channel) == {parent: "map", child: "map"}


def test_a_private_mapping_is_no_channel(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    code = f"file = open(sys.argv[1], 'r+b')\nmemory = mmap.mmap(file.fileno(), 100, mmap.MAP_PRIVATE)\n{IDLE}"
    with pair(code, str(tmp_path / "x")) as pids:
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
    with pair(code) as (parent, child):
        (memfd,) = channels_among([parent, child])
        assert (memfd.kind, memfd.name, memfd.size) == ("memfd", "memfd:a memfd", 5 * os.sysconf("SC_PAGE_SIZE"))
        assert uses(memfd) == {parent: "hold", child: "map"}
        assert ends_of(memfd)[child][1]  # mmap keeps a descriptor of its own


def test_anonymous_and_system_v_memory_is_known_by_its_number() -> None:
    code = f"""
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, 8192, 0o1600)
address = libc.shmat(segment, None, 0)
libc.shmctl(segment, 0, None)
memory = mmap.mmap(-1, 12288)
{IDLE}"""
    with pair(code) as (parent, child):
        found = {channel.name.split()[0].split(":")[0]: channel for channel in channels_among([parent, child])}
        assert {name: channel.size for name, channel in found.items()} == {"anonymous": 12288, "System": 8192}
        assert all(uses(channel) == {parent: "map", child: "map"} for channel in found.values())
        assert found["System"].name.endswith("(key 0x00000000)")


# --- What may not be seen ---------------------------------------------------------------------------------------------


def test_of_processes_that_are_gone_there_are_no_channels() -> None:
    assert channels_among([1 << 30, (1 << 30) + 1]) == []
    assert awaited_by(1 << 30) == set()


def test_of_somebody_elses_processes_nothing_is_seen_and_nothing_fails() -> None:
    if os.geteuid():
        raise Unavailable("only the administrator becomes another user")
    with pair(SOCKETPAIR) as pids:
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
        found = of_kind(channels_among([os.getpid()]), "listening")
        (own,) = (each for each in found if each.name.endswith(f":{server.getsockname()[1]}"))
        assert ends_of(own) == {os.getpid(): ("hold", [server.fileno()])}

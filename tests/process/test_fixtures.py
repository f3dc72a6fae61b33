"""The processes that tests look at do what their names say: the kernel, pldd and readelf are the judges."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.oracle.availability import Unavailable
from tests.process.started import (
    NOBODY,
    VARIANTS,
    as_user,
    children,
    connected,
    echoed,
    parent,
    started,
    stat_fields,
    state,
    until,
    variants,
)

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

SERVERS = ("fork", "fork-zombies", "prefork", "threads")


# --- The harness ------------------------------------------------------------------------------------------------------


def test_what_was_started_is_gone_afterwards_even_where_it_left_the_session(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/orphan"), "-s"]) as orphan:
        pid = orphan.number("pid")
        orphan.expect("ready")
        assert os.getsid(pid) == pid
    assert state(pid) in (None, "Z")


def test_a_line_that_does_not_come_fails_the_test(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states"), "sleeping"]) as sleeper:
        with pytest.raises(AssertionError, match="is silent, and no line 'port '"):
            sleeper.expect("port ", seconds=0.2)
        sleeper.process.kill()
        with pytest.raises(AssertionError, match="ended, and no line 'port '"):
            sleeper.expect("port ")


def test_a_program_runs_as_an_ordinary_user(fixture_file: FixtureFile) -> None:
    with as_user([fixture_file("process/states"), "sleeping"]) as sleeper:
        status = Path(f"/proc/{sleeper.number('pid')}/status").read_text()
    assert re.search(rf"^Uid:\t{NOBODY}\t{NOBODY}\t", status, re.MULTILINE)
    assert re.search(r"^Groups:\t *$", status, re.MULTILINE)


def test_a_machine_without_privilege_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unavailable), as_user(["true"]):
        pass


# --- Servers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", variants(*SERVERS))
def test_servers_echo_over_loopback(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(f"servers/{name}"), "-p", "0"]) as server:
        port = server.number("port")
        with connected(port) as one, connected(port) as other:
            assert echoed(other, b"other") == b"other"
            assert echoed(one, b"one" * 10_000) == b"one" * 10_000


@pytest.mark.parametrize("name", SERVERS)
def test_servers_listen_on_the_loopback_address_only(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(f"servers/{name}"), "-p", "0"]) as server:
        port = server.number("port")
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    listening = [row[1].split(":")[0] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == ["0100007F"]


@pytest.mark.parametrize("name", variants("fork", "fork-zombies"))
def test_a_forking_server_has_a_child_for_each_connection(fixture_file: FixtureFile, name: str) -> None:
    """What becomes of it when the connection ends is the difference between the two."""
    with started([fixture_file(f"servers/{name}"), "-p", "0"]) as server:
        with connected(server.number("port")) as connection:
            assert echoed(connection, b"x") == b"x"
            child = server.number("pid")
            assert children(server.pid) == [child]
        ended = "Z" if name.startswith("fork-zombies") else None
        until(lambda: state(child) == ended, f"{child} in the state {ended}")
        assert children(server.pid) == ([child] if ended else [])


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_asked_to_end_takes_its_children_along(fixture_file: FixtureFile, name: str) -> None:
    with (
        started([fixture_file(f"servers/{name}"), "-p", "0"]) as server,
        connected(server.number("port")) as connection,
    ):
        assert echoed(connection, b"x") == b"x"
        family = children(server.pid)
        assert bool(family) == (name != "threads")
        assert server.terminate() == -signal.SIGTERM
        until(lambda: {state(pid) for pid in family} <= {None, "Z"}, "the end of the children")


def test_a_server_ends_by_itself(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/prefork"), "-p", "0", "-t", "1"]) as server:
        assert server.process.wait(30) == -signal.SIGALRM


@pytest.mark.parametrize("name", variants("threads"))
def test_a_threaded_server_has_a_thread_for_each_connection(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(f"servers/{name}"), "-p", "0"]) as server:
        port = server.number("port")
        with connected(port) as one, connected(port) as other:
            assert echoed(one, b"x") == echoed(other, b"x") == b"x"
            assert int(stat_fields(server.pid)[17]) == 3
        assert children(server.pid) == []


def _descriptors(pid: int) -> set[str]:
    return {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}


def _shared(pid: int) -> set[tuple[str, str]]:
    """Device and inode of the memory that it shares by writing."""
    rows = (line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
    return {(row[3], row[4]) for row in rows if row[1] == "rw-s"}


@pytest.mark.parametrize("name", variants("prefork"))
def test_prefork_workers_share_the_socket_a_pipe_and_memory_with_the_master(
    fixture_file: FixtureFile, name: str
) -> None:
    with started([fixture_file(f"servers/{name}"), "-p", "0", "-n", "3"]) as server:
        port = server.number("port")
        server.expect("ready")
        workers = children(server.pid)
        assert [server.pid, *workers] == sorted(map(int, server.values("pid")))
        assert len(workers) == 3
        own = _descriptors(server.pid)
        for worker in workers:
            until(lambda worker=worker: state(worker) == "S", "a worker that waits")  # type: ignore[misc]
            common = {kind.split(":")[0] for kind in own & _descriptors(worker) if ":" in kind}
            assert {"socket", "pipe"} <= common
            assert len(_shared(worker)) == 3
            assert _shared(worker) == _shared(server.pid)
        with connected(port) as connection:
            assert echoed(connection, b"x") == b"x"
            assert server.number("served") == 1


# --- States and families ----------------------------------------------------------------------------------------------

STATES = {"running": "R", "sleeping": "S", "stopped": "T", "traced": "t", "disk": "D", "zombie": "Z"}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", STATES)
def test_a_process_ends_up_in_the_state_that_was_asked_for(fixture_file: FixtureFile, name: str, variant: str) -> None:
    with started([fixture_file(f"process/states{variant}"), name]) as program:
        pid = program.number("pid")
        until(lambda: state(pid) == STATES[name], f"state {STATES[name]}")
        assert (pid == program.pid) == (name in ("running", "sleeping", "disk"))
        program.terminate()
        until(lambda: state(pid) in (None, "Z"), f"the end of {pid}")


@pytest.mark.parametrize("option", [[], ["-s"]], ids=["same-session", "own-session"])
@pytest.mark.parametrize("name", variants("orphan"))
def test_an_orphan_outlives_its_parent(fixture_file: FixtureFile, name: str, option: list[str]) -> None:
    with started([fixture_file(f"process/{name}"), *option]) as program:
        first_parent, pid = program.number("parent"), program.number("pid")
        program.expect("ready")
        assert program.process.wait(30) == 0
        assert state(first_parent) in (None, "Z")
        assert parent(pid) != first_parent
        assert os.getsid(pid) == (pid if option else program.pid)


# --- Python, and processes for a person to look at --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_multiprocessing_pool_tells_its_family_and_takes_it_along(fixtures_dir: Path, method: str) -> None:
    script = fixtures_dir.parent / "python/pool.py"
    before = set(os.listdir("/dev/shm"))
    with started([sys.executable, script, method, "-n", "3"]) as pool:
        pool.expect("ready")
        master, *workers = map(int, pool.values("pid"))
        trackers, servers = (list(map(int, pool.values(word))) for word in ("tracker", "forkserver"))
        assert master == pool.pid
        assert (len(workers), len(trackers), len(servers)) == (3, method != "fork", method == "forkserver")
        assert children(master) == sorted([*trackers, *(servers or workers)])
        assert {parent(worker) for worker in workers} == {servers[0] if servers else master}
        assert pool.terminate() == 0
        family = [*workers, *trackers, *servers]
        until(lambda: {state(pid) for pid in family} <= {None, "Z"}, "the end of the family")
    assert not {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("sem.mp-")}


def _without_outer_make() -> dict[str, str]:
    """The environment without what `make test ARGS=…` leaves in it for a make below it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}


def _runs() -> list[str]:
    command, environment = ["make", "-s", "-C", str(FIXTURES), "list"], _without_outer_make()
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return re.findall(r"^run-([\w-]+):", made.stdout, re.MULTILINE)


def test_each_process_can_be_started_for_a_person_who_is_told_how_to_look(fixtures_dir: Path) -> None:
    runs = _runs()
    assert {*SERVERS, "orphan", "states", "cow", "dlopen", "holder", "hooked", "pool"} <= set(runs)
    for name in runs:
        arguments = ["ARGS=-p 0"] if name in SERVERS else []
        command = ["make", "-s", "-C", str(fixtures_dir.parent), f"run-{name}", *arguments]
        with started(command, env=_without_outer_make()) as run:
            look = run.expect("look with:  linkscope ")
            told = re.search(r" (\d+|N \(the pid that it prints\))$", look)
            assert told, look
            pid = run.number("pid")
            assert told[1] in (str(pid), "N (the pid that it prints)")

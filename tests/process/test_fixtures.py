"""The processes that tests look at do what their names say: the kernel, pldd and readelf are the judges."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle.availability import Unavailable
from tests.process.started import (
    NOBODY,
    Started,
    as_user,
    children,
    connected,
    echoed,
    parent,
    started,
    stat_fields,
    state,
    until,
)

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

# What the libc variants of a program are called: its name and this.
VARIANTS = ("", "-static", "-musl", "-musl-static")
SERVERS = ("fork", "fork-zombies", "prefork", "threads")


def _variants(*names: str) -> list[str]:
    return [f"{name}{variant}" for name in names for variant in VARIANTS]


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


# --- Servers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", _variants(*SERVERS))
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


@pytest.mark.parametrize("name", _variants("fork", "fork-zombies"))
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


@pytest.mark.parametrize("name", _variants("threads"))
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


@pytest.mark.parametrize("name", _variants("prefork"))
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
@pytest.mark.parametrize("name", _variants("orphan"))
def test_an_orphan_outlives_its_parent(fixture_file: FixtureFile, name: str, option: list[str]) -> None:
    with started([fixture_file(f"process/{name}"), *option]) as program:
        first_parent, pid = program.number("parent"), program.number("pid")
        program.expect("ready")
        assert program.process.wait(30) == 0
        assert state(first_parent) in (None, "Z")
        assert parent(pid) != first_parent
        assert os.getsid(pid) == (pid if option else program.pid)


def _anonymous_pages(pid: int, address: int) -> dict[str, int]:
    """The bytes that smaps counts for the mapping at that address, by field."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    entry = text[re.search(rf"^0*{address:x}-", text, re.MULTILINE).start() :]  # type: ignore[union-attr]
    fields = re.findall(r"^(\w+): +(\d+) kB$", entry.partition("\nVmFlags")[0], re.MULTILINE)
    return {name: int(size) << 10 for name, size in fields}


@pytest.mark.parametrize("name", _variants("cow"))
def test_what_the_child_has_not_written_is_shared_with_its_parent(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(f"process/{name}"), "-m", "8", "-w", "2"]) as program:
        address = program.number("memory")
        shared, touched = program.number("shared"), program.number("touched")
        program.expect("ready")
        assert (shared, touched) == (6 << 20, 2 << 20)
        (child,) = children(program.pid)
        for pid in (program.pid, child):
            memory = _anonymous_pages(pid, address)
            assert memory["Shared_Dirty"] + memory["Shared_Clean"] == shared
            assert memory["Private_Dirty"] == touched


# --- Libraries that come late -----------------------------------------------------------------------------------------


def _pldd(tool: str, pid: int) -> list[str]:
    """The names of a process's base namespace but the program's own, as pldd (glibc) reads them out of its memory."""
    return subprocess.run([tool, str(pid)], capture_output=True, text=True, check=True).stdout.splitlines()[1:]


@pytest.mark.parametrize("plugin", ["plain", "needy", "opener", "declares"])
def test_the_dlopen_host_tells_the_link_map_that_pldd_reads(
    fixture_file: FixtureFile, require_tool: RequireTool, plugin: str
) -> None:
    library = fixture_file(f"process/plugins/lib{plugin}.so")
    with started([fixture_file("process/dlopen"), library]) as host:
        host.expect(f"opened {library}")
        host.expect("ready")
        maps = host.values("map")
        assert maps[1:] == _pldd(require_tool("pldd"), host.pid)
    assert maps[0] == ""
    assert str(library) in maps


# plugin: what comes along with it
COMPANY = {"plain": None, "needy": "needed", "opener": "late", "declares": "declared"}


@pytest.mark.parametrize("variant", ["", "-musl", "-static"])
@pytest.mark.parametrize("plugin", COMPANY)
def test_plugins_bring_their_company(fixture_file: FixtureFile, plugin: str, variant: str) -> None:
    folder = fixture_file(f"process/plugins{'-musl' if variant == '-musl' else ''}/libplain.so").parent
    with started([fixture_file(f"process/dlopen{variant}"), folder / f"lib{plugin}.so"]) as host:
        host.expect("ready")
        mapped = Path(f"/proc/{host.pid}/maps").read_text()
    company = COMPANY[plugin]
    present = {name for name in COMPANY.values() if name and f"{folder}/lib{name}.so" in mapped}
    assert present == ({company} if company else set())


def test_a_library_can_be_opened_and_closed_while_it_runs(fixture_file: FixtureFile) -> None:
    library = fixture_file("process/plugins/libplain.so")
    maps = Path("/proc")
    with started([fixture_file("process/dlopen")]) as host:
        host.expect("ready")
        host.ask(f"open {library}", "ready")
        assert str(library) in (maps / f"{host.pid}/maps").read_text()
        host.ask(f"close {library}", "ready")
        assert str(library) not in (maps / f"{host.pid}/maps").read_text()


def test_a_library_of_another_namespace_is_not_in_the_base_one(
    fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    library = str(fixture_file("process/plugins/libneedy.so"))
    with started([fixture_file("process/dlopen"), "-n", library]) as host:
        host.expect("ready")
        assert library not in _pldd(require_tool("pldd"), host.pid)
        assert library not in host.values("map")
        others = host.values("other")
    assert [name.split(" ", 1)[1] for name in others][:2] == [library, library.replace("needy", "needed")]


def test_a_library_can_be_opened_from_a_memfd(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/dlopen"), "-m", fixture_file("process/plugins/libplain.so")]) as host:
        host.expect("ready")
        assert "/memfd:library (deleted)" in Path(f"/proc/{host.pid}/maps").read_text()
        assert any(name.startswith("/proc/self/fd/") for name in host.values("map"))


# --- A library that goes away -----------------------------------------------------------------------------------------


def _holder(fixture_file: FixtureFile, folder: Path, variant: str = "") -> list[Path]:
    """A copy of the holder and its libraries that a test may spoil; the program to start."""
    for name in (f"holder{variant}", "libheld.so", "libheld-new.so", "libheld-words.so"):
        shutil.copy(fixture_file(f"process/{name}"), folder / name)
    return [folder / f"holder{variant}"]


def _mapped(holder: Started, folder: Path) -> set[tuple[str, int]]:
    """Name and inode of what it has mapped of this folder, its program left out."""
    rows = (line.split(maxsplit=5) for line in Path(f"/proc/{holder.pid}/maps").read_text().splitlines())
    return {(row[5], int(row[4])) for row in rows if row[5:] and row[5].startswith(f"{folder}/libheld")}


# command: what the kernel calls the mapped library then, whether the file of that name has the mapped inode
CHANGES = {
    "delete libheld.so": ("libheld.so (deleted)", None),
    "replace libheld.so libheld-new.so": ("libheld.so (deleted)", False),
    "overwrite libheld.so libheld-new.so": ("libheld.so", True),
    "rename libheld.so libheld-1.so": ("libheld-1.so", None),
    "link libheld.so libheld-1.so": ("libheld.so", True),
    "touch libheld.so": ("libheld.so", True),
    "rename\tlibheld.so\tlibheld 1.so": ("libheld 1.so", None),
}


@pytest.mark.parametrize("variant", ["", "-musl"])
@pytest.mark.parametrize("command", CHANGES)
def test_the_holder_does_to_its_library_what_it_is_told(
    fixture_file: FixtureFile, tmp_path: Path, command: str, variant: str
) -> None:
    library = tmp_path / "libheld.so"
    with started(_holder(fixture_file, tmp_path, variant), cwd=tmp_path) as holder:
        assert holder.expect("word ") == "word held"
        holder.expect("ready")
        inode = library.stat().st_ino
        holder.ask(command)
        name, same = CHANGES[command]
        assert _mapped(holder, tmp_path) == {(f"{tmp_path}/{name}", inode)}
        assert (library.stat().st_ino == inode if library.exists() else None) is same
        holder.send("quit")
        assert holder.process.wait(30) == 0


def test_the_holder_says_what_it_could_not_do(fixture_file: FixtureFile, tmp_path: Path) -> None:
    with started(_holder(fixture_file, tmp_path), cwd=tmp_path) as holder:
        assert holder.ask("delete libgone.so", "failed") == "failed No such file or directory"
        assert holder.ask("nonsense", "failed") == "failed Invalid argument"


def _readelf(*arguments: str | Path) -> str:
    return subprocess.run(["readelf", *arguments], capture_output=True, text=True, check=True).stdout


def test_the_held_library_comes_in_another_layout_and_in_the_same(fixture_file: FixtureFile) -> None:
    old, new, words = (fixture_file(f"process/libheld{suffix}.so") for suffix in ("", "-new", "-words"))
    headers, relocations = ([_readelf(option, path) for path in (old, new, words)] for option in ("-lW", "-rW"))
    assert len({re.findall(r"Build ID: (\w+)", _readelf("-nW", path))[0] for path in (old, new, words)}) == 3
    assert all("[libheld.so]" in _readelf("-dW", path) for path in (old, new, words))
    for facts in (headers, relocations):
        assert facts[0] == facts[2]
        assert facts[0] != facts[1]
    assert int(re.findall(r"contains (\d+) entries", relocations[0])[0]) > 512


def test_a_machine_without_privilege_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unavailable), as_user(["true"]):
        pass

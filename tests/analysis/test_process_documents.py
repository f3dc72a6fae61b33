"""The whole document of programs that run: judged by /proc, pldd, readelf and psutil, and by what was started."""

import contextlib
import os
import pwd
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import msgspec
import psutil
import pytest

from linkscope.analysis.process import each_process, processes
from linkscope.analysis.request import Looking
from linkscope.model.pid import PidDocument, Process, ProcessError
from tests.analysis.observed import (
    Row,
    called,
    closure_in_memory,
    codes,
    elf_files,
    identity,
    needs_root,
    objects,
    observed,
    origins,
    smaps,
    status,
    summed,
)
from tests.process.started import Started, children, connected, echoed, parent, started, state, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

VARIANTS = ["", "-static", "-musl", "-musl-static"]
STATES = {"R": "running", "S": "sleeping", "D": "disk-sleep", "T": "stopped", "t": "tracing-stop", "Z": "zombie"}
# What is to be known of a family is not asked here.
OF_A_FAMILY = {"zombie-children", "orphan-unknown"}
SCHEMA = jsonschema.Draft202012Validator(msgspec.json.schema(PidDocument))

# --- One process, against all that can be known of it -----------------------------------------------------------------


def _quiet(pid: int) -> Process:
    """The document of a process from a time in which its memory was as smaps shows it before and after.

    What a process shares with others changes whenever one of those starts, ends or writes.
    """

    def look() -> Process | None:
        before = smaps(pid)
        process = observed(pid)
        return process if before == smaps(pid) and _costs(process) == _sums(process, before) else None

    process = until(look, f"a moment in which the document of {pid} and smaps agree")
    assert process is not None
    return process


def _costs(process: Process) -> dict[str, object]:
    """What the document says of memory: of each object, and of the whole process."""
    assert process.memory is not None
    whole = {name: getattr(process.memory, name) for name in ("rss", "pss", "shared", "private", "swap")}
    return {"": whole, **{one.path: msgspec.to_builtins(one.memory) for one in objects(process)}}


def _sums(process: Process, rows: list[Row]) -> dict[str, object]:
    """The same, as smaps has it."""
    by_name = {one.path: summed([row for row in rows if row.name == one.path]) for one in objects(process)}
    return {"": summed(rows) | {"swap": sum(row.sizes["Swap"] for row in rows)}, **by_name}


def _check(pid: int, pldd: str | None = None) -> Process:
    """Everything that the document says of a program that was only started. pldd: where it is, for a glibc program."""
    needs_root()
    until(lambda: state(pid) in ("S", "T", "t", "D"), f"rest of process {pid}")
    process = _quiet(pid)
    _who_it_is(process)
    _what_it_runs(process)
    _what_is_mapped(process)
    _whose_it_is(process)
    if pldd is not None:
        names = subprocess.run([pldd, str(pid)], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
        assert [one.loaded_as for one in objects(process) if one.loaded_as] == names
    return process


def _who_it_is(process: Process) -> None:
    pid = process.pid
    user = pwd.getpwuid(int(status(pid, "Uid").split()[1])).pw_name
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().removesuffix("\0").split("\0")
    assert process.ppid == parent(pid)
    assert process.name == Path(f"/proc/{pid}/comm").read_text().removesuffix("\n")
    assert process.cmdline == command
    assert STATES[state(pid) or ""] == process.state
    assert process.threads == int(status(pid, "Threads"))
    assert process.user == user
    # psutil counts from a second that is rounded down.
    assert -0.02 <= process.started - psutil.Process(pid).create_time() <= 1.02


def _what_it_runs(process: Process) -> None:
    path = os.readlink(f"/proc/{process.pid}/exe")
    headers = subprocess.run(["readelf", "-hlW", path], capture_output=True, text=True, check=True).stdout
    assert process.executable is not None
    assert (process.executable.path, process.executable.disk) == (path, "same")
    assert process.executable.linkage == ("dynamic" if "INTERP" in headers else "static")
    assert process.executable.pie == ("DYN (" in headers)
    assert process.executable.started_through is None
    assert process.root is None


def _what_is_mapped(process: Process) -> None:
    files = elf_files(process.pid)
    program = os.readlink(f"/proc/{process.pid}/exe")
    headers = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    interpreter = re.search(r"interpreter: (.*)\]", headers)
    needed = closure_in_memory(process.pid)
    found = objects(process)
    assert {one.path for one in found} == {*files, "[vdso]"}
    assert len(found) == len(files) + 1
    assert process.libraries == len(files) - 1 - (interpreter is not None)
    assert (found[0].path, found[0].origin) == (program, "executable")
    for one in found[1:]:
        assert one.disk == "same"
        assert one.restart is None
        if one.path == "[vdso]":
            assert one.origin == "vdso"
            continue
        assert identity(one.path) == files[one.path]
        assert os.path.samefile(one.loaded_as or one.path, one.path)
        if interpreter is not None and os.path.samefile(one.path, interpreter[1]):
            assert one.origin == "interpreter"
        else:
            assert (one.origin in ("needed", "preload")) == (files[one.path] in needed), one
    assert process.absent == []
    assert set(codes(process)) <= OF_A_FAMILY


def _whose_it_is(process: Process) -> None:
    assert process.family.parent == parent(process.pid)
    dead = [pid for pid in children(process.pid) if state(pid) == "Z"]
    assert sorted(process.family.zombies) == dead
    assert sorted(process.family.children) == [pid for pid in children(process.pid) if pid not in dead]


@contextlib.contextmanager
def _started(fixture_file: FixtureFile, name: str, *arguments: str) -> Iterator[Started]:
    """A fixture, whose document says when it was started, to a clock tick."""
    before = time.time()
    with started([fixture_file(name), *arguments]) as program:
        program.expect("pid")
        program._next = 0
        after = time.time()
        assert before - 0.02 <= observed(program.pid).started <= after + 0.02
        yield program


def _pldd(require_tool: RequireTool, variant: str) -> str | None:
    return require_tool("pldd") if variant == "" else None


# --- Fixtures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_server_with_a_process_for_each_connection(
    fixture_file: FixtureFile, require_tool: RequireTool, variant: str
) -> None:
    with _started(fixture_file, f"servers/fork{variant}", "-p", "0") as server:
        port = server.number("port")
        with connected(port) as one, connected(port) as other:
            assert echoed(one, b"x") == echoed(other, b"x") == b"x"
            master = _check(server.pid, _pldd(require_tool, variant))
            assert len(master.family.children) == 2
            for pid in master.family.children:
                child = _check(pid, _pldd(require_tool, variant))
                assert child.family.parent == server.pid
                assert child.started >= master.started - 0.01
                assert [one.path for one in objects(child)] == [one.path for one in objects(master)]
        until(lambda: not children(server.pid), "the end of its children")
        assert observed(server.pid).family.children == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_server_that_forgets_its_children(fixture_file: FixtureFile, variant: str) -> None:
    with _started(fixture_file, f"servers/fork-zombies{variant}", "-p", "0") as server:
        port = server.number("port")
        for _ in range(2):
            with connected(port) as connection:
                assert echoed(connection, b"x") == b"x"
        until(lambda: [state(pid) for pid in children(server.pid)] == ["Z", "Z"], "two zombies")
        master = _check(server.pid)
        assert len(master.family.zombies) == 2
        for pid in master.family.zombies:
            zombie = observed(pid)
            assert (zombie.state, zombie.ppid, zombie.executable) == ("zombie", server.pid, None)
            assert (zombie.objects, zombie.libraries, zombie.absent) == ([], 0, [])
            assert set(codes(zombie)) - OF_A_FAMILY == {"zombie"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_server_with_workers(fixture_file: FixtureFile, require_tool: RequireTool, variant: str) -> None:
    with _started(fixture_file, f"servers/prefork{variant}", "-p", "0", "-n", "3") as server:
        port = server.number("port")
        server.expect("ready")
        with connected(port) as connection:
            assert echoed(connection, b"x") == b"x"
        master = _check(server.pid, _pldd(require_tool, variant))
        assert [server.pid, *sorted(master.family.children)] == sorted(map(int, server.values("pid")))
        for pid in master.family.children:
            assert _check(pid).ppid == server.pid


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_server_with_threads(fixture_file: FixtureFile, require_tool: RequireTool, variant: str) -> None:
    with _started(fixture_file, f"servers/threads{variant}", "-p", "0") as server:
        port = server.number("port")
        with connected(port) as one, connected(port) as other:
            assert echoed(one, b"x") == echoed(other, b"x") == b"x"
            assert _check(server.pid, _pldd(require_tool, variant)).threads == 3


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["sleeping", "stopped", "traced", "disk"])
def test_a_process_in_each_state(fixture_file: FixtureFile, name: str, variant: str) -> None:
    letter = {"sleeping": "S", "stopped": "T", "traced": "t", "disk": "D"}[name]
    with started([fixture_file(f"process/states{variant}"), name]) as program:
        pid = program.number("pid")
        until(lambda: state(pid) == letter, name)
        assert _check(pid).state == STATES[letter]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_process_that_computes(fixture_file: FixtureFile, variant: str) -> None:
    with started([fixture_file(f"process/states{variant}"), "running"]) as program:
        pid = program.number("pid")
        until(lambda: state(pid) == "R", "running")
        assert observed(pid).state == "running"


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_orphan_and_what_a_parent_shares(fixture_file: FixtureFile, variant: str) -> None:
    with started([fixture_file(f"process/orphan{variant}"), "-s"]) as program:
        pid = program.number("pid")
        program.expect("ready")
        assert _check(pid).ppid == parent(pid)
    with started([fixture_file(f"process/cow{variant}"), "-m", "2", "-w", "1"]) as program:
        program.expect("ready")
        assert _check(program.pid).family.children == children(program.pid)
        _check(children(program.pid)[0])


def test_two_hundred_libraries(fixture_file: FixtureFile, require_tool: RequireTool) -> None:
    with started([fixture_file("process/wide/wide")]) as program:
        program.expect("ready")
        process = _check(program.pid, require_tool("pldd"))
        assert process.libraries == 201
        names = [f"libwide{number:03}.so" for number in range(1, 201)]
        assert [name for name, origin in origins(process).items() if "wide0" in name or "wide1" in name] == names[:199]
        assert called(process, "libwide200.so").soname == "libwide200.so"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_python_processes(fixtures_dir: Path, require_tool: RequireTool, method: str) -> None:
    script = fixtures_dir.parent / "python/pool.py"
    with started([require_tool("/usr/bin/python3"), script, method]) as program:
        program.expect("ready")
        for pid in map(int, program.values("pid")):
            process = _check(pid, require_tool("pldd"))
            assert origins(process)["libc.so.6"] == "needed"
            assert {one.origin for one in objects(process) if "lib-dynload" in one.path} <= {"dlopen"}


# --- The document as a whole ------------------------------------------------------------------------------------------


def test_many_processes_stand_in_the_order_in_which_they_were_asked_for(fixture_file: FixtureFile) -> None:
    """One that is not there is an error, and keeps nothing from the others."""
    with (
        started([fixture_file("process/states"), "sleeping"]) as one,
        started([fixture_file("process/states-static"), "sleeping"]) as other,
    ):
        one.expect("ready")
        other.expect("ready")
        document = processes([other.pid, 1 << 30, one.pid])
    assert [process.pid for process in document.processes] == [other.pid, one.pid]
    assert document.errors == [ProcessError(pid=1 << 30, error="no such process")]


def test_what_was_not_asked_for_is_null(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("ready")
        bare = observed(program.pid, Looking(objects=False, memory=False))
        light = observed(program.pid, Looking(memory=False))
        whole = observed(program.pid)
    assert (bare.objects, bare.memory, bare.libraries) == (None, None, 1)
    assert light.memory is None
    assert {one.memory for one in objects(light)} == {None}
    assert [one.path for one in objects(light)] == [one.path for one in objects(whole)]
    assert all(one.memory for one in objects(whole))


def _validate(document: PidDocument) -> None:
    """What is printed is what the schema says, and reads back as it was."""
    data = msgspec.json.encode(document)
    SCHEMA.validate(msgspec.json.decode(data))
    assert msgspec.json.decode(data, type=PidDocument) == document


@pytest.mark.parametrize("looking", [Looking(), Looking(objects=False, memory=False)], ids=["all", "little"])
def test_every_process_of_the_machine_has_a_document_that_is_consistent(looking: Looking) -> None:
    results = list(each_process(None, looking))
    found = [result for result in results if isinstance(result, Process)]
    errors = [result for result in results if isinstance(result, ProcessError)]
    _validate(PidDocument(processes=found, errors=errors))
    pids = [process.pid for process in found]
    assert pids == sorted(set(pids))
    assert os.getpid() in pids
    assert {error.pid for error in errors} >= {process.pid for process in found if process.libraries is None}
    for process in found:
        _is_consistent(process, looking)


def _is_consistent(process: Process, looking: Looking) -> None:
    if process.libraries is None:
        assert process.objects is None
        assert "not-permitted" in codes(process)
        return
    assert (process.objects is not None) == looking.objects
    assert (process.memory is not None) == looking.memory
    if process.executable is None:
        assert {"kernel-thread", "zombie", "not-predicted"} & set(codes(process)), process
    if process.objects is None:
        return
    kinds = [one.origin for one in process.objects]
    assert kinds.count("executable") == (process.executable is not None)
    assert kinds.count("interpreter") <= 1
    assert kinds.count("vdso") <= 1
    assert process.libraries == sum(kind not in ("executable", "interpreter", "vdso") for kind in kinds)
    if process.executable is not None and process.executable.linkage == "static":
        assert {"needed", "preload", "interpreter", "audit"}.isdisjoint(kinds)
    stale = {one.path for one in process.objects if one.disk in ("replaced", "deleted", "overwritten")}
    assert stale == {found.path for found in process.findings if found.code == "stale-object"}


def test_every_process_that_can_be_seen_is_in_the_answer() -> None:
    """Kernel threads, zombies and all; what was there before and after has to be there."""
    before = set(psutil.pids())
    answered = {result.pid for result in each_process(None, Looking(memory=False))}
    assert before & set(psutil.pids()) <= answered

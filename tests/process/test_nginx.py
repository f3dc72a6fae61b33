"""A server as it is in the world: a master that forks, workers and cache processes, memory and sockets that they share.

nginx's own log says who is who; /proc, pldd and readelf say what is mapped.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.process import each_process, processes
from linkscope.analysis.request import Looking
from linkscope.model.pid import Channel, FamilyTree, Process
from tests.analysis.observed import as_nobody, closure_in_memory, codes, elf_files, needs_root, objects, observed
from tests.process.nginx import KINDS, LOADER, MANAGER, WORKER, WORKERS, ZONE, Server, program, serving
from tests.process.places import room
from tests.process.started import NOBODY, Argument, parent, until

RequireTool = Callable[[str], str]

USERS = ["of root", "of an ordinary user"]
# nginx puts its titles in the place of its environment.
QUIET = ["environment-unknown"]
ROLES = {WORKER: "nginx worker", MANAGER: "nginx cache manager", LOADER: "nginx cache loader"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty one that every user may enter."""
    with room() as empty:
        yield empty


@pytest.fixture(params=USERS)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    """nginx as this machine has it."""
    if request.param == "of root":
        needs_root()
    with serving(folder / "nginx", user=None if request.param == "of root" else _ordinary_user()) as running:
        yield running


def _ordinary_user() -> int | None:
    """Whom to become in order to be one; None for who is one already."""
    return None if os.geteuid() else NOBODY


def test_what_nginx_has_mapped_is_described_as_pldd_and_the_kernel_have_it(
    server: Server, require_tool: RequireTool
) -> None:
    pldd = require_tool("pldd")
    assert {server.answer("/pid")[0] for _ in range(50)} <= set(map(str, server.workers))
    for pid in server.everybody:
        process = observed(pid)
        listed = subprocess.run([pldd, str(pid)], capture_output=True, text=True, check=True).stdout.splitlines()
        files, needed = elf_files(pid), closure_in_memory(pid)
        assert {one.path for one in objects(process)} == {*files, "[vdso]"}
        assert [one.loaded_as for one in objects(process) if one.loaded_as] == listed[1:]
        assert {one.disk for one in objects(process)} == {"same"}
        for one in objects(process):
            expected = ("executable", "needed", "interpreter") if files.get(one.path) in needed else ("vdso", "dlopen")
            assert one.origin.startswith(expected), one
        assert codes(process) == QUIET


def test_every_process_of_nginx_has_its_role(server: Server) -> None:
    roles = {pid: observed(pid).family.role for pid in server.everybody}
    expected = {pid: ROLES[kind] for kind in KINDS for pid in server.of(kind)}
    assert len(expected) == WORKERS + 2
    assert roles == {server.pid: "nginx master", **expected}


def test_the_family_of_nginx_is_a_master_with_its_children(server: Server) -> None:
    master, *below = server.everybody
    tree = _tree(master)
    members = {member.pid: member for member in tree.members}
    assert sorted(observed(master).family.children) == sorted(below)
    assert [members[pid].ppid for pid in below] == [master] * len(below)
    assert {members[pid].depth for pid in below} == {members[master].depth + 1}
    assert members[master].ppid == parent(master)
    assert all(observed(pid).family.orphan is False for pid in below)
    assert tree.one_more is not None
    assert 0 < tree.one_more < 64 << 20


# --- What they share --------------------------------------------------------------------------------------------------


def test_the_memory_for_the_cache_is_shared_by_master_and_workers(server: Server) -> None:
    """Two shared anonymous mappings: the keys of the cache, and a page for counters."""
    until(lambda: server.answer("/cached")[1] == "HIT", "an answer that came from the cache")
    assert {server.answer("/cached")[1] for _ in range(20)} == {"HIT"}
    shared = {(one.size, *sorted(end.pid for end in one.ends)) for one in _channels(server, "shared-memory")}
    expected: dict[tuple[str, int], list[int]] = {}
    for pid in server.everybody:
        for inode, size in _shared_anonymous(pid):
            expected.setdefault((inode, size), []).append(pid)
    assert shared == {(size, *sorted(pids)) for (_, size), pids in expected.items()}
    assert (ZONE, *sorted(server.everybody)) in shared


def _shared_anonymous(pid: int) -> set[tuple[str, int]]:
    """Inode and size of each shared mapping of no file."""
    text = Path(f"/proc/{pid}/maps").read_text()
    rows = re.findall(r"^(\w+)-(\w+) ..-s \w+ 00:\w+ (\d+) +/dev/zero \(deleted\)$", text, re.MULTILINE)
    return {(inode, int(end, 16) - int(start, 16)) for start, end, inode in rows}


def test_the_workers_accept_on_the_socket_that_the_master_holds(server: Server) -> None:
    (listening,) = _channels(server, "listening")
    holders = {pid: fds for pid in server.everybody if (fds := _descriptors(pid, _listening_inode(server.port)))}
    assert f"127.0.0.1:{server.port}" in listening.name
    assert {end.pid: end.descriptors for end in listening.ends} == holders
    assert {end.pid for end in listening.ends if end.use == "accept"} == set(server.workers)
    assert {end.pid for end in listening.ends if end.use == "hold"} == {server.pid}


def _listening_inode(port: int) -> str:
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return next(row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "0A")


def _descriptors(pid: int, inode: str) -> list[int]:
    folder = f"/proc/{pid}/fd"
    return sorted(int(name) for name in os.listdir(folder) if os.readlink(f"{folder}/{name}") == f"socket:[{inode}]")


def test_the_master_talks_to_each_child_through_a_socket_pair(server: Server) -> None:
    pairs = [{end.pid for end in one.ends} for one in _channels(server, "socket-pair")]
    assert len(pairs) == WORKERS + 2
    for pid in server.everybody[1:]:
        assert any({server.pid, pid} <= pair for pair in pairs)


def _tree(pid: int) -> FamilyTree:
    trees = processes([pid], Looking(tree=True)).trees
    assert trees is not None
    (tree,) = trees
    return tree


def _channels(server: Server, kind: str) -> list[Channel]:
    return [one for one in _tree(server.pid).channels if one.kind == kind]


# --- Something is replaced under it -----------------------------------------------------------------------------------


class Kit(msgspec.Struct, frozen=True):
    """An nginx with a file of its own that can be replaced. seen: how its processes call the file."""

    file: Path
    seen: str
    argv: tuple[Argument, ...]
    user: int | None = None
    environment: dict[str, str] | None = None


def _library_by_variable(folder: Path) -> Kit:
    """Copies of the libraries, by LD_LIBRARY_PATH; an ordinary user's."""
    libraries = _copied_libraries(folder)
    file = (libraries / "libpcre2-8.so.0").resolve()
    return Kit(file, os.fspath(file), (program(),), _ordinary_user(), {"LD_LIBRARY_PATH": os.fspath(libraries)})


def _library_in_a_namespace(folder: Path) -> Kit:
    """In a mount namespace, where the copies lie in the place of the machine's own libraries."""
    needs_root()
    libraries = _copied_libraries(folder)
    place = os.path.dirname(os.path.realpath(_needs(program())["libpcre2-8.so.0"]))
    file = (libraries / "libpcre2-8.so.0").resolve()
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    unshare = ("unshare", "--mount", "--propagation", "private")
    return Kit(file, f"{place}/{file.name}", (*unshare, "sh", "-c", script, "sh", libraries, place, program()))


def _program(folder: Path) -> Kit:
    """A copy of the program."""
    file = folder / "nginx-copy"
    shutil.copy(program(), file)
    return Kit(file, os.fspath(file), (file,))


def _needs(path: str) -> dict[str, str]:
    """The libraries that ldd names, and where it finds them."""
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^\s*(\S+) => (/\S+) ", said, re.MULTILINE))
    return found | {os.path.basename(loader): loader for loader in re.findall(r"^\s*(/\S+) \(", said, re.MULTILINE)}


def _copied_libraries(folder: Path) -> Path:
    """All that nginx needs, each under the name of its file, with a link as packages have it."""
    copies = folder / "lib"
    copies.mkdir()
    for name, path in _needs(program()).items():
        real = os.path.realpath(path)
        shutil.copy(real, copies / os.path.basename(real))
        if name != os.path.basename(real):
            (copies / name).symlink_to(os.path.basename(real))
    return copies


KITS = {
    "a library by a variable": _library_by_variable,
    "a library in a mount namespace": _library_in_a_namespace,
    "the program": _program,
}


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest, folder: Path) -> Kit:
    """Each nginx whose file can be replaced."""
    return KITS[request.param](folder)


@contextlib.contextmanager
def _running(kit: Kit, folder: Path) -> Iterator[Server]:
    with serving(folder / "nginx", kit.argv, user=kit.user, env=kit.environment) as server:
        yield server


def _replace(file: Path) -> None:
    """As a package manager does it; nothing but the inode is another one."""
    shutil.copy(file, f"{file}.new")
    os.replace(f"{file}.new", file)


def _stale(server: Server) -> list[dict[str, str]]:
    """What is stale in the processes of nginx, each answer once: paths of objects, and how they stand to the disk.

    What would be loaded instead has the name by which the object was loaded; nothing else is wrong.
    """
    answers: list[dict[str, str]] = []
    for process in map(observed, server.everybody):
        stale = [one for one in objects(process) if one.disk != "same"]
        assert [one.path for one in process.findings if one.code == "stale-object"] == [one.path for one in stale]
        # Only root may open what is mapped, also where a program is gone from the disk.
        assert set(codes(process)) <= {"stale-object", *QUIET, *(["not-predicted"] if os.geteuid() else [])}
        assert all(one.restart and one.restart.path == (one.loaded_as or one.path) for one in stale)
        found: dict[str, str] = {one.path: one.disk for one in stale}
        answers += [] if found in answers else [found]
    return answers


def _to_be_restarted(server: Server) -> set[int]:
    """Those of nginx that a look at all processes names."""
    every = each_process(None, Looking(stale_only=True, memory=False))
    return {one.pid for one in every if isinstance(one, Process)} & set(server.everybody)


def test_what_is_replaced_is_stale_in_every_process_until_nginx_is_started_again(kit: Kit, folder: Path) -> None:
    with _running(kit, folder) as server:
        assert _stale(server) == [{}]
        assert _to_be_restarted(server) == set()
        _replace(kit.file)
        assert _stale(server) == [{kit.seen: "replaced"}]
        assert _to_be_restarted(server) == set(server.everybody)
    with _running(kit, folder) as server:
        assert _stale(server) == [{}]
        assert _to_be_restarted(server) == set()


def test_new_workers_of_an_old_master_are_as_stale_as_it_is(kit: Kit, folder: Path) -> None:
    """They are forked from it, and map nothing anew."""
    with _running(kit, folder) as server:
        _replace(kit.file)
        before = server.workers
        server.reload()
        assert not set(before) & set(server.workers)
        assert _stale(server) == [{kit.seen: "replaced"}]


def test_a_library_that_is_gone_is_said_to_be_missed_by_a_restart(folder: Path) -> None:
    kit = _library_in_a_namespace(folder)
    with _running(kit, folder) as server:
        kit.file.unlink()
        for pid in server.everybody:
            (found,) = (one for one in objects(observed(pid)) if one.path == kit.seen)
            assert found.disk == "deleted"
            assert found.restart is not None
            assert found.restart.path is None


# --- What an ordinary user gets ---------------------------------------------------------------------------------------


def test_an_ordinary_user_sees_the_workers_that_are_his_and_not_the_master(folder: Path) -> None:
    needs_root()
    with serving(folder / "nginx") as server:
        worker = server.workers[0]
        document = as_nobody([server.pid, worker])
        assert [error.pid for error in document.errors] == [server.pid]
        master, ordinary = document.processes
        assert master.objects is None
        assert "not-permitted" in codes(master)
        assert {one.path for one in objects(ordinary)} == {*elf_files(worker), "[vdso]"}
        assert {one.disk for one in objects(ordinary)} == {"same"}

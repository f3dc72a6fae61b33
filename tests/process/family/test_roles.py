"""What processes are among their like: the servers that say so, and the fixtures, whose build is known."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.process import procfs
from linkscope.process.family.census import census
from linkscope.process.family.channels import channels_among
from linkscope.process.family.roles import Role, Roles, _Table, came_by, role_by_title
from linkscope.process.family.sockets import Socket, SocketTables
from linkscope.process.tables import read_table
from tests.process.started import Started, children, connected, echoed, started, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

_POOL = Path(__file__).resolve().parents[3] / "fixtures" / "python" / "pool.py"
ROWS: list[Role] = read_table("family/roles.toml", _Table).role
EXAMPLES = [(row, line) for row in ROWS for line in row.examples]
REFUSES = [(row, line) for row in ROWS for line in row.refuses]


@pytest.mark.parametrize(("row", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_the_title_tells_the_role(row: Role, line: str) -> None:
    assert role_by_title(None, [line]) == row.examples[line]
    assert role_by_title(None, line.split(" ")) == row.examples[line]


@pytest.mark.parametrize(("row", "line"), REFUSES, ids=[line for _, line in REFUSES])
def test_the_title_tells_no_such_role(row: Role, line: str) -> None:
    assert not re.match(row.title, line) or not re.fullmatch(row.programs, line.split()[0].rpartition("/")[2])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_every_row_has_a_source_an_example_and_what_it_refuses(row: Role) -> None:
    assert row.examples
    assert row.refuses
    assert len(row.source) > 10
    assert re.compile(row.title).groupindex.keys() == set(re.findall(r"{(\w+)}", row.role))


def test_a_title_is_believed_of_its_own_program_only() -> None:
    title = ["nginx: worker process"]
    assert role_by_title("/usr/sbin/nginx", title) == "nginx worker"
    assert role_by_title("/usr/sbin/nginx (deleted)", title) == "nginx worker"
    assert role_by_title("/usr/bin/python3.11", title) is None
    assert role_by_title(None, []) is None


def test_a_title_that_is_no_utf_8_gives_a_role_that_is_fit_for_a_document() -> None:
    assert role_by_title(None, [os.fsdecode(b"php-fpm: pool \xff")]) == "php-fpm \N{REPLACEMENT CHARACTER}"


# --- Real servers -----------------------------------------------------------------------------------------------------


def _roles(*pids: int) -> list[str | None]:
    roles = Roles(census())
    return [roles.of(pid) for pid in pids]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextlib.contextmanager
def _nginx(nginx: str, folder: Path, port: int) -> Iterator[Started]:
    """Two workers, and a cache, so that its manager and its loader run."""
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
daemon off; worker_processes 2; user {"root" if os.geteuid() == 0 else "nobody"};
pid {folder}/pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off; proxy_cache_path {folder}/cache keys_zone=zone:1m;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}""")
    with started([nginx, "-e", "stderr", "-p", folder, "-c", configuration]) as server:
        until(lambda: sum(map(_is_titled, children(server.pid))) == 4, "four children with titles of their own")
        yield server


def _is_titled(pid: int) -> bool:
    """A child has the title of the master until it has written its own."""
    return re.match(rb"nginx: (?!master)", Path(f"/proc/{pid}/cmdline").read_bytes()) is not None


def test_the_processes_of_a_real_nginx_are_named(tmp_path: Path, require_tool: RequireTool) -> None:
    port = _free_port()
    with _nginx(require_tool("nginx"), tmp_path, port) as nginx:
        pids = [nginx.pid, *children(nginx.pid)]
        names = dict(zip(pids, _roles(*pids), strict=True))
        assert names.pop(nginx.pid) == "nginx master"
        assert sorted(filter(None, names.values())) == [
            "nginx cache loader",
            "nginx cache manager",
            "nginx worker",
            "nginx worker",
        ]
        found = channels_among(pids)
        (listener,) = (channel for channel in found if channel.kind == "listening")
        assert listener.name == f"127.0.0.1:{port}"
        accepting = [end.pid for end in listener.ends if end.use == "accept"]
        assert accepting == [pid for pid, name in names.items() if name == "nginx worker"]
        # The zone of the cache, and what nginx itself shares.
        assert any(channel.kind == "shared-memory" and len(channel.ends) == 5 for channel in found)
        assert sum(channel.kind == "socket-pair" for channel in found) >= 4


def test_a_copy_that_has_not_written_a_title_has_not_the_role_of_its_parent(tmp_path: Path) -> None:
    """As a child of nginx is for a moment."""
    source = tmp_path / "titled.c"
    source.write_text("""
#include <stdio.h>
#include <unistd.h>
int main(void) { if (fork() == 0) pause(); puts("ready"); fflush(stdout); pause(); }
""")
    nginx = tmp_path / "nginx"
    subprocess.run(["cc", source, "-o", nginx], check=True)
    with started(["nginx: master process nginx"], executable=nginx) as master:
        master.expect("ready")
        assert _roles(master.pid, *children(master.pid)) == ["nginx master", None]


@pytest.mark.parametrize("variant", ["", "-static", "-musl", "-musl-static"])
def test_a_prefork_server_without_titles_is_told_by_the_listening_socket(
    fixture_file: FixtureFile, variant: str
) -> None:
    with started([fixture_file(f"servers/prefork{variant}"), "-p", "0", "-n", "3"]) as server:
        server.expect("ready")
        pids = [int(pid) for pid in server.values("pid")]
        assert _roles(*pids) == ["master", "worker 1", "worker 2", "worker 3"]


def test_one_worker_makes_no_master(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/prefork"), "-p", "0", "-n", "1"]) as server:
        server.expect("ready")
        assert _roles(*[int(pid) for pid in server.values("pid")]) == [None, None]


def test_a_process_for_each_connection_is_told_by_its_connection(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/fork"), "-p", "0"]) as server:
        port = server.number("port")
        assert _roles(server.pid) == [None]
        with connected(port) as one, connected(port) as other:
            assert echoed(one, b"x") == echoed(other, b"x") == b"x"
            assert _roles(server.pid, *children(server.pid)) == ["listener", "connection", "connection"]


def test_what_the_kernel_lists_of_all_sockets_is_read_once_for_a_whole_family(
    fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists: list[str] = []
    read = procfs.read

    def counted(pid: int, name: str) -> bytes:
        if name.startswith("net/"):
            lists.append(name)
        return read(pid, name)

    with started([fixture_file("servers/fork"), "-p", "0"]) as server, contextlib.ExitStack() as connections:
        port = server.number("port")
        for _ in range(6):
            assert echoed(connections.enter_context(connected(port)), b"x") == b"x"
        pids = [server.pid, *children(server.pid)]
        tables = SocketTables()
        roles = Roles(census(), tables)
        monkeypatch.setattr(procfs, "read", counted)
        assert [roles.of(pid) for pid in pids] == ["listener", *["connection"] * 6]
        assert channels_among(pids, tables)
    assert sorted(lists) in (["net/tcp", "net/tcp6"], ["net/tcp", "net/tcp6", "net/unix"])


def test_a_server_of_threads_has_no_role(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/threads"), "-p", "0"]) as server:
        server.expect("port")
        assert _roles(server.pid) == [None]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_processes_of_a_python_pool_are_told(method: str) -> None:
    with started([sys.executable, _POOL, method]) as pool:
        pool.expect("ready")
        master, *workers = [int(pid) for pid in pool.values("pid")]
        ordinals = ["worker 1", "worker 2"]
        expected = {
            "fork": ("master", ordinals),
            "spawn": (None, ["multiprocessing worker"] * 2),
            "forkserver": (None, [f"multiprocessing {name}" for name in ordinals]),
        }[method]
        assert _roles(master) == [expected[0]]
        assert sorted(filter(None, _roles(*workers))) == expected[1]
        for word, role in (("tracker", "resource tracker"), ("forkserver", "fork server")):
            for pid in map(int, pool.values(word)):
                assert _roles(pid) == [f"multiprocessing {role}"]


def test_copies_that_share_nothing_with_their_parent_but_its_output_have_no_role() -> None:
    code = """
import os, signal
for _ in range(3):
    if os.fork() == 0: signal.pause()
print("ready", flush=True)
signal.pause()
"""
    with started([sys.executable, "-c", code]) as parent:
        parent.expect("ready")
        assert _roles(parent.pid, *children(parent.pid)) == [None] * 4


def test_the_parts_of_a_shell_script_are_no_workers() -> None:
    script = "exec 5< <(read x; :) 6< <(read x; :); echo ready; read line; :"
    with started(["bash", "-c", script]) as shell:
        shell.expect("ready")
        assert len(children(shell.pid)) == 2
        assert _roles(shell.pid, *children(shell.pid)) == [None] * 3


def test_other_programs_that_inherit_the_listening_socket_are_no_workers() -> None:
    code = """
import os, signal, socket
server = socket.create_server(("127.0.0.1", 0))
server.set_inheritable(True)
for _ in range(2): os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ)
print("ready", flush=True)
signal.pause()
"""
    with started([sys.executable, "-c", code]) as parent:
        parent.expect("ready")
        assert _roles(parent.pid, *children(parent.pid)) == [None] * 3


@pytest.mark.parametrize(
    ("local", "address", "expected"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("10.0.0.7:80", "0.0.0.0:80", True),
        ("[::ffff:10.0.0.7]:80", "[::]:80", True),
        ("10.0.0.7:8080", "0.0.0.0:80", False),
        ("10.0.0.7:80", "127.0.0.1:80", False),
    ],
)
def test_a_connection_came_by_the_address_that_it_has(local: str, address: str, expected: bool) -> None:
    assert came_by(Socket(1, "tcp", local, False), address) is expected


def test_of_a_process_that_is_gone_there_is_no_role() -> None:
    assert _roles(1 << 30) == [None]

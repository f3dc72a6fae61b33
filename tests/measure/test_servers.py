"""Servers that are measured, beside the same servers started here and looked at with smaps."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.errors import Died, Failed, LinkScopeError, NotServing, NotStarted
from linkscope.measure import ports
from linkscope.measure.command import Bounds
from linkscope.measure.servers import Served, serve, serve_in_turn
from tests.measure.marked import command, left
from tests.oracle.availability import Unavailable
from tests.process.started import VARIANTS, children, connected, started, until, variants

FixtureFile = Callable[[str], Path]
KIB, MIB = 1 << 10, 1 << 20
BOUNDS = Bounds(timeout=30.0)
# What a process differs by from one start to the next.
STARTS = 64 * KIB


def _serve(path: Path, *arguments: str, port: int | None = None, connections: tuple[int, ...] = (1, 3)) -> Served:
    return serve(command(path, *arguments), port, connections, BOUNDS, counts=(1,), repeat=1)


def _served(fixture_file: FixtureFile, *arguments: str, connections: tuple[int, ...] = (1,)) -> Served:
    return _serve(fixture_file("runs/server-static"), "-p", "{port}", *arguments, connections=connections)


def _free_port() -> int:
    return ports.ports_for(None, 1)[0]


def _smaps(pid: int, *names: str) -> int:
    text = Path(f"/proc/{pid}/smaps").read_text()
    return sum(int(value) * KIB for name in names for value in re.findall(rf"^{name}: +(\d+) kB$", text, re.MULTILINE))


# --- While connections are open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", variants("servers/fork", "servers/threads"))
def test_the_processes_are_those_that_proc_shows(name: str, fixture_file: FixtureFile) -> None:
    """The same server with as many connections, started here."""
    path = fixture_file(name)
    found = _serve(path, "-p", "{port}", "-t", "60")
    with started([path, "-p", "0", "-t", "60"]) as server, contextlib.ExitStack() as open_ones:
        port = server.number("port")
        for _ in range(3):
            open_ones.enter_context(connected(port))
        workers = 3 if "fork" in name else 0
        until(lambda: len(children(server.pid)) == workers, "a process for each connection")
        theirs = [server.pid, *children(server.pid)]
        assert [one.role for one in found.server.processes] == ["parent"] + ["child"] * workers
        for pid, ours in zip(theirs, found.server.processes, strict=True):
            # Which pages of a file are mapped around a fault, and who else has them, is chance.
            assert abs(_smaps(pid, "Rss") - ours.rss) < 16 * STARTS
            assert abs(_smaps(pid, "Private_Clean", "Private_Dirty") - ours.private) < 16 * STARTS
            assert abs(_smaps(pid, "Anonymous") - ours.private_memory) < STARTS
    assert found.server.connections == 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_fork_left_in_common_is_told_with_its_size(variant: str, fixture_file: FixtureFile) -> None:
    """Of 16 MiB, each child writes to 4: the other 12 are still one with the parent's."""
    found = _serve(fixture_file(f"runs/server{variant}"), "-p", "{port}", "-m", "16", "-w", "4")
    parent, *workers = found.server.processes
    assert (parent.role, [one.role for one in workers]) == ("parent", ["child"] * 3)
    for one in (parent, *workers):
        assert 16 * MIB <= one.private_memory < 17 * MIB
    for one in workers:
        assert 12 * MIB - STARTS < one.shared < 12 * MIB + 4 * STARTS
        assert 4 * MIB <= one.private < 5 * MIB
    assert found.server.one_more_connection is not None
    assert 4 * MIB - STARTS < found.server.one_more_connection < 4 * MIB + 4 * STARTS


def test_one_number_of_connections_tells_nothing_of_one_more(fixture_file: FixtureFile) -> None:
    assert _served(fixture_file).server.one_more_connection is None


def test_connections_that_nobody_has_accepted_are_told_of(fixture_file: FixtureFile) -> None:
    """Two workers, each busy with one."""
    found = _serve(fixture_file("servers/prefork"), "-p", "{port}", "-n", "2", connections=(2, 5))
    assert [one.role for one in found.server.processes] == ["parent", "child", "child"]
    assert found.notes == ["with 5 open connections: the server has accepted 2 of them"]


def test_connections_that_the_server_closes_are_told_of(fixture_file: FixtureFile) -> None:
    found = _served(fixture_file, "-c", connections=(2,))
    assert found.notes == ["with 2 open connections: the server has closed 2 of them again before memory was read"]


def test_a_server_that_has_not_done_yet_what_a_connection_asks_for_is_waited_for() -> None:
    """It computes for a while before it forks, as it takes a while on a machine that is busy with something else."""
    lines = (
        "import os, socket, sys, time; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1);"
        "s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); s.accept()[0].close(); c = s.accept()[0];"
        "until = time.process_time() + 0.4\nwhile time.process_time() < until: pass\nos.fork(); c.recv(1)"
    )
    found = _serve(Path(sys.executable), "-S", "-c", lines, "{port}", connections=(1,))
    assert [one.role for one in found.server.processes] == ["parent", "child"]
    assert left() == []


# --- What serves, and what does not -----------------------------------------------------------------------------------


def test_a_server_on_the_other_loopback_address_is_found(fixture_file: FixtureFile) -> None:
    if not Path("/proc/net/if_inet6").exists() or "lo" not in Path("/proc/net/if_inet6").read_text():
        pytest.skip("no IPv6 here")
    assert len(_served(fixture_file, "-6").server.processes) == 2


def test_a_daemon_is_followed(fixture_file: FixtureFile) -> None:
    """The process that was started ends at once; the one that serves is the parent, and is asked to end."""
    found = _served(fixture_file, "-d", "-m", "8", connections=(1, 2))
    assert [one.role for one in found.server.processes] == ["parent", "child", "child"]
    assert found.server.processes[0].private_memory > 8 * MIB
    assert found.notes == []
    assert left() == []


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("-e", "3"), Failed, "ends with exit code 3: there is no configuration"),
        (("-e", "0"), NotServing, "has ended, and takes no connections on port [0-9]+: there is no configuration"),
        (("-x", "1"), Died, "is killed by signal 9"),
        (("-o", "{free}"), NotServing, "takes no connection on port [0-9]+ within 1 s; it waits on port {free}"),
        (("-l", "60000"), NotServing, "takes no connection on port [0-9]+ within 1 s$"),
    ],
    ids=["fails", "is-over", "dies", "another-port", "never"],
)
def test_a_server_that_does_not_serve_is_told_why(
    arguments: tuple[str, ...], error: type[LinkScopeError], text: str, fixture_file: FixtureFile
) -> None:
    free = str(_free_port())
    words = tuple(word.replace("{free}", free) for word in arguments)
    server = command(fixture_file("runs/server-static"), "-p", "{port}", *words)
    with pytest.raises(error, match=text.replace("{free}", free)):
        serve(server, None, (1,), Bounds(timeout=1.0), (1,), 1)
    assert left() == []


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotStarted):
        _serve(tmp_path / "absent", "{port}")


# --- Several copies, and the end --------------------------------------------------------------------------------------


def test_copies_of_a_server_wait_each_on_its_own_port(fixture_file: FixtureFile) -> None:
    server = command(fixture_file("runs/server-static"), "-p", "{port}", "-m", "8")
    found = serve(server, None, (1,), BOUNDS, (1, 4), 1)
    assert [(one.count, one.moment) for one in found.copies] == [(1, "serving"), (4, "serving")]
    assert 32 * MIB < found.copies[1].private < 34 * MIB
    assert found.one_more_copy is not None
    assert 8 * MIB - STARTS < found.one_more_copy < 8.5 * MIB  # others may run the same file meanwhile


def test_servers_are_measured_in_turn_and_one_that_fails_is_left_out(fixture_file: FixtureFile) -> None:
    server = command(fixture_file("runs/server-static"), "-p", "{port}")
    fails = command("/bin/sh", "-c", "exit 3", "{port}")
    turns: list[int] = []
    one, failed, other = serve_in_turn([server, fails, server], None, (1,), BOUNDS, (1, 2), 3, turns.append)
    assert isinstance(failed, Failed)
    assert sorted(turns) == [0, 0, 0, 1, 2, 2, 2]
    assert set(turns[3:5]) == set(turns[5:]) == {0, 2}
    for found in (one, other):
        assert isinstance(found, Served)
        assert {count: len(sums) for count, sums in found.samples.items()} == {1: 3, 2: 3}
    assert left() == []


def test_with_one_port_only_one_copy_is_measured_and_a_note_says_so(fixture_file: FixtureFile) -> None:
    port = _free_port()
    found = serve(command(fixture_file("runs/server-static"), "-p", str(port)), port, (1,), BOUNDS, (1, 4), 1)
    assert [one.count for one in found.copies] == [1]
    assert found.notes == [
        "only one copy of the server is measured: write {port} among its arguments, so that each gets its own"
    ]


def test_a_server_that_does_not_end_when_asked_is_killed_and_told_of(fixture_file: FixtureFile) -> None:
    found = _served(fixture_file, "-i")
    assert found.notes == ["the server does not end when it is asked to (SIGTERM), and was killed"]
    assert left() == []


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3, 0.6, 1.0])
def test_an_interrupt_leaves_nothing_behind(seconds: float, fixture_file: FixtureFile) -> None:
    """Whenever it comes: while it starts, while connections are open, while copies wait."""
    server = command(fixture_file("runs/server-static"), "-p", "{port}", "-d", "-i")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with pytest.raises(KeyboardInterrupt):
            serve(server, None, (1, 3), BOUNDS, (1, 4))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert left() == []


def test_a_server_that_complains_at_length_is_listened_to(fixture_file: FixtureFile) -> None:
    """More than fits into a pipe, before it listens."""
    script = f"head -c 300000 /dev/zero >&2; exec {fixture_file('runs/server-static')} -p {{port}}"
    assert [one.role for one in _serve(Path("/bin/sh"), "-c", script).server.processes] == ["parent"] + ["child"] * 3


def test_a_server_that_complains_without_end_has_no_more_time_than_another() -> None:
    """Faster than it can be read."""
    before = time.monotonic()
    with pytest.raises(NotServing):
        serve(command("/bin/sh", "-c", "exec cat /dev/zero >&2", "{port}"), None, (1,), Bounds(timeout=0.5), (1,), 1)
    assert time.monotonic() - before < 15
    assert left() == []


def test_a_server_that_may_not_be_read_has_no_figures_and_the_reason(
    require_tool: Callable[[str], str], fixture_file: FixtureFile
) -> None:
    """It guards its memory (PR_SET_DUMPABLE), and root without CAP_SYS_PTRACE and CAP_PERFMON may not look into it."""
    if os.geteuid():
        raise Unavailable("only the administrator gives a right away")
    script = (
        "import sys; from linkscope.measure.servers import serve; from linkscope.measure.command import *;"
        "found = serve(Command(sys.argv[1], ('-p', '{port}', '-u')), None, (1,), Bounds(), (1,), 1);"
        "print(found.server.processes, found.copies, found.server.ready > 0); print(*found.notes, sep='\\n')"
    )
    without = [require_tool("setpriv"), "--bounding-set", "-all"]
    run = subprocess.run(
        [*without, sys.executable, "-c", script, fixture_file("runs/server-static")], capture_output=True, text=True
    )
    assert run.stderr == ""
    assert run.stdout.splitlines()[0] == "[] [] True"
    assert "the memory of the server is not told: of process" in run.stdout
    assert "the memory of one copy at once is not told: its mappings may not be read" in run.stdout


def test_a_real_server_is_measured(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """nginx, which becomes a daemon and has two workers, as its own configuration says."""
    port = _free_port()
    (tmp_path / "conf").write_text(
        f"daemon on; worker_processes 2; pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
        f"fastcgi_temp_path {tmp_path}/fastcgi; uwsgi_temp_path {tmp_path}/uwsgi; scgi_temp_path {tmp_path}/scgi;\n"
        f"server {{ listen 127.0.0.1:{port}; }} }}"
    )
    found = _serve(Path(require_tool("nginx")), "-c", str(tmp_path / "conf"), "-p", str(tmp_path), port=port)
    assert [one.role for one in found.server.processes] == ["parent", "child", "child"]
    assert all(0 < one.shared < one.private_memory for one in found.server.processes)
    assert found.notes == []
    assert left() == []

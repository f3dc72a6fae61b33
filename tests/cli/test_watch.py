"""`--watch`: what comes and goes is told as it happens, and an interrupt is a good end."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.cli.processes import FixtureFile, holding, line, watching
from tests.cli.test_streams import _in_terminal
from tests.process.started import DEADLINE, connected, echoed, started


def test_objects_that_come_and_go_are_told_of(fixture_file: FixtureFile) -> None:
    plugin = fixture_file("process/plugins/libplain.so")
    with started([fixture_file("process/dlopen")]) as host:
        host.expect("ready")
        with watching("pid", str(host.pid), "--watch", "0.1") as watch:
            line(watch, "watching 1 process, a look every 0.1 s; Ctrl-C ends it$")
            host.ask(f"open {plugin}", "ready")
            came = line(watch, r"\+ libplain\.so  dlopen")
            assert came.endswith(f"  {host.pid} dlopen  {plugin}")
            host.ask(f"close {plugin}", "ready")
            line(watch, r"- libplain\.so  dlopen")
            host.send("quit")
            line(watch, rf"! {host.pid} .*  zombie: it has ended, and {os.getpid()} has not waited for it$")
            host.process.wait(DEADLINE)
            line(watch, rf"- {host.pid} .*  ended$")
            assert watch.process.wait(DEADLINE) == 0


def test_a_library_that_is_replaced_is_told_of_and_makes_the_exit_code(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    with holding(fixture_file, tmp_path) as (holder, library):
        with watching("pid", str(holder.pid), "--watch", "0.1", "--count", "1000") as watch:
            line(watch, "watching 1 process")
            holder.ask(f"replace {library} {tmp_path / 'libheld-new.so'}")
            line(watch, r"! libheld\S*  replaced on disk")
        ran = subprocess.run(
            [*COMMAND, "pid", str(holder.pid), "--watch", "0.1", "--count", "2"],
            env=environment(),
            capture_output=True,
            timeout=60,
        )
    assert ran.returncode == 1
    assert ran.stdout.count(b"\n") == 1


def test_children_that_are_born_and_die_are_told_of(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/fork-zombies"), "-p", "0"]) as server:
        port = server.number("port")
        with watching("pid", str(server.pid), "--watch", "0.1") as watch:
            line(watch, "watching 1 process")
            with connected(port) as connection:
                assert echoed(connection, b"x") == b"x"
                child = server.number("pid")
                line(watch, rf"\+ {child}\b.*  child of {server.pid}$")
            line(watch, rf"! {child}\b.*  zombie: it has ended, and {server.pid} has not waited for it$")


def test_of_all_processes_those_that_start_and_end_are_told_of(fixture_file: FixtureFile) -> None:
    with watching("ps", "--watch", "0.1") as watch:
        line(watch, r"watching \d+ processes")
        with started([fixture_file("process/states"), "sleeping"]) as sleeper:
            line(watch, rf"\+ {sleeper.pid} \S+/states sleeping  child of {os.getpid()}$")
        line(watch, rf"- {sleeper.pid} \S+/states sleeping  ended$")


def test_one_that_is_meant_only_now_has_not_just_been_started(fixture_file: FixtureFile) -> None:
    plugin = fixture_file("process/plugins/libplain.so")
    with started([fixture_file("process/dlopen")]) as host:
        host.expect("ready")
        with watching("ps", "--uses", "libplain.so", "--watch", "0.1") as watch:
            line(watch, "watching ")
            host.ask(f"open {plugin}", "ready")
            assert f"{host.pid} dlopen" in line(watch, r"[+] libplain\.so  dlopen")


@pytest.mark.parametrize("command", ["ps", "pid"])
def test_an_interrupt_ends_it_with_130_and_no_traceback(command: str) -> None:
    asked = [command, *([str(os.getpid())] if command == "pid" else [])]
    process = subprocess.Popen(
        [*COMMAND, *asked, "--watch", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    assert b"watching" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (130, b"")


def test_a_reader_that_goes_away_ends_it_even_where_nothing_happens() -> None:
    process = subprocess.Popen(
        [*COMMAND, "pid", str(os.getpid()), "--watch", "600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_process_that_there_never_was_is_an_error(linkscope: Linkscope) -> None:
    ran = linkscope("pid", "99999999999", "--watch")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr == b"linkscope: process 99999999999: no such process\n"


def test_a_lone_number_behind_the_option_is_the_process(linkscope: Linkscope) -> None:
    ran = linkscope("pid", "--count", "1", "--watch", str(os.getpid()))
    assert ran.returncode == 0
    assert b" watching 1 process, a look every 2 s;" in ran.stdout


def test_the_number_of_looks_ends_it(linkscope: Linkscope) -> None:
    begun = time.monotonic()
    ran = linkscope("ps", "--watch", "0.2", "--count", "3")
    assert ran.returncode == 0
    assert time.monotonic() - begun > 0.4


@pytest.mark.parametrize(("command", "seen"), [("pid", "  memory       █"), ("ps", "pid  user")])
def test_a_terminal_shows_the_answer_renewed_in_its_place(command: str, seen: str) -> None:
    asked = [command, *([str(os.getpid())] if command == "pid" else [])]
    shown = _in_terminal([*asked, "--watch", "0.1", "--count", "2"], 100, NO_COLOR="1")
    assert shown.count("watching ") >= 2
    assert seen in shown
    assert "\x1b[2K" in shown  # the lines are wiped before they are written anew
    assert shown.rindex("\x1b[?25h") > shown.rindex("watching ")  # the cursor is back


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    shown = _in_terminal(["ps", "--watch", "0.1", "--count", "2"], 100, TERM="dumb")
    assert "\x1b" not in shown
    assert re.match(r"\d\d:\d\d:\d\d watching \d+ processes", shown)


_SHOWN, _HIDDEN = b"\x1b[?25h", b"\x1b[?25l"
_BEHIND = b"(the end)"


@contextlib.contextmanager
def _on_a_terminal(
    *arguments: str, command: Sequence[str] = COMMAND
) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[bytes], bytes]]]:
    """The program on a terminal that it can be stopped from, and how to read what that shows until it has shown this.

    b"": until the program has ended. The terminal is open here as well: what has been written to one that nobody has
    open any more may be there or not, but what is written behind it comes behind it.
    """
    ours, theirs = pty.openpty()
    shown = b""

    def read_more(seconds: float) -> bool:
        nonlocal shown
        if there_is := bool(select.select([ours], [], [], seconds)[0]):
            shown += os.read(ours, 1 << 16)
        return there_is

    def read(wanted: bytes) -> bytes:
        deadline = time.monotonic() + DEADLINE
        while not (wanted and wanted in shown) and process.poll() is None:
            read_more(0.05)
            assert time.monotonic() < deadline, shown
        if process.returncode is not None:
            os.write(theirs, _BEHIND)
            while _BEHIND not in shown:
                assert read_more(DEADLINE), shown
        return shown

    process = subprocess.Popen(
        [*command, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm", NO_COLOR="1", COLUMNS="200"),
        process_group=0,  # with a parent in another group of the session, so that SIGTSTP stops it
    )
    try:
        yield process, read
    finally:
        process.kill()
        process.wait(DEADLINE)
        os.close(theirs)
        os.close(ours)


def test_whoever_ends_a_bar_leaves_a_terminal_with_its_cursor() -> None:
    """It is shown while many files are inspected, and the answer goes elsewhere."""
    paths = sorted(map(str, Path("/usr/lib").rglob("*.so*"))) * 20
    shell = ("sh", "-c", 'exec "$@" > /dev/null', "sh", *COMMAND)
    with _on_a_terminal("inspect", *paths[:10000], command=shell) as (process, read):
        read(_HIDDEN)
        process.send_signal(signal.SIGTERM)
        shown = read(b"")
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM
    assert shown.rindex(_SHOWN) > shown.rindex(_HIDDEN)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_whoever_ends_it_leaves_a_terminal_with_its_cursor(number: signal.Signals) -> None:
    with _on_a_terminal("pid", str(os.getpid()), "--watch", "60") as (process, read):
        assert _HIDDEN in read(b"Ctrl-C ends it")
        process.send_signal(number)
        process.send_signal(number)  # as timeout(1) does: to the process, and to its group
        shown = read(b"")
        assert process.wait(DEADLINE) == 128 + number
    assert shown.rindex(_SHOWN) > shown.rindex(_HIDDEN)
    assert b"Traceback" not in shown


# The program, which gets a signal whenever a method of rich's is called, before that does anything.
_AT_A_MOMENT = """
import os, signal, sys
from linkscope.cli import main
from rich.console import Console
from rich.live import Live
owner, name = globals()[sys.argv[1]], sys.argv[2]
method = getattr(owner, name)
def hit(self, *words):
    os.kill(os.getpid(), signal.SIGTERM)
    return method(self, *words)
setattr(owner, name, hit)
del sys.argv[1:3]
main.main()
"""


@pytest.mark.parametrize(
    "moment",
    [("Live", "_enable_redirect_io"), ("Live", "process_renderables"), ("Live", "stop"), ("Console", "clear_live")],
    ids=["just-hidden", "while-it-writes", "before-it-is-shown", "while-it-is-shown"],
)
def test_a_signal_at_any_moment_leaves_a_terminal_with_its_cursor(moment: tuple[str, str]) -> None:
    """The last two come as it ends by itself."""
    command = [sys.executable, "-c", _AT_A_MOMENT, *moment]
    with _on_a_terminal("pid", str(os.getpid()), "--watch", "60", "--count", "1", command=command) as (process, read):
        shown = read(b"")
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM
    assert shown.rindex(_SHOWN) > shown.rindex(_HIDDEN)
    assert b"Traceback" not in shown


def test_a_terminal_that_hangs_up_ends_it_with_the_number_of_that_signal() -> None:
    """The kernel sends SIGHUP to the leader of the session, and whatever is written then fails."""
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", *COMMAND, "ps", "--watch", "60"]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm", COLUMNS="80")
    )
    os.close(theirs)
    shown = b""
    while b"Ctrl-C ends it" not in shown:
        shown += os.read(ours, 1 << 16)
    os.close(ours)
    assert process.wait(DEADLINE) == 128 + signal.SIGHUP


def test_while_it_is_stopped_the_cursor_is_there() -> None:
    with _on_a_terminal("pid", str(os.getpid()), "--watch", "60") as (process, read):
        before = len(read(b"Ctrl-C ends it"))
        process.send_signal(signal.SIGTSTP)
        assert _SHOWN in read(_SHOWN)[before:]
        _wait_for_state(process.pid, "T")
        before = len(read(_SHOWN))
        process.send_signal(signal.SIGCONT)
        _wait_for_state(process.pid, "S")
        process.send_signal(signal.SIGTERM)
        shown = read(b"")[before:]
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM
    assert 0 <= shown.index(_HIDDEN) < shown.rindex(_SHOWN)


def _wait_for_state(pid: int, state: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while f"\nState:\t{state}" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_interrupt_gives_a_terminal_its_cursor_back(fixture_file: FixtureFile) -> None:
    evil = "\x1b[31m\u202e\x07\nevil"
    ours, theirs = pty.openpty()
    with started([fixture_file("process/states"), "sleeping", evil]) as sleeper:
        sleeper.expect("pid ")
        process = subprocess.Popen(
            [*COMMAND, "pid", str(sleeper.pid), "--watch", "60"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm", NO_COLOR="1", COLUMNS="200"),
        )
        os.close(theirs)
        shown = b""
        while b"Ctrl-C ends it" not in shown:
            shown += os.read(ours, 1 << 16)
        process.send_signal(signal.SIGINT)
        try:
            while piece := os.read(ours, 1 << 16):
                shown += piece
        except OSError:  # Linux's way to say that the other side is closed
            pass
        os.close(ours)
        assert process.wait(60) == 130
    assert b"\x1b[?25h" in shown
    bare = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "evil" in bare
    assert all(line.isprintable() for line in bare.replace("\r", "").split("\n"))

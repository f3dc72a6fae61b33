"""Whatever ends `compare --run`, and whenever: no process, port or file of it is left, and the terminal is whole."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, environment
from tests.measure import marked

_DEADLINE = 60.0
_ROUNDS, _WARM_UPS, _COUNTED = 11, 3, 5
# From its run number LIMIT on the program does not end, and has a child that belongs to nobody.
_FALLS_ASLEEP = """
echo >> runs
test $(wc -l < runs) -le $LIMIT && exit 0
trap '' TERM HUP
setsid sh -c 'trap "" TERM HUP INT; echo >> asleep; sleep 1000' &
sleep 1000
"""
# How many runs there are before each phase, of two programs.
PHASES = {
    "the first run": 0,
    "rounds": 2 * (1 + _WARM_UPS) + 5,
    "counting": 2 * (1 + _WARM_UPS + _ROUNDS) + 2,
    "copies": 2 * (1 + _WARM_UPS + _ROUNDS) + _COUNTED + 3,
}
# What is said of how far it had come, as a regular expression.
_SAID = {
    "the first run": r"/bin/sh: a first run",
    "rounds": r"round 3 of 11",
    "counting": r"/bin/sh: page faults, instructions and the most memory",
    "copies": r"/bin/sh: page faults, instructions and the most memory",
}
_SERVES = (
    "import os, signal, socket, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen()\n"
    "while True:\n"
    "    c = s.accept()[0]\n"
    "    if os.fork() == 0:\n"
    "        os.setsid(); open('asleep', 'a').write(sys.argv[1] + '\\n'); time.sleep(1000)\n"
)


def _environment(folder: Path, limit: int = 0) -> dict[str, str]:
    (folder / "tmp").mkdir()
    mark = dict([marked.command("").environment[-1]])
    return environment(TMPDIR=str(folder / "tmp"), LIMIT=str(limit), **mark)


def _running(*options: str, script: str = _FALLS_ASLEEP) -> list[str]:
    words = ["compare", "--run", "--runs", str(_ROUNDS), "--copies", "1,3", "--timeout", "60", *options]
    return [*COMMAND, *words, "/bin/sh", "/bin/sh", "--", "-c", script]


def _await(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _started(command: list[str], folder: Path, limit: int = 0) -> "subprocess.Popen[bytes]":
    """The command, once one of its programs has fallen asleep."""
    process = subprocess.Popen(
        # Whoever started the tests may ignore some.
        ["env", "--default-signal=INT,TERM,HUP", *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(folder, limit),
    )
    _await((folder / "asleep").exists, process)
    return process


def _ended(process: "subprocess.Popen[bytes]", number: signal.Signals, how_far: str) -> None:
    """It is ended by a signal, which comes twice, as timeout(1) sends it; what it says then is one line."""
    try:
        process.send_signal(number)
        process.send_signal(number)
        _, said = process.communicate(timeout=_DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    how = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    *_, last = said.decode().splitlines()
    assert re.fullmatch(rf"linkscope: {how} \({how_far}\); nothing was left running", last), said
    assert b"Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_leaves_no_process_and_no_file(phase: str, number: signal.Signals, tmp_path: Path) -> None:
    _ended(_started(_running(), tmp_path, PHASES[phase]), number, _SAID[phase])
    assert marked.left() == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_leaves_no_server_and_no_port(number: signal.Signals, tmp_path: Path) -> None:
    """Although it ignores SIGTERM, and has children in sessions of their own."""
    words = ["compare", "--run", "--serve", "auto", "--timeout", "60", sys.executable, sys.executable]
    process = _started([*COMMAND, *words, "--", "-S", "-c", _SERVES, "{port}"], tmp_path)
    _ended(process, number, "a round to warm up: each is started")
    assert marked.left() == []
    assert list((tmp_path / "tmp").iterdir()) == []
    ports = (tmp_path / "asleep").read_text().split()
    assert ports
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), 5).close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT, signal.SIGUSR1], ids=lambda number: number.name)
@pytest.mark.parametrize("phase", PHASES)
def test_no_way_to_die_leaves_a_process(phase: str, number: signal.Signals, tmp_path: Path) -> None:
    """Also of one that nobody can handle, or nobody does: the kernel tells the process that measures."""
    with _started(_running(), tmp_path, PHASES[phase]) as process:
        process.send_signal(number)
        assert process.wait(_DEADLINE) == -number
    deadline = time.monotonic() + _DEADLINE
    while marked.left() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert marked.left() == []


def test_programs_have_no_terminal(tmp_path: Path) -> None:
    """Neither to write to nor to change: whoever measures has one, and its programs, in each of their runs, do not."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    lines = "echo >> runs; (trap '' TTOU; stty -echo; echo seen) 2> /dev/null < /dev/tty > /dev/tty; true"
    words = ["compare", "--run", "--runs", "3", "--copies", "1,2", "/bin/sh", "/bin/sh", "--", "-c", lines]
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        env=_environment(tmp_path),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_take_terminal,  # noqa: PLW1509  # no threads here
        start_new_session=True,
    )
    try:
        assert process.wait(_DEADLINE) == 0
        assert termios.tcgetattr(theirs) == before
        assert _read(ours) == b""
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert len((tmp_path / "runs").read_text()) > 10


@pytest.mark.parametrize("phase", ["the first run", "rounds", "copies"])
def test_ctrl_c_leaves_the_terminal_as_it_was(phase: str, tmp_path: Path) -> None:
    """Typed at a terminal, which sends it to everybody in the foreground; its settings and its cursor are as before."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        ["env", "--default-signal=INT,TERM,HUP", *_running()],
        cwd=tmp_path,
        env={**_environment(tmp_path, PHASES[phase]), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=_take_terminal,  # noqa: PLW1509  # no threads here
        start_new_session=True,
    )
    shown = b""

    def is_asleep() -> bool:
        nonlocal shown
        shown += _read(ours)
        return (tmp_path / "asleep").exists()

    try:
        _await(is_asleep, process)
        os.write(ours, b"\x03")
        deadline = time.monotonic() + _DEADLINE
        while process.poll() is None and time.monotonic() < deadline:
            shown += _read(ours)
        after = termios.tcgetattr(theirs)
    finally:
        process.kill()
        process.wait()
        shown += _read(ours)
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 128 + signal.SIGINT
    assert f"linkscope: interrupted ({_SAID[phase]}); nothing was left running\r\n".encode() in shown
    assert b"Traceback" not in shown
    assert after == before
    assert shown.rfind(b"\x1b[?25h") >= shown.rfind(b"\x1b[?25l")
    assert marked.left() == []


def _take_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(terminal: int) -> bytes:
    """What was written to it in the last moment."""
    import select

    found = b""
    with contextlib.suppress(OSError):
        while select.select([terminal], [], [], 0.02)[0]:
            found += os.read(terminal, 1 << 16)
    return found

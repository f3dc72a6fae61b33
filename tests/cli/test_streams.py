"""What the program does to its output, and what happens when nobody takes it."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Linkscope, environment

FixtureFile = Callable[[str], Path]


@pytest.fixture
def program(fixture_file: FixtureFile) -> Path:
    return fixture_file("hello/hello-dynamic-pie")


def _in_terminal(arguments: list[str | Path], columns: int, **env: str) -> str:
    """What a terminal of COLUMNS is shown by a command line, which must succeed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**{"TERM": "xterm", **env})
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            piece = b""
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colour_and_lines_of_its_width(program: Path) -> None:
    shown = _in_terminal(["inspect", program], 80)
    assert "\x1b[1m" in shown
    bare = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert bare.isascii() is False
    # The headline is the path as given, however long.
    assert all(len(line) <= 80 for line in bare.splitlines()[1:])


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}], ids=str)
def test_a_terminal_gets_no_colour_where_none_is_wanted(program: Path, env: dict[str, str]) -> None:
    assert "\x1b" not in _in_terminal(["inspect", program], 80, **env)


@pytest.mark.parametrize("layout", ["text", "json", "jsonl", "paths"])
def test_no_name_acts_on_a_terminal(fixture_file: FixtureFile, tmp_path: Path, layout: str) -> None:
    evil = tmp_path / "\x1b[31m\x9b1m\u202e\x07evil"
    evil.symlink_to(fixture_file("hello/hello-static"))
    shown = _in_terminal(["inspect", "--format", layout, evil], 200, NO_COLOR="1")
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "evil" in shown


def test_a_pipe_gets_no_colour_unless_it_is_asked_for(linkscope: Linkscope, program: Path) -> None:
    assert b"\x1b" not in linkscope("inspect", program).stdout
    assert b"\x1b[1m" in linkscope("inspect", program, env={"FORCE_COLOR": "1"}).stdout


def test_without_unicode_the_drawing_is_ascii(linkscope: Linkscope, program: Path) -> None:
    shown = linkscope("inspect", program, env={"PYTHONIOENCODING": "ascii"}).stdout
    assert b"`- " in shown
    assert shown.isascii()


@pytest.mark.parametrize(
    ("locale", "drawn"),
    [
        ({"LC_ALL": "C"}, False),
        ({"LANG": "C"}, False),
        ({"LANG": "POSIX"}, False),
        ({"LC_ALL": "C", "LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, True),
        ({"LC_ALL": "", "LC_CTYPE": "", "LANG": "C.UTF-8"}, True),
        ({}, True),
    ],
    ids=str,
)
def test_the_locale_says_whether_the_drawing_is_ascii(program: Path, locale: dict[str, str], drawn: bool) -> None:
    named = {name: value for name, value in environment().items() if name not in ("LANG", "LC_ALL", "LC_CTYPE")}
    ran = subprocess.run([*COMMAND, "inspect", program], env={**named, **locale}, capture_output=True, timeout=60)
    assert ("└─ ".encode() in ran.stdout) is drawn


@pytest.mark.parametrize(
    "arguments", [["inspect", "--format", "json"], ["inspect", "--format", "text"], ["--help"]], ids=" ".join
)
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_closed_pipe_ends_the_program_without_a_word(program: Path, arguments: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    names = [program] * 50 if arguments[0] == "inspect" else []
    ran = subprocess.run(
        [*COMMAND, *arguments, *names],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED=unbuffered),
        timeout=60,
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [["inspect", "--format", "json"], ["inspect"], ["--help"]], ids=" ".join)
def test_a_full_disk_is_an_error_in_one_line(program: Path, arguments: list[str]) -> None:
    names = [program] if arguments[0] == "inspect" else []
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [*COMMAND, *arguments, *names], stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60
        )
    assert (ran.returncode, ran.stderr) == (2, b"linkscope: standard output: no space left on device\n")


def test_a_closed_output_is_an_error_in_one_line(program: Path) -> None:
    ran = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "inspect", program],
        stderr=subprocess.PIPE,
        env=environment(),
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (2, b"linkscope: standard output: bad file descriptor\n")


def _with_streams(redirection: str, *arguments: str | Path) -> "subprocess.CompletedProcess[bytes]":
    """A command line in a shell that has redirected its streams."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, env=environment(), timeout=60)


def test_a_closed_input_is_an_error_in_one_line() -> None:
    ran = _with_streams("<&-", "inspect", "--files-from", "-")
    assert (ran.returncode, ran.stderr) == (2, b"linkscope: standard input: bad file descriptor\n")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize("arguments", [["inspect", "/nonexistent"], ["inspect"], ["schema"]], ids=" ".join)
def test_complaints_that_nobody_takes_do_not_change_the_exit_code(redirection: str, arguments: list[str]) -> None:
    assert _with_streams(redirection, *arguments).returncode == 2


def test_many_files_are_divided_among_processes_without_standard_error(program: Path) -> None:
    names = [program] * 200
    assert len(_with_streams("2>&-", "inspect", "--format", "jsonl", *names).stdout.splitlines()) == len(names)


def test_an_interrupt_ends_the_program_with_130_and_no_traceback(tmp_path: Path) -> None:
    """Names come from a pipe that stays open, so the program surely waits when the signal comes."""
    os.mkfifo(tmp_path / "names")
    process = subprocess.Popen(
        [*COMMAND, "inspect", "--files-from", tmp_path / "names"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with open(tmp_path / "names", "wb"):
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (130, b"")


# What stands for a library that is interrupted in the middle of its import. A C++ one cannot pass the exception on.
_INTERRUPTED = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    os.getpid()
except KeyboardInterrupt:
    os.abort()
"""


@pytest.mark.parametrize(
    ("library", "code"), [("click", -signal.SIGINT), ("lief", 130)], ids=["before the start", "in the middle"]
)
def test_an_interrupt_during_an_import_ends_the_program_without_a_word(
    program: Path, tmp_path: Path, library: str, code: int
) -> None:
    """A shell reports both as 130: a process that SIGINT ended, and one that says so itself."""
    (tmp_path / f"{library}.py").write_text(_INTERRUPTED)
    plain = environment()
    ran = subprocess.run(
        [*COMMAND, "inspect", "--cross-check", program],
        env={**plain, "PYTHONPATH": f"{tmp_path}:{plain['PYTHONPATH']}"},
        capture_output=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (code, b"")


def test_interrupts_that_the_caller_ignores_stay_ignored(program: Path, tmp_path: Path) -> None:
    (tmp_path / "lief.py").write_text(_INTERRUPTED)
    ours = environment(PYTHONPATH=f"{tmp_path}:{environment()['PYTHONPATH']}")
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    ran = subprocess.run([*ignoring, *COMMAND, "inspect", "--cross-check", program], env=ours, timeout=60)
    assert ran.returncode == 0

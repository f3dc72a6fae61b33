"""Who waits for answers that come together is shown that they are on their way."""

import os
import pty
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from linkscope.cli import progress
from tests.cli.conftest import environment
from tests.oracle.elfwriter import shared_object
from tests.test_imports import HEAVY

_ERASED = b"\r\x1b[2K"


def _slowly(*waits: float) -> Iterator[int]:
    """A number after each of WAITS, in seconds."""
    for number, seconds in enumerate(waits):
        time.sleep(seconds)
        yield number


@pytest.mark.parametrize(
    ("patience", "waits", "seen"),
    [
        (0.05, (0.4, 0, 0), b"0 processes"),
        (0.05, (0, 0, 0.4), b"2 processes"),
        (60, (0, 0, 0), None),
    ],
    ids=["the first takes long", "the last takes long", "short"],
)
def test_a_sign_of_life_appears_when_it_takes_long_and_is_gone_in_the_end(
    monkeypatch: pytest.MonkeyPatch, patience: float, waits: tuple[float, ...], seen: bytes | None
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_PATIENCE", patience)
    handler = signal.getsignal(signal.SIGALRM)
    # Not in a fixture: pytest gives every phase of a test its own standard error.
    with open(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        results = list(progress.waited_for(_slowly(*waits), "processes"))
        stream.write("end")
    assert results == [0, 1, 2]
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0]) == (handler, 0)
    shown = b""
    while not shown.endswith(b"end"):  # a terminal hands on what was written in pieces of its own
        shown += os.read(ours, 1 << 16)
    os.close(ours)
    if seen is None:
        assert shown == b"end"
    else:
        assert seen in shown
        assert shown.endswith(_ERASED + b"end")


_HURRIED = (
    "import sys; from linkscope.cli import progress\nprogress._PATIENCE = progress._BEAT = 0.001\n"
    "from linkscope.cli.invocation import run\nsys.exit(run(sys.argv[1:]))"
)


def _on_a_terminal(arguments: list[str | Path], *, output: bool, term: str = "xterm") -> bytes:
    """What a terminal is shown of `linkscope`, whose patience is short: its errors, and with OUTPUT all."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", _HURRIED, *arguments]
    stream = theirs if output else subprocess.DEVNULL
    shown = b""
    with subprocess.Popen(command, stdout=stream, stderr=theirs, env=environment(TERM=term)) as running:
        os.close(theirs)
        with suppress(OSError):  # Linux's way to say that the other side is closed
            while piece := os.read(ours, 1 << 16):
                shown += piece
    os.close(ours)
    assert running.returncode == 0, shown
    return shown


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A folder with a library that `who libheld.so` finds, and an archive of it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    shared_object(folder / "libheld.so", soname="libheld.so")
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        archive.add(folder, "folder")
    return tmp_path


@pytest.mark.parametrize("name", ["folder", "archive.tar"])
def test_who_is_waited_for_shows_how_many_files_there_are_so_far(held: Path, name: str) -> None:
    """Also where the answer itself goes into a pipe; of an archive nobody knows how many there will be, either."""
    shown = _on_a_terminal(["who", "libheld.so", held / name, held / name], output=False)
    assert b"0 files" in shown
    assert shown.endswith(_ERASED)


@pytest.mark.parametrize("form", ["jsonl", "paths"])
def test_lines_that_come_at_once_are_a_sign_by_themselves(held: Path, form: str) -> None:
    shown = _on_a_terminal(["who", "libheld.so", "--format", form, held / "folder"], output=True)
    assert b"libheld.so" in shown
    assert b"\x1b" not in shown


def test_a_terminal_that_cannot_erase_a_line_is_shown_nothing(held: Path) -> None:
    assert _on_a_terminal(["who", "libheld.so", held / "folder"], output=False, term="dumb") == b""


def test_where_nobody_looks_nothing_is_written(held: Path) -> None:
    command = [sys.executable, "-c", _HURRIED, "who", "libheld.so", str(held / "folder")]
    ran = subprocess.run(command, env=environment(TERM="xterm"), capture_output=True, check=True)
    assert ran.stderr == b""


_LOOKS = ["pid $$", "pid --watch 1 --count 1 $$", "ps", "ps --stale", "ps --format json", "ps --watch --count 1"]
_PROGRAM = (
    "import sys; from linkscope.cli.invocation import run\nrun(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)"
)


@pytest.mark.parametrize("look", _LOOKS)
def test_a_look_at_processes_imports_nothing_heavy(look: str) -> None:
    arguments = look.replace("$$", str(os.getpid())).split()
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert not set(HEAVY) & set(ran.stderr.splitlines()[-1].split())

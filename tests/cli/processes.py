"""Processes for the command line to look at, and the program run by somebody who may look into few of them."""

import contextlib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cli.conftest import COMMAND, environment
from tests.process.started import DEADLINE, NOBODY, Started, started

FixtureFile = Callable[[str], Path]
# The same is done once before, with its output thrown away: an ordinary user may not be able to read this Python's
# folders, and what is imported late has to be imported by then.
_AS_NOBODY = f"""
import os, sys
from linkscope.cli.invocation import run
streams = [(stream, os.dup(stream)) for stream in (1, 2)]
for stream, _ in streams:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
run(sys.argv[1:])
for stream, kept in streams:
    os.dup2(kept, stream)
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
os._exit(run(sys.argv[1:]))
"""


def as_nobody(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """One command line of an ordinary user, be it the one who runs the tests."""
    command = [sys.executable, "-c", _AS_NOBODY] if os.geteuid() == 0 else COMMAND
    return subprocess.run([*command, *arguments], capture_output=True, env=environment(), timeout=60)


def on_terminal(arguments: list[str], columns: int, **env: str) -> str:
    """What a terminal of COLUMNS is shown on standard output alone: on the other stream there may be a sign of life."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=theirs, stderr=subprocess.DEVNULL, env=environment(**{"TERM": "xterm", **env})
    )
    os.close(theirs)
    shown = b""
    # Linux's way to say that the other side is closed is an error.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 1 << 16):
            shown += piece
    os.close(ours)
    assert process.wait(60) == 0, shown
    return shown.decode().replace("\r\n", "\n")


@contextlib.contextmanager
def holding(fixture_file: FixtureFile, folder: Path) -> Iterator[tuple[Started, Path]]:
    """A program that has mapped libheld.so in FOLDER, and the path of that; it replaces the file when it is told to."""
    for name in ("holder", "libheld.so", "libheld-new.so"):
        shutil.copy(fixture_file(f"process/{name}"), folder / name)
    with started([folder / "holder"], cwd=folder) as holder:
        holder.expect("ready")
        yield holder, folder / "libheld.so"


@contextlib.contextmanager
def watching(*arguments: str) -> Iterator[Started]:
    """The program, run with --watch or the like, whose lines a test waits for with `line`."""
    with started([*COMMAND, *arguments], env=environment(), stderr=subprocess.DEVNULL) as watch:
        yield watch


def line(program: Started, pattern: str) -> str:
    """The next line of PROGRAM that matches PATTERN behind its time; what comes before it is passed over."""
    while True:
        said = program.expect("", DEADLINE)
        if re.match(rf"\d\d:\d\d:\d\d {pattern}", said):
            return said

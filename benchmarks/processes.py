"""Processes to look at, which a comparison starts and ends: so and so many of some programs that only wait."""

import contextlib
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

FIXTURES: Final = Path(__file__).resolve().parent.parent / "fixtures" / "build"
_READY: Final = b"ready"  # the end of the line may come by itself
_DEADLINE: Final = 120.0
# Extension modules and the libraries below them; it ends with its input.
_PYTHON: Final = "import asyncio, bz2, ctypes, lzma, sqlite3, ssl, sys; print('ready', flush=True); sys.stdin.read()"


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Commands that run at the same time, each so and so often. Each of them says `ready`, and waits.

    environment: what they get beside that of the caller. files: copies that are made for them, by the copy's path;
    replacing: of what copies then take the place of those, once all run.
    """

    commands: tuple[tuple[int, tuple[str, ...]], ...]
    environment: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    replacing: Mapping[str, str] = {}

    @property
    def size(self) -> int:
        """How many processes these are."""
        return sum(number for number, _ in self.commands)


class Vanished(Exception):
    """Processes that ended before they were told to; its text says how many."""


def single(fixture: str) -> Crowd:
    """One process of one fixture."""
    return Crowd(commands=((1, (os.fspath(FIXTURES / fixture),)),))


def mixed(size: int) -> Crowd:
    """Small programs for the most part, every tenth of them static, and every tenth a Python interpreter."""
    dynamic, static = (os.fspath(FIXTURES / "process" / name) for name in ("states", "states-static"))
    tenth = size // 10
    statics = tenth if os.path.exists(static) else 0  # where there is no static C library, none was built
    return Crowd(
        commands=(
            (size - tenth - statics, (dynamic, "sleeping")),
            (statics, (static, "sleeping")),
            (tenth, (sys.executable, "-c", _PYTHON)),
        )
    )


def outdated(size: int, folder: str) -> Crowd:
    """Programs with a library that is replaced under them; it lies in FOLDER."""
    built = FIXTURES / "process"
    library = os.path.join(folder, "libheld.so")
    return Crowd(
        commands=((size, (os.fspath(built / "holder"),)),),
        environment={"LD_LIBRARY_PATH": folder},
        files={library: os.fspath(built / "libheld.so")},
        replacing={library: os.fspath(built / "libheld-new.so")},
    )


@contextlib.contextmanager
def running(crowd: Crowd) -> Iterator[list[int]]:
    """The pids of all, as soon as each is ready; they, and nobody else, are ended with the block. Raises Vanished."""
    with contextlib.ExitStack() as stack:
        ready, says = _pipe(stack)
        waits, _ = _pipe(stack)
        environment = {**os.environ, **crowd.environment}
        _put(crowd.files)
        commands = [argv for number, argv in crowd.commands for _ in range(number)]
        processes = [stack.enter_context(_started(argv, waits, says, environment)) for argv in commands]
        _await_ready(ready, crowd.size)
        _put(crowd.replacing)
        yield [process.pid for process in processes]
        _expect_alive(processes)


def _put(files: Mapping[str, str]) -> None:
    """Copies, each a new file, as a package manager puts it there."""
    for path, source in files.items():
        shutil.copy(source, f"{path}.new")
        os.replace(f"{path}.new", path)


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    return ends


@contextlib.contextmanager
def _started(
    argv: Sequence[str], stdin: int, stdout: int, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _await_ready(descriptor: int, number: int) -> None:
    said = b""
    deadline = time.monotonic() + _DEADLINE
    while said.count(_READY) < number:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise Vanished(f"of {number} processes only {said.count(_READY)} were ready within {_DEADLINE:g} seconds")
        said += os.read(descriptor, 1 << 16)


def _expect_alive(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    ended = sum(1 for process in processes if process.poll() is not None)
    if ended:
        raise Vanished(f"{ended} of {len(processes)} processes ended while they were looked at")

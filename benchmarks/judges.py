"""What others say of a program that is run: hyperfine of its time, perf-stat of its page faults, /proc of its memory.

And by hand, with as little as it takes: how long a spawn and a wait last, and when a server takes its first connection.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.timing import Failed
from tests.oracle.availability import Unavailable

_DEADLINE: Final = 30.0
_PORTS: Final = range(10000, 32000)  # below those from which the kernel connects
_KIB: Final = 1024


def tool(name: str) -> str:
    """Where a command is. Raises Unavailable."""
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is not here")
    return path


def hyperfine_medians(programs: Sequence[str], runs: int, warm_ups: int) -> list[float]:
    """Seconds of each, by `hyperfine --shell=none`. Raises Unavailable."""
    with tempfile.NamedTemporaryFile(prefix="hyperfine-", suffix=".json") as said:
        options = [f"--warmup={warm_ups}", f"--runs={runs}", "--style=none", f"--export-json={said.name}"]
        subprocess.run([tool("hyperfine"), "--shell=none", *options, *programs], check=True, capture_output=True)
        return [float(one["median"]) for one in json.loads(Path(said.name).read_text())["results"]]


def perf_faults(program: str) -> tuple[int, int]:
    """Minor and major page faults of one run, by `perf stat`. Raises Unavailable."""
    command = [tool("perf"), "stat", "-x,", "-e", "minor-faults,major-faults", "--", program]
    done = subprocess.run(command, capture_output=True, text=True)
    minor, major = (re.search(rf"^(\d+),,{kind}-faults", done.stderr, re.MULTILINE) for kind in ("minor", "major"))
    if minor is None or major is None:
        raise Unavailable(f"perf does not count here: {done.stderr.strip()[-200:]}")
    return int(minor[1]), int(major[1])


def pss_of_copies(program: str, count: int) -> int:
    """Bytes of PSS that so many copies have together, all of them at their end: the kernel's own sum for each.

    They hang on a pipe that is full, into which they write what they had to say (a C program does so as it exits, since
    its output is no terminal).
    """
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(_full_pipe())
        copies = [stack.enter_context(_started([program], full)) for _ in range(count)]
        for copy in copies:
            _await_sleep(copy.pid)
        return sum(_pss(copy.pid) for copy in copies)


@contextlib.contextmanager
def _full_pipe() -> Iterator[int]:
    """The end of a pipe into which nobody can write any more without waiting."""
    reads, writes = os.pipe()
    try:
        os.set_blocking(writes, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writes, bytes(_KIB)):
                pass
        os.set_blocking(writes, True)
        yield writes
    finally:
        os.close(reads)
        os.close(writes)


@contextlib.contextmanager
def _started(argv: Sequence[str], output: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _await_sleep(pid: int) -> None:
    """Until it waits, which such a small program does nowhere else. Raises Failed."""
    deadline = time.monotonic() + _DEADLINE
    while (state := Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) != "S":
        if state == "Z" or time.monotonic() > deadline:
            raise Failed(f"process {pid} does not wait on its pipe (state {state})")
        time.sleep(0.001)


def _pss(pid: int) -> int:
    """smaps_rollup rounds once; smaps does for each mapping, which takes some 12 KiB from a small dynamic program."""
    rows = re.findall(r"^Pss: +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return sum(map(int, rows)) * _KIB


def first_answer(server: str) -> float:
    """Seconds from the start of a server until a connect, tried without a pause, succeeds. Raises Failed."""
    port = _free_port()
    argv = [server, "-p", str(port)]
    with open(os.devnull, "r+b") as null:
        begin = time.monotonic()
        pid = os.posix_spawn(server, argv, os.environ, file_actions=_onto(null.fileno()), setpgroup=0)
    try:
        while time.monotonic() < begin + _DEADLINE:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    return time.monotonic() - begin
            os.sched_yield()  # else the server itself would wait where there are more processes than processors
        raise Failed(f"{server} takes no connection within {_DEADLINE:g} s")
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


def spawn_and_wait(program: str, runs: int) -> float:
    """Seconds that a run takes from one start to the next, where nothing is done but to spawn it and wait for it."""
    with open(os.devnull, "r+b") as null:
        given = _onto(null.fileno())
        begin = time.monotonic()
        for _ in range(runs):
            os.waitpid(os.posix_spawn(program, [program], os.environ, file_actions=given), 0)
        return (time.monotonic() - begin) / runs


def _onto(descriptor: int) -> list[tuple[int, int, int]]:
    return [(os.POSIX_SPAWN_DUP2, descriptor, number) for number in range(3)]

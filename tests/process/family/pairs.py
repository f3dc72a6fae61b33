"""A parent and its child with something in common, and what is said of the channels between them."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from linkscope.model.pid import Channel
from tests.process.started import Argument, children, started, until

Ends = dict[int, tuple[str, list[int]]]

IDLE = "def parent(): pass\ndef child(): pass\n"
SOCKETPAIR = """
a, b = socket.socketpair()
def parent(): b.close()
def child(): a.close()
"""


def ends_of(channel: Channel) -> Ends:
    """What each process does with its end, and by which descriptors."""
    return {end.pid: (end.use, end.descriptors) for end in channel.ends}


def uses(channel: Channel) -> dict[int, str]:
    """What each process does with its end."""
    return {end.pid: end.use for end in channel.ends}


def of_kind(found: Sequence[Channel], kind: str) -> list[Channel]:
    """Those of one kind."""
    return [channel for channel in found if channel.kind == kind]


@contextlib.contextmanager
def pair(code: str, *arguments: str, prefix: Sequence[Argument] = ()) -> Iterator[tuple[int, int]]:
    """A parent and its child, from a program that defines what each of them does, and how the parent waits after it."""
    program = f"""
import mmap, os, select, signal, socket, sys, threading
wait = signal.pause
{code}
told, tell = os.pipe2(os.O_CLOEXEC)
pid = os.fork()
if pid == 0:
    os.close(told)
    child()
    os.write(tell, b"x")
    os.close(tell)
    while True: signal.pause()
os.close(tell)
parent()
os.read(told, 1)
os.close(told)
print("ready", flush=True)
while True: wait()
"""
    with started([*prefix, sys.executable, "-c", program, *arguments], stdin=subprocess.DEVNULL) as running:
        running.expect("ready")
        (pid,) = children(running.pid)
        yield running.pid, pid


def until_all_wait(pids: Sequence[int]) -> None:
    """Until each of these sleeps in a system call."""
    until(lambda: all(_sleeps(pid) for pid in pids), "all of them wait")


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] not in ("running", "-1")

"""A parent that forks, adopts and tells which is which: run by test_orphans.py, obeys its standard input.

It prints `child N` for each process that it forked, `adopted N` for each that is its child now and that it did not.
Children begin 50 ms apart, so that their start times differ by some clock ticks.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

_PR_SET_CHILD_SUBREAPER = 36  # Linux include/uapi/linux/prctl.h
# Another program than this one, for what stands between: forks one, says so on descriptor argv[2], ends by argv[1].
_OTHER = """
import os, sys, time
if os.fork() == 0: time.sleep(600)
os.write(int(sys.argv[2]), b"x")
os.read(int(sys.argv[1]), 1)
"""
# What a service manager starts, with its number in its environment; with `daemon` it forks one and ends.
_UNIT = """
import os, sys, time
if sys.argv[1] == "daemon" and os.fork(): os._exit(0)
time.sleep(600)
"""

middles: list[tuple[int, int]] = []
leave = threading.Event()


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def born() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(word) for word in file.read().split()]


def fork(words: Sequence[str]) -> int:
    """A child that lives on, or is dead at once."""
    pid = os.fork()
    if pid == 0:
        if "dies" in words:
            os._exit(0)
        if "setsid" in words:
            os.setsid()
        if "exec" in words:
            os.execv("/bin/sleep", ["sleep", "600"])
        while True:
            signal.pause()
    time.sleep(0.05)
    return pid


def child(words: Sequence[str]) -> None:
    say(f"child {fork(words)}")


def spawn(_: Sequence[str]) -> None:
    say(f"child {os.posix_spawn('/bin/sleep', ['sleep', '600'], os.environ)}")
    time.sleep(0.05)


def begin(words: Sequence[str]) -> None:
    """A process between, which forks one that `end` makes an orphan."""
    told, tell = os.pipe()
    ready, done = os.pipe()
    middle = os.fork()
    if middle == 0:
        if "middle-setsid" in words:
            os.setsid()
        if "other-program" in words:
            os.set_inheritable(told, True)
            os.set_inheritable(done, True)
            os.execv(sys.executable, [sys.executable, "-c", _OTHER, str(told), str(done)])
        fork(words)
        os.write(done, b"x")
        os.read(told, 1)
        os._exit(0)
    os.read(ready, 1)
    middles.append((middle, tell))


def end(_: Sequence[str]) -> None:
    middle, tell = middles.pop(0)
    before = set(born())
    os.write(tell, b"x")
    os.waitpid(middle, 0)
    adopted(before)


def adopted(before: set[int]) -> None:
    while not set(born()) - before:
        time.sleep(0.001)
    for pid in set(born()) - before:
        say(f"adopted {pid}")


def thread(words: Sequence[str]) -> None:
    """A child that another thread forked, which lives until `leave`."""

    def work() -> None:
        child(words)
        leave.wait()

    threading.Thread(target=work, daemon=True).start()


def end_threads(_: Sequence[str]) -> None:
    leave.set()
    while len(os.listdir("/proc/self/task")) > 1:
        time.sleep(0.001)
    say("ended")


def managed(words: Sequence[str]) -> None:
    """What systemd starts for a unit; with `daemon` that one ends, and leaves one that it forked."""
    before = set(born())
    pid = os.fork()
    if pid == 0:
        os.environ["SYSTEMD_EXEC_PID"] = str(os.getpid())
        os.execv(sys.executable, [sys.executable, "-c", _UNIT, words[1]])
    if words[1] == "daemon":
        os.waitpid(pid, 0)
        adopted(before)
    else:
        say(f"child {pid}")


def numbered(words: Sequence[str]) -> None:
    """A child with a number of so many digits in the place of what systemd says."""
    environment = {**os.environ, "SYSTEMD_EXEC_PID": "1" * int(words[1])}
    say(f"child {os.posix_spawn('/bin/sleep', ['sleep', '600'], environment)}")
    time.sleep(0.05)


def adopts(_: Sequence[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def called(words: Sequence[str]) -> None:
    with open("/proc/self/comm", "w") as file:
        file.write(words[1])


def run_again(_: Sequence[str]) -> None:
    os.execv(sys.executable, [sys.executable, __file__])


def main() -> None:
    # A copy has never started a program itself.
    if sys.argv[1:] == ["copy"] and os.fork():
        signal.pause()
    say(f"pid {os.getpid()}")
    commands: dict[str, Callable[[Sequence[str]], None]] = {
        "adopts": adopts,
        "begin": begin,
        "called": called,
        "child": child,
        "end": end,
        "end-threads": end_threads,
        "managed": managed,
        "numbered": numbered,
        "run-again": run_again,
        "setsid": lambda _: os.setsid(),
        "spawn": spawn,
        "thread": thread,
    }
    for line in sys.stdin:
        commands[line.split()[0]](line.split())


if __name__ == "__main__":
    main()

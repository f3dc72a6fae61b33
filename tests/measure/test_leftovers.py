"""No process of a run survives it, however it escaped; whoever was there before is not touched."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.measure import launch
from linkscope.measure import leftovers as leftovers_module
from linkscope.measure.command import Bounds
from linkscope.measure.launch import Prepared
from linkscope.measure.leftovers import Left, children_of, none_left
from linkscope.measure.rounds import run_rounds
from tests.measure.nasty import command, numbers_in, python, runs, script
from tests.oracle.availability import Unavailable
from tests.process.started import children, parent, until

# Each writes the numbers of its processes into the file that it is given, and leaves them.
ESCAPES = {
    "a child": "sleep 1000 & echo $! >> $1",
    "in the same group, deaf to signals": "trap '' TERM HUP INT; sleep 1000 & echo $! >> $1",
    "stopped": "sleep 1000 & kill -STOP $!; echo $! >> $1",
    "a grandchild": "(sleep 1000 & echo $! >> $1; sleep 1000 & echo $! >> $1; exec sleep 1000) & echo $! >> $1; "
    "while test $(wc -l < $1) -lt 3; do :; done",
    "in sessions of their own": "for n in 1 2 3; do setsid sh -c 'echo $$ >> $0; exec sleep 1000' $1 & done; "
    "while test $(wc -l < $1) -lt 3; do :; done",
}


@pytest.mark.parametrize("lines", ESCAPES.values(), ids=ESCAPES.keys())
def test_what_a_run_leaves_is_ended_before_the_next(tmp_path: Path, lines: str) -> None:
    left = tmp_path / "left"
    left.touch()
    with none_left() as leftovers, launch.nowhere() as null:
        launch.run(Prepared(command(script(tmp_path, "program", lines), left)), null, 20)
        assert sorted(pid for _, pid in leftovers.alive()) == sorted(numbers_in(left))
        leftovers.end()
        assert not any(runs(pid) for pid in numbers_in(left))
        assert not leftovers.alive()
    assert numbers_in(left)


def test_two_that_guard_each_other_are_ended(tmp_path: Path) -> None:
    """When one of them dies the other starts it again, in a session of its own."""
    guards = python(
        tmp_path,
        "guards",
        "def guard():\n"
        "    os.setsid()\n"
        "    open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\n"
        "    other = os.getppid()\n"
        "    while os.getppid() == other: time.sleep(0.0005)\n"
        "    watch()\n"
        "def watch():\n"
        "    while True:\n"
        "        pid = os.fork()\n"
        "        if pid == 0: guard()\n"
        "        os.waitpid(pid, 0)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\n"
        "    watch()\n"
        "while not os.path.exists(sys.argv[1]) or len(open(sys.argv[1]).readlines()) < 2: time.sleep(0.001)\n",
    )
    before = set(children_of(os.getpid()))
    with none_left() as leftovers, launch.nowhere() as null:
        launch.run(Prepared(command(guards, tmp_path / "left")), null, 20)
        assert len(leftovers.alive()) == 2
    assert set(children_of(os.getpid())) <= before
    assert not any(runs(pid) for pid in numbers_in(tmp_path / "left"))


def test_one_that_forks_and_ends_again_and_again_is_caught(tmp_path: Path) -> None:
    """Its number is another one each time that it is looked for; each has a session of its own."""
    program = python(
        tmp_path,
        "program",
        "os.nice(5)\nend = time.monotonic() + 60\nif os.fork(): os._exit(0)\n"
        "while time.monotonic() < end:\n    os.setsid()\n    if os.fork(): os._exit(0)\nopen(sys.argv[1], 'w').close()",
    )
    before = set(children_of(os.getpid()))
    start = time.monotonic()
    with none_left(), launch.nowhere() as null:
        launch.run(Prepared(command(program, tmp_path / "outlived")), null, 20)
    assert time.monotonic() - start < 30
    assert set(children_of(os.getpid())) <= before
    assert not (tmp_path / "outlived").exists()


def test_children_of_before_are_neither_ended_nor_waited_for(tmp_path: Path) -> None:
    before = [subprocess.Popen(["sleep", "1000"]), subprocess.Popen(["sh", "-c", "sleep 1000 & wait"])]
    over = subprocess.Popen(["true"])
    try:
        until(lambda: not runs(over.pid), "true ends")
        theirs = until(lambda: children(before[1].pid), "it has started its own")
        program = script(tmp_path, "program", "sleep 1000 & echo $! >> $1")
        with none_left() as leftovers, launch.nowhere() as null:
            launch.run(Prepared(command(program, tmp_path / "left")), null, 20)
            assert [pid for _, pid in leftovers.end()] == numbers_in(tmp_path / "left")
        assert not runs(numbers_in(tmp_path / "left")[0])
        assert all(runs(pid) for pid in [before[0].pid, before[1].pid, *theirs])
        assert over.wait() == 0
    finally:
        for process in before:
            for pid in children(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.kill()
            process.wait()


def test_whoever_is_older_is_not_of_a_run(tmp_path: Path) -> None:
    """A child of before ends, and its own child, as old as it is, falls to this process, as an orphan does."""
    lines = "setsid sleep 1000 & echo $! > $0; read line"
    with subprocess.Popen(["sh", "-c", lines, tmp_path / "old"], stdin=subprocess.PIPE) as before:
        old = until(lambda: numbers_in(tmp_path / "old") if (tmp_path / "old").exists() else [], "it has started")[0]
        time.sleep(0.02)  # two ticks of the clock by which starts are told
        try:
            with none_left() as leftovers, launch.nowhere() as null:
                before.communicate()
                until(lambda: parent(old) == os.getpid(), "it is an orphan")
                launch.run(Prepared(command(script(tmp_path, "program", "sleep 1000 &"))), null, 20)
                assert len(leftovers.end()) == 1
                assert leftovers.alive() == []
            assert runs(old)
        finally:
            os.kill(old, signal.SIGKILL)
            os.waitpid(old, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_while_all_is_ended_comes_when_all_has_ended(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A program has ended one process of three when somebody ends the program."""
    kill = leftovers_module._kill
    started: list[int] = []

    def interrupted(process: Left) -> bool:
        os.kill(os.getpid(), number)
        return kill(process)

    def end(_number: int, _frame: object) -> None:
        raise ZeroDivisionError

    def start() -> None:
        with none_left(), launch.nowhere() as null:
            started.extend(launch.spawn(Prepared(command("/bin/sleep", "1000")), (null, null, null)) for _ in range(3))

    monkeypatch.setattr(leftovers_module, "_kill", interrupted)
    was = signal.signal(number, end)
    try:
        with pytest.raises(ZeroDivisionError):
            start()
    finally:
        signal.signal(number, was)
    assert not any(runs(pid) for pid in started)
    assert len(started) == 3


_AS_NOBODY = """
import ctypes, os, sys
from linkscope.measure.command import Bounds, Command
from linkscope.measure.trial import trial
os.setgroups([]); os.setgid(65534); os.setuid(65534)
trial(Command(sys.argv[1], ("hidden",), ()), Bounds(timeout=20))
"""
# Nobody may look at it (PR_SET_DUMPABLE), as at an agent that keeps keys.
_LEAVES_HIDDEN = """
#include <sys/prctl.h>
#include <unistd.h>
int main(void) {
    if (fork()) _exit(0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    setsid();
    for (int number = 0; number < 3; number++) close(number);
    sleep(1000);
}
"""


def test_one_that_the_kernel_hides_is_ended_too(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """With hidepid=2 the numbers of children are known, and nothing else of those that may not be looked at."""
    if os.geteuid():
        raise Unavailable("only root mounts /proc")
    for folder in tmp_path.parents[: len(tmp_path.parents) - 2]:
        folder.chmod(0o755)
    tmp_path.chmod(0o755)
    leaves = tmp_path / "leaves"
    subprocess.run([require_tool("cc"), "-x", "c", "-", "-o", leaves], input=_LEAVES_HIDDEN, text=True, check=True)
    mount = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    # The first process of the namespace, with whose end all others would end, looks who is left.
    look = '"$@"; cat /proc/[0-9]*/cmdline | tr "\\0" "\\n" | grep -c ^hidden$'
    apart = [require_tool("unshare"), "-mpf", "sh", "-c", mount, "sh", "sh", "-c", look, "sh"]
    ran = subprocess.run(
        [*apart, sys.executable, "-c", _AS_NOBODY, leaves],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "leaves a process behind: process (" in ran.stderr
    assert ran.stdout == "0\n"


def test_orphans_fall_to_this_process_only_meanwhile(tmp_path: Path) -> None:
    """Afterwards to whom they belonged before: not to it."""
    program = script(tmp_path, "program", "sleep 1000 & echo $! >> $1")
    with none_left(), launch.nowhere() as null:
        launch.run(Prepared(command(program, tmp_path / "inside")), null, 20)
        assert parent(numbers_in(tmp_path / "inside")[0]) == os.getpid()
    subprocess.run([program, tmp_path / "outside"], check=True, stdin=subprocess.DEVNULL)
    pid = numbers_in(tmp_path / "outside")[0]
    try:
        assert parent(pid) != os.getpid()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_one_inside_another_leaves_the_outer_ones_processes_alone(tmp_path: Path) -> None:
    with none_left() as outer, launch.nowhere() as null:
        prepared = Prepared(command(script(tmp_path, "program", "sleep 1000 & echo $! >> $1"), tmp_path / "left"))
        launch.run(prepared, null, 20)
        with none_left():
            launch.run(prepared, null, 20)
        first, second = numbers_in(tmp_path / "left")
        assert runs(first)
        assert not runs(second)
        launch.run(prepared, null, 20)
        assert len(outer.end()) == 2  # orphans still fall to this process
    assert not any(runs(pid) for pid in numbers_in(tmp_path / "left"))


def test_an_exception_ends_what_runs() -> None:
    started = []

    def start_and_fail() -> None:
        with none_left(), launch.nowhere() as null:
            started.append(launch.spawn(Prepared(command("/bin/sleep", "1000")), (null, null, null)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        start_and_fail()
    assert not runs(started[0])


def test_a_caller_who_ignores_the_death_of_children_is_served_as_well(tmp_path: Path) -> None:
    """A process inherits that (SIGCHLD ignored), and cannot wait for children then (wait(2), ECHILD)."""
    was = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        found = run_rounds([command(script(tmp_path, "program", "exit 0"))], Bounds(), 3).programs[0]
        assert len(found.samples) == 3
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, was)


_MEASURING = """
import os, sys
from linkscope.cli.interrupts import tidied_up
from linkscope.measure.command import Bounds, Command
from linkscope.measure.rounds import run_rounds
from linkscope.measure.trial import trial
command = Command(sys.argv[2], (sys.argv[3],), tuple(os.environ.items()))
with tidied_up():
    if sys.argv[1] == "trial": trial(command, Bounds(timeout=1000))
    else: run_rounds([command], Bounds(timeout=1000))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("what", ["trial", "rounds"])
def test_who_is_interrupted_leaves_nothing(tmp_path: Path, what: str, number: signal.Signals) -> None:
    """Also what a run has started, which is in another session by then."""
    program = script(
        tmp_path, "program", "trap '' INT TERM HUP; setsid sleep 1000 & echo $! >> $1; echo $$ >> $1; wait"
    )
    left = tmp_path / "left"
    left.touch()
    argv = [sys.executable, "-c", _MEASURING, what, str(program), str(left)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as measuring:
        try:
            until(lambda: len(numbers_in(left)) == 2, "the program runs")
            measuring.send_signal(number)
            _, said = measuring.communicate(timeout=30)
        finally:
            measuring.kill()
    assert b"Ended" in said
    assert not any(runs(pid) for pid in numbers_in(left))

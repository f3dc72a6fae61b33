"""The files of /proc/PID as values: psutil and the kernel's own text are the judges, and processes that go away."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from linkscope.errors import NotPermitted, ProcessGone, ProcessUnreadable
from linkscope.process import procfs
from tests.process.places import ran, room, tmpfs
from tests.process.started import as_user, started, state, until
from tests.process.verdicts import ordinary_user

FixtureFile = Callable[[str], Path]

# A program with this name, which holds what a reader of /proc/PID/stat may stumble over.
_NAMED = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
print("ready", flush=True)
signal.pause()
"""
_DEAD_CHILD = """
import os, signal
pid = os.fork()
if pid == 0: os._exit(0)
print("child", pid, flush=True)
signal.pause()
"""
# Three threads, each of which has a child.
_THREADS = """
import signal, subprocess, threading, time
forked = threading.Semaphore(0)
def fork():
    subprocess.Popen(["sleep", "600"])
    forked.release()
    time.sleep(600)
for _ in range(3): threading.Thread(target=fork, daemon=True).start()
for _ in range(3): forked.acquire()
print("ready", flush=True)
signal.pause()
"""
# Becomes a program whose environment names a variable twice.
_TWICE = """
import ctypes
strings = lambda *words: (ctypes.c_char_p * (len(words) + 1))(*words, None)
ctypes.CDLL(None).execve(b"/bin/sleep", strings(b"sleep", b"600"), strings(b"A=1", b"A=2"))
"""


def _is_kernel_thread(pid: int) -> bool:
    try:
        return procfs.stat(pid).is_kernel_thread
    except ProcessGone:
        return False


def _kernel_thread() -> int:
    """kthreadd, unless this is a pid namespace of its own."""
    found = [pid for pid in (2, *procfs.pids()) if _is_kernel_thread(pid)]
    if not found:
        pytest.skip("no kernel thread is in sight")
    return found[0]


@pytest.mark.parametrize("name", ["plain", "a b", "a) R 1 (b", ") ", "(((", "new\nline", "S 1 2 3) Z 9"])
def test_the_name_may_hold_whatever_stands_between_the_fields(name: str) -> None:
    with started([sys.executable, "-c", _NAMED, name]) as program:
        program.expect("ready")
        stat = procfs.stat(program.pid)
        assert (stat.name, stat.ppid, stat.threads) == (name, os.getpid(), 1)
        assert until(lambda: procfs.stat(program.pid).state == "sleeping", "it sleeps")


def test_every_process_has_the_parent_start_and_threads_that_psutil_sees() -> None:
    compared = 0
    booted = procfs.boot_time()
    for pid in procfs.pids():
        try:
            judge = psutil.Process(pid)
            expected = judge.ppid(), judge.num_threads(), tuple(judge.uids())
            stat, ids = procfs.stat(pid), procfs.ids(pid)
            again = judge.ppid(), judge.num_threads(), tuple(judge.uids())
        except (psutil.Error, ProcessGone):
            continue
        if expected != again:
            continue
        assert (stat.ppid, stat.threads, ids.uids[:3]) == expected
        # psutil takes the time of the boot from /proc/stat, in whole seconds.
        assert abs(procfs.start_time(stat, booted) - judge.create_time()) < 1.1
        compared += 1
    assert compared


def test_the_start_of_a_process_lies_between_the_moments_before_and_after_it() -> None:
    before = time.time()
    with started([sys.executable, "-c", _NAMED, "x"]) as program:
        after = time.time()
        began = procfs.start_time(procfs.stat(program.pid), procfs.boot_time())
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert before - tick - 0.005 <= began <= after + 0.005


def test_what_psutil_says_of_the_command_line_and_the_environment_is_said() -> None:
    environment = {"PLAIN": "1", "EMPTY": "", "EQUALS": "a=b=c", "BYTES": os.fsdecode(b"\xff"), "LINES": "a\nb"}
    with started([sys.executable, "-c", _NAMED, "", "two words", os.fsdecode(b"\xfe")], env=environment) as program:
        program.expect("ready")
        assert procfs.cmdline(program.pid) == psutil.Process(program.pid).cmdline()
        assert procfs.cmdline(program.pid)[3:] == ["", "two words", os.fsdecode(b"\xfe")]
        found = procfs.environ(program.pid)
        assert found is not None
        assert found.items() >= environment.items()
        assert found == psutil.Process(program.pid).environ()


def test_of_a_variable_that_stands_twice_the_last_one_counts() -> None:
    """Which the loader takes (glibc elf/rtld.c, process_envvars)."""
    with started([sys.executable, "-c", _TWICE]) as program:
        until(lambda: procfs.cmdline(program.pid)[:1] == ["sleep"], "the program has become another")
        assert procfs.environ(program.pid) == {"A": "2"}


def test_an_environment_that_was_written_over_is_not_taken_for_one(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/scrubbed")]) as program:
        program.expect("ready")
        assert procfs.environ(program.pid) is None


def test_the_auxiliary_vector_is_what_the_loader_shows_itself() -> None:
    """LD_SHOW_AUXV prints what it got."""
    shown = subprocess.run(["/bin/true"], env={"LD_SHOW_AUXV": "1"}, capture_output=True, text=True, check=True)
    names = {line.split(":")[0] for line in shown.stdout.splitlines()}
    with started(["sleep", "600"]) as program:
        until(lambda: procfs.cmdline(program.pid)[:1] == ["sleep"], "sleep runs")
        vector = procfs.auxv(program.pid, 8)
    assert len(vector) == len(names)
    assert vector[procfs.AT_PAGESZ] == os.sysconf("SC_PAGE_SIZE")
    assert vector[procfs.AT_SECURE] == 0


def test_the_children_of_all_threads_are_its_children() -> None:
    with started([sys.executable, "-c", _THREADS]) as program:
        program.expect("ready")
        found = procfs.children(program.pid)
        assert sorted(found) == sorted(child.pid for child in psutil.Process(program.pid).children())
        assert len(found) == 3


# --- What is not there, or not for everybody --------------------------------------------------------------------------


def test_a_process_that_is_not_there_is_gone_whatever_is_asked() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    pid = gone.pid
    asked: list[Callable[[], object]] = [
        lambda: procfs.stat(pid),
        lambda: procfs.ids(pid),
        lambda: procfs.cmdline(pid),
        lambda: procfs.environ(pid),
        lambda: procfs.auxv(pid, 8),
        lambda: procfs.link(pid, "exe"),
        lambda: procfs.identity(pid, "root"),
        lambda: procfs.mount_of(pid, "exe"),
        lambda: procfs.mounts(pid),
        lambda: procfs.children(pid),
        lambda: procfs.Memory(pid),
        lambda: procfs.Held(pid, "maps"),
    ]
    for ask in asked:
        with pytest.raises(ProcessGone) as raised:
            ask()
        assert raised.value.pid == pid


def test_a_zombie_and_a_kernel_thread_are_there_and_have_no_memory() -> None:
    """Linux answers ESRCH to some questions about them, which otherwise means that there is no such process."""
    with started([sys.executable, "-c", _DEAD_CHILD]) as parent:
        dead = parent.number("child")
        until(lambda: state(dead) == "Z", "the child is dead")
        assert procfs.stat(dead).state == "zombie"
        for pid in (dead, _kernel_thread()):
            for ask in (lambda pid: procfs.auxv(pid, 8), procfs.Memory, lambda pid: procfs.link(pid, "exe")):
                with pytest.raises(ProcessUnreadable) as raised:
                    ask(pid)
                assert not isinstance(raised.value, ProcessGone)
            assert procfs.cmdline(pid) == []


def test_what_belongs_to_another_user_is_not_permitted() -> None:
    with started(["sleep", "600"]) as program:
        pid = program.pid
        with ordinary_user():
            assert procfs.stat(pid).pid == pid
            for ask in (
                lambda: procfs.read(pid, "maps"),
                lambda: procfs.environ(pid),
                lambda: procfs.link(pid, "exe"),
                lambda: procfs.Memory(pid),
                lambda: procfs.mount_of(pid, "root"),
            ):
                with pytest.raises(NotPermitted):
                    ask()


def test_an_ordinary_user_may_look_at_what_is_his(fixture_file: FixtureFile) -> None:
    with as_user([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("ready")
        with ordinary_user():
            assert procfs.read(program.pid, "maps")
            with procfs.Memory(program.pid) as memory:
                assert memory.read(procfs.auxv(program.pid, 8)[procfs.AT_SYSINFO_EHDR], 4) == b"\x7fELF"


def test_a_process_that_ends_while_it_is_read_gives_values_or_is_gone() -> None:
    """Many that live for a moment, looked at again and again."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        with subprocess.Popen(["true"]) as process, pytest.raises(ProcessGone) as raised:
            _read_until_gone(process)
        assert raised.value.pid == process.pid


def _read_until_gone(process: subprocess.Popen[bytes]) -> None:
    while True:
        process.poll()  # else it would stay, as a zombie
        procfs.stat(process.pid)
        procfs.read(process.pid, "maps")
        procfs.ids(process.pid)


# --- Held open, and memory --------------------------------------------------------------------------------------------


def test_maps_that_are_held_open_tell_nothing_after_the_process_has_become_another_program() -> None:
    with started(["sh", "-c", "echo ready; read line; exec sleep 600"]) as program:
        program.expect("ready")
        with procfs.Held(program.pid, "maps") as held:
            assert held.read() == procfs.read(program.pid, "maps") != b""
            program.send("")
            until(lambda: procfs.cmdline(program.pid)[:1] == ["sleep"], "sh has become sleep")
            assert held.read() == b""
        assert procfs.read(program.pid, "maps")


def test_memory_gives_whole_pieces_and_nothing_where_not_all_is_mapped(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("ready")
        lines = [line.split()[0].split(b"-") for line in procfs.read(program.pid, "maps").splitlines()]
        areas = [(int(start, 16), int(end, 16)) for start, end in lines]
        start, end = next((s, e) for (s, e), (after, _) in itertools.pairwise(areas) if e < after)
        with procfs.Memory(program.pid) as memory:
            assert len(memory.read(start, end - start) or b"") == end - start
            assert memory.read(end - 8, 16) is None
            for address in (0, 1 << 62, (1 << 63) - 1, 1 << 63, -1):
                assert memory.read(address, 8) is None
            vector = procfs.auxv(program.pid, 8)
            assert memory.string(vector[procfs.AT_EXECFN]) == os.fsencode(fixture_file("process/states"))
            assert memory.string(vector[procfs.AT_EXECFN], most=4) is None


def test_the_mount_of_a_file_is_the_one_that_findmnt_names() -> None:
    mounts = procfs.mounts(os.getpid())
    for path in ("/proc", "/"):
        descriptor = os.open(path, os.O_PATH)
        number = procfs.mount_of(os.getpid(), f"fd/{descriptor}")
        os.close(descriptor)
        kind, device = ran("findmnt", "-no", "FSTYPE,MAJ:MIN", "--target", path).split()
        major, minor = map(int, device.split(":"))
        assert mounts[number] == (kind, os.makedev(major, minor))


def test_a_mount_point_may_have_a_carriage_return_in_its_name() -> None:
    """Only spaces, tabs, newlines and backslashes are escaped (Linux fs/proc_namespace.c, show_mountinfo)."""
    before = procfs.mounts(os.getpid())
    with room() as folder:
        target = folder / "a\rb"
        target.mkdir()
        with tmpfs(target):
            added = set(procfs.mounts(os.getpid()).items()) - set(before.items())
            assert ("tmpfs", os.stat(target).st_dev) in {of for _, of in added}


def test_a_signal_that_stops_and_one_that_continues_are_seen() -> None:
    with started(["sleep", "600"]) as program:
        until(lambda: procfs.stat(program.pid).state == "sleeping", "it sleeps")
        os.kill(program.pid, signal.SIGSTOP)
        until(lambda: procfs.stat(program.pid).state == "stopped", "it is stopped")
        assert psutil.Process(program.pid).status() == psutil.STATUS_STOPPED
        os.kill(program.pid, signal.SIGCONT)
        until(lambda: procfs.stat(program.pid).state == "sleeping", "it sleeps again")

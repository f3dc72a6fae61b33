"""One run: what it is given, how it ended, and what it used."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linkscope.errors import CannotRun, NotStarted, OutOfDescriptors
from linkscope.measure import launch
from linkscope.measure.command import Command
from linkscope.measure.launch import Ending, Prepared, Sample
from linkscope.measure.leftovers import children_of, none_left
from tests.measure.nasty import command, numbers_in, python, runs, script

# Computes until it has used so many seconds of processor time, by its own account, half of them in the kernel.
_COMPUTES = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
static double used(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }
int main(int count, char **words) {
    double wanted = atof(words[1]);
    struct rusage usage;
    char data[4096];
    int zero = open("/dev/zero", O_RDONLY);
    do {
        for (volatile int i = 0; i < 100000; i++) ;
        getrusage(RUSAGE_SELF, &usage);
    } while (used(usage.ru_utime) < wanted / 2);
    do {
        for (int i = 0; i < 100; i++) if (read(zero, data, sizeof data) < 0) return 1;
        getrusage(RUSAGE_SELF, &usage);
    } while (used(usage.ru_utime) + used(usage.ru_stime) < wanted);
    return 0;
}
"""


def _run(path: Path, *arguments: str | Path, timeout: float = 30) -> Sample:
    with none_left(), launch.nowhere() as null:
        return launch.run(Prepared(command(path, *arguments)), null, timeout)


def _compiled(folder: Path, text: str) -> Path:
    (folder / "program.c").write_text(text)
    subprocess.run(["cc", "-O1", folder / "program.c", "-o", folder / "program"], check=True)
    return folder / "program"


def test_the_processor_time_is_what_the_program_knows_of_itself(tmp_path: Path) -> None:
    sample = _run(_compiled(tmp_path, _COMPUTES), "0.2")
    assert 0.2 <= sample.user + sample.system < 0.25
    assert sample.seconds > sample.user + sample.system - 0.02
    assert sample.user > 0.08


def test_the_time_of_a_program_that_sleeps_is_what_it_slept_and_little_more() -> None:
    most = [_run(Path("/bin/sleep"), "0.05").seconds for _ in range(10)]
    assert 0.05 <= min(most) < 0.06


@pytest.mark.parametrize(
    ("lines", "ending"),
    [
        ("exit 0", Ending(status=0)),
        ("exit 255", Ending(status=255)),
        ("kill -KILL $$", Ending(signal=9)),
        ("kill -TERM $$", Ending(signal=15)),
    ],
)
def test_how_it_ended(tmp_path: Path, lines: str, ending: Ending) -> None:
    found = _run(script(tmp_path, "program", lines)).ending
    assert found == ending
    assert found.is_one_of((0,)) == (ending.status == 0)
    assert not found.is_one_of((1, 2))
    assert not found.is_overdue


def test_what_takes_too_long_is_ended_with_its_group(tmp_path: Path) -> None:
    program = script(tmp_path, "program", "sleep 1000 & echo $! >> $1; echo $$ >> $1; trap '' TERM; wait")
    start = time.monotonic()
    sample = _run(program, tmp_path / "numbers", timeout=1)
    assert sample.ending.is_overdue
    assert not sample.ending.is_one_of(range(256))
    assert 1 <= sample.seconds <= time.monotonic() - start < 5
    assert len(numbers_in(tmp_path / "numbers")) == 2
    assert not any(runs(pid) for pid in numbers_in(tmp_path / "numbers"))


def test_one_that_leaves_its_group_is_ended_as_well(tmp_path: Path) -> None:
    """It goes into that of this process, which nobody ends."""
    program = python(tmp_path, "program", "os.setpgid(0, os.getpgid(os.getppid()))\ntime.sleep(1000)")
    assert _run(program, timeout=1).ending.is_overdue


def test_a_stopped_program_takes_too_long(tmp_path: Path) -> None:
    assert _run(script(tmp_path, "program", "kill -STOP $$"), timeout=0.2).ending.is_overdue


def test_it_reads_nothing_writes_to_nobody_and_has_no_other_descriptor(tmp_path: Path) -> None:
    with open(tmp_path / "other", "w"):
        _run(script(tmp_path, "program", "ls -l /proc/self/fd > $1; readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2 "
                                         ">> $1; ls /proc/$$/fd | wc -l >> $1"), tmp_path / "seen")  # fmt: skip
    seen = (tmp_path / "seen").read_text()
    assert seen.count("/dev/null\n") >= 3
    assert str(tmp_path / "other") not in seen


def test_the_signals_are_as_a_shell_would_have_them(tmp_path: Path) -> None:
    """This interpreter ignores SIGPIPE, and what a caller ignores, a program that it starts ignores too."""
    program = script(tmp_path, "program", "grep '^Sig[BI]' /proc/self/status > $1")
    by_hand = tmp_path / "by-hand"
    subprocess.run([program, by_hand], check=True, restore_signals=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        _run(program, tmp_path / "ours")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    assert _signals(tmp_path / "ours") == _signals(by_hand)


def _signals(status: Path) -> dict[str, int]:
    """Which are blocked and ignored; without 32 and 33, which glibc has for itself, and ignores in whom it spawns."""
    lines = (line.split() for line in status.read_text().splitlines())
    return {name: int(value, 16) & ~(0b11 << 31) for name, value in lines}


def test_it_leads_a_group_in_this_session_or_a_session(tmp_path: Path) -> None:
    program = python(
        tmp_path, "program", "open(sys.argv[1], 'w').write(f'{os.getpid()} {os.getpgid(0)} {os.getsid(0)}')"
    )
    _run(program, tmp_path / "group")
    pid, group, session = (tmp_path / "group").read_text().split()
    assert pid == group
    assert int(session) == os.getsid(0)
    with launch.nowhere() as null:
        launch.reap(launch.spawn_apart(Prepared(command(program, tmp_path / "session")), (null, null, null)))
    assert len(set((tmp_path / "session").read_text().split())) == 1


def test_arguments_and_environment_reach_it_byte_for_byte(tmp_path: Path) -> None:
    program = script(tmp_path, "program", 'printf "%s|" "$@" > "$1"; printf %s "$WORD" >> "$1"')
    words = ("a b", "", "\udcff", "*")
    prepared = Prepared(Command(str(program), (str(tmp_path / "seen"), *words), (("WORD", "é\udcfe"),)))
    with none_left(), launch.nowhere() as null:
        launch.run(prepared, null, 30)
    assert (tmp_path / "seen").read_bytes().endswith(b"seen|a b||\xff|*|\xc3\xa9\xfe")


def test_what_is_not_there_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="no such file or directory"):
        _run(tmp_path / "nothing")


def test_a_run_leaves_no_descriptor_open_here(tmp_path: Path) -> None:
    program = script(tmp_path, "program", "exit 0")
    _run(program)
    before = os.listdir("/proc/self/fd")
    _run(program)
    _run(script(tmp_path, "hangs", "exec sleep 100"), timeout=0.05)
    with pytest.raises(NotStarted):
        _run(tmp_path / "nothing")
    assert os.listdir("/proc/self/fd") == before


# Its child, in a session of its own, becomes its tracer (ptrace(2)), and does nothing about its end.
_IS_TRACED = """
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>
int main(void) {
    int told[2];
    char byte;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    if (pipe(told)) return 1;
    if (!fork()) {
        setsid();
        byte = ptrace(PTRACE_SEIZE, getppid(), 0, 0) ? 'n' : 'y';
        if (write(told[1], &byte, 1) != 1) return 1;
        for (;;) pause();
    }
    if (read(told[0], &byte, 1) != 1) return 1;
    return byte != 'y';
}
"""


def test_whose_end_another_process_keeps_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkscope.measure.launch._PATIENCE", 0.3)
    before = set(children_of(os.getpid()))
    with pytest.raises(CannotRun, match=r"process \d+: cannot be put away after its end: it is traced"):
        _run(_compiled(tmp_path, _IS_TRACED))
    assert set(children_of(os.getpid())) <= before


def test_who_has_no_descriptor_for_it_is_told_so() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with none_left(), launch.nowhere() as null:
        pid = launch.spawn(Prepared(command("/bin/true")), (null, null, null))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            with pytest.raises(OutOfDescriptors):
                launch.watched(pid)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


_WHILE_STOPPED = """
import os, sys
from linkscope.measure import launch
from linkscope.measure.command import Bounds, Command
from linkscope.measure.leftovers import none_left
from linkscope.measure.trial import trial
command = Command("/bin/sleep", ("0.6",), ())
ways = {
    "trial": lambda: trial(command, Bounds(timeout=1.5)),
    "run": lambda: launch.run(launch.Prepared(command), null, 1.5),
}
with none_left(), launch.nowhere() as null:
    print("ready", flush=True)
    print(ways[sys.argv[1]]().ending.status)
"""


@pytest.mark.parametrize("way", ["trial", "run"])
def test_who_measures_may_be_stopped_meanwhile(way: str) -> None:
    """The program has ended in time, and nobody was there to see it."""
    words = [sys.executable, "-c", _WHILE_STOPPED, way]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=60)[0] == "0\n"


def test_a_large_timeout_is_not_too_large_for_the_kernel(tmp_path: Path) -> None:
    assert _run(script(tmp_path, "program", "exit 0"), timeout=1e9).ending.status == 0


def test_the_memory_of_this_process_is_why_the_peak_is_not_asked_of_getrusage(tmp_path: Path) -> None:
    """ru_maxrss of a child begins with what this process has (Linux fs/exec.c, exec_mmap): see peak.py."""
    prepared = Prepared(command(script(tmp_path, "program", "exit 0")))
    with none_left(), launch.nowhere() as null:
        _, usage = launch.reap(launch.spawn(prepared, (null, null, null)))
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert usage.ru_maxrss > mine / 2

"""A trial run tells apart what keeps a program from being measured, and leaves nothing of it behind."""

import errno
import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import NoReturn, get_args

import pytest

from linkscope.errors import (
    Died,
    Failed,
    Hangs,
    LeavesProcesses,
    NeedsInput,
    NeedsTerminal,
    NotStarted,
    OutOfDescriptors,
    RunFailed,
    WritesTooMuch,
)
from linkscope.measure.command import Bounds, Command
from linkscope.measure.launch import Prepared
from linkscope.measure.leftovers import none_left
from linkscope.measure.observed import Surroundings, observed
from linkscope.measure.trial import name_of, trial
from tests.measure.nasty import command, numbers_in, python, runs, script

SHORT = Bounds(timeout=0.5)
LONG = Bounds(timeout=30)

FAILS = [
    ("a failure", "echo first >&2; echo 'the last line' >&2; echo >&2; exit 3", Failed,
     "ends with exit code 3: the last line"),
    ("a silent failure", "exit 1", Failed, "ends with exit code 1"),
    ("a signal", "kill -SEGV $$", Died, "is killed by signal 11 (SIGSEGV)"),
    ("abort", "echo 'assertion failed' >&2; kill -ABRT $$", Died, "is killed by signal 6 (SIGABRT): assertion failed"),
    ("too much output", "exec yes", WritesTooMuch, "writes more than 16 MiB to its standard output and error"),
    ("too much on standard error", "exec yes >&2", WritesTooMuch,
     "writes more than 16 MiB to its standard output and error"),
    ("its own terminal", "exec < /dev/tty && read line", NeedsTerminal, None),
    ("a terminal as its input", "test -t 0 || { echo 'no terminal' >&2; exit 4; }", NeedsTerminal,
     "needs a terminal: with one it runs, without it ends with exit code 4: no terminal"),
    ("a terminal as its output", "test -t 1", NeedsTerminal,
     "needs a terminal: with one it runs, without it ends with exit code 1"),
    ("something to read", "read line", NeedsInput,
     "needs something to read: it waits for it, and where there is nothing it ends with exit code 1"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "kind", "reason"), [row[1:] for row in FAILS], ids=[row[0] for row in FAILS])
def test_what_keeps_a_program_from_being_measured(
    tmp_path: Path, lines: str, kind: type[RunFailed], reason: str | None
) -> None:
    with pytest.raises(RunFailed) as failure:
        trial(command(script(tmp_path, "program", lines)), LONG)
    assert type(failure.value) is kind
    assert reason is None or failure.value.reason == reason
    assert "\n" not in failure.value.reason


def test_what_does_not_end_hangs_and_what_it_does_meanwhile_is_told(tmp_path: Path) -> None:
    rows = {
        "exec sleep 1000": "it waits, and hardly computes",
        "while :; do :; done": "it computed for ",
    }
    for lines, hint in rows.items():
        with pytest.raises(Hangs, match=r"does not end within 0\.5 s") as failure:
            trial(command(script(tmp_path, "program", lines)), SHORT)
        assert hint in failure.value.reason


def test_a_server_that_hangs_is_told_by_its_port(tmp_path: Path) -> None:
    server = python(
        tmp_path,
        "server",
        "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\n"
        "open(sys.argv[1], 'w').write(str(s.getsockname()[1]))\ntime.sleep(1000)",
    )
    with pytest.raises(Hangs) as failure:
        trial(command(server, tmp_path / "port"), Bounds(timeout=3))
    port = (tmp_path / "port").read_text()
    assert f"it waits for connections at port {port}: a server is measured with --serve" in failure.value.reason


def test_one_that_cannot_be_started_says_which_file_is_absent(tmp_path: Path) -> None:
    absent = script(tmp_path, "absent-interpreter", "", "/nowhere/sh")
    text = tmp_path / "text"
    text.write_text("words\n")
    text.chmod(0o755)
    closed = script(tmp_path, "closed", "")
    closed.chmod(0o644)
    rows = {
        tmp_path / "nothing": "no such file or directory",
        absent: "no such file or directory (its interpreter /nowhere/sh is absent)",
        text: "exec format error (it is neither ELF nor a script with a #! line)",
        closed: "permission denied (the file is not executable)",
        tmp_path: "permission denied",
    }
    for path, reason in rows.items():
        with pytest.raises(NotStarted) as failure:
            trial(command(path), LONG)
        assert failure.value.reason == f"cannot be started: {reason}"


def test_one_whose_loader_is_absent_says_which(tmp_path: Path) -> None:
    program = tmp_path / "program"
    data = Path("/bin/true").read_bytes()
    loader = next(name for name in (b"/lib64/ld-linux-x86-64.so.2", b"/lib/ld-linux-aarch64.so.1") if name in data)
    program.write_bytes(data.replace(loader, loader.replace(b"/ld-", b"/xx-"), 1))
    program.chmod(0o755)
    with pytest.raises(NotStarted, match=r"its loader /lib\S*/xx-linux\S+ is absent"):
        trial(command(program), LONG)


def test_a_program_that_ends_well_is_told_with_what_it_wrote(tmp_path: Path) -> None:
    seen = trial(command(script(tmp_path, "program", "echo hello; echo world >&2")), LONG)
    assert seen.ending.status == 0
    assert seen.output == 12
    assert seen.last_line == "world"


def test_output_up_to_the_bound_is_no_fault(tmp_path: Path) -> None:
    program = script(tmp_path, "program", f"head -c {1 << 20} /dev/zero")
    assert trial(command(program), Bounds(timeout=30, output=1 << 20)).output == 1 << 20
    with pytest.raises(WritesTooMuch):
        trial(command(program), Bounds(timeout=30, output=(1 << 20) - 1))


def test_one_that_has_ended_when_its_output_is_too_much_is_put_away_once(tmp_path: Path) -> None:
    """The last of it is read after its end."""
    program = script(tmp_path, "program", "echo 123456789")
    for _ in range(20):
        with pytest.raises(WritesTooMuch):
            trial(command(program), Bounds(timeout=30, output=9))


@pytest.mark.parametrize(
    "lines",
    [
        "sleep 1000 & echo $! >> $1",
        "trap '' TERM; (trap '' TERM HUP; exec sleep 1000) & echo $! >> $1",
        "sleep 1000 & echo $! >> $1; kill -STOP $!",
        "setsid sh -c 'echo $$ >> $0; exec sleep 1000' $1 & while ! test -s $1; do :; done",
    ],
    ids=["a child", "it ignores signals", "it is stopped", "in a session of its own"],
)
def test_who_leaves_processes_behind_is_told_and_they_are_ended(tmp_path: Path, lines: str) -> None:
    program, left = script(tmp_path, "program", lines), tmp_path / "left"
    with pytest.raises(LeavesProcesses, match=r"ends and leaves a process behind: \w+ \(\d+\)") as failure:
        trial(command(program, left), LONG)
    assert [pid for _, pid in failure.value.left] == numbers_in(left)
    assert not any(runs(pid) for pid in numbers_in(left))


def test_a_daemon_is_left_behind_although_it_forks_twice_and_belongs_to_init(tmp_path: Path) -> None:
    daemon = python(
        tmp_path,
        "daemon",
        "if os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        "open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\n[os.close(n) for n in range(3)]\ntime.sleep(1000)",
    )
    with pytest.raises(LeavesProcesses) as failure:
        trial(command(daemon, tmp_path / "left"), LONG)
    assert len(failure.value.left) == 1
    assert not runs(failure.value.left[0][1])


def test_a_child_that_ends_a_moment_later_is_not_left_behind(tmp_path: Path) -> None:
    assert trial(command(script(tmp_path, "program", "sleep 0.02 &")), LONG).ending.status == 0


def test_a_failure_that_leaves_processes_is_a_failure_and_they_are_ended(tmp_path: Path) -> None:
    left = tmp_path / "left"
    with pytest.raises(Failed):
        trial(command(script(tmp_path, "program", "sleep 1000 & echo $! >> $1; exit 1"), left), LONG)
    assert numbers_in(left)
    assert not any(runs(pid) for pid in numbers_in(left))


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    left = tmp_path / "left"
    program = script(tmp_path, "program", "setsid sleep 1000 & echo $! >> $1; echo $$ >> $1; trap '' TERM; wait")
    with pytest.raises(Hangs):
        trial(command(program, left), Bounds(timeout=1.5))
    assert len(numbers_in(left)) == 2
    assert not any(runs(pid) for pid in numbers_in(left))


def test_a_trial_that_hangs_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(Hangs):
        trial(command(script(tmp_path, "program", "exec sleep 1000")), SHORT)
    assert 0.5 <= time.monotonic() - start < 3


def test_the_environment_is_the_commands_and_nothing_else(tmp_path: Path) -> None:
    program = script(tmp_path, "program", 'test "$WORD" = "a b" && test -z "$HOME"')
    assert trial(Command(str(program), (), (("WORD", "a b"),)), LONG).ending.status == 0


def test_where_files_cannot_be_opened_nothing_stays_open(tmp_path: Path) -> None:
    """However many there may be: for the first pipe, for a part of them, or for all."""
    program = Prepared(command(script(tmp_path, "program", "exit 0")))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    failures = 0
    for surroundings in get_args(Surroundings):
        trial(program.command, LONG)  # imports what it needs
        before = os.listdir("/proc/self/fd")
        for more in range(16):
            with none_left() as leftovers:
                resource.setrlimit(resource.RLIMIT_NOFILE, (_lowest_free() + more, hard))
                try:
                    observed(program, surroundings, 30, 1 << 20, leftovers)
                except (OSError, OutOfDescriptors):
                    failures += 1
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert os.listdir("/proc/self/fd") == before, (surroundings, more)
    assert 3 <= failures < 3 * 16


def _lowest_free() -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_a_terminal_without_a_name_does_not_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the root was changed, and /dev/pts is another one."""

    def nameless(_descriptor: int) -> NoReturn:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "ttyname", nameless)
    before = os.listdir("/proc/self/fd")
    with none_left() as leftovers, pytest.raises(FileNotFoundError):
        observed(Prepared(command("/bin/true")), "terminal", 30, 1 << 20, leftovers)
    assert os.listdir("/proc/self/fd") == before


def test_signals_have_their_names() -> None:
    """The shell's own kill knows them as well."""
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN + 3):
        said = subprocess.run(["bash", "-c", f"kill -l {int(number)}"], capture_output=True, text=True, check=True)
        assert name_of(number).removeprefix("SIG") == said.stdout.strip().removeprefix("SIG")

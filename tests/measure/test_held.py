"""Copies that are held at their end, with /proc as the judge of what is there, and wait(2) of how each ends."""

import ctypes
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from linkscope.errors import NotHeld, NotStarted
from linkscope.measure.command import Bounds, Command
from linkscope.measure.copies import copies
from linkscope.measure.held import HeldCopy, held_at_exit
from linkscope.measure.leftovers import none_left
from linkscope.measure.memory import memory_of
from tests.oracle.availability import Unavailable
from tests.process.started import NOBODY, stat_fields, state, until, variants

FixtureFile = Callable[[str], Path]
MIB = 1 << 20
LONG = 60.0  # for a machine that does much else
# How runs/memory ends: the way, and its exit code as subprocess has it.
WAYS = {
    "exit": 0,
    "status": 7,
    "signal": -signal.SIGUSR2,
    "thread": 3,
    "last": 4,
    "stop": 0,
    "clone": 0,
}


def _command(path: str | Path, *arguments: str) -> Command:
    return Command(str(path), arguments, tuple(os.environ.items()))


def _codes(held: list[HeldCopy]) -> list[int]:
    return [os.waitstatus_to_exitcode(copy.status) for copy in held]


def _running(path: Path) -> list[int]:
    """The processes whose program that is."""
    return [pid for pid in psutil.pids() if _executable(pid) == str(path)]


def _executable(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


@pytest.fixture(name="own_copy")
def _own_copy(fixture_file: FixtureFile) -> Iterator[Callable[[str], Path]]:
    """Call it with a fixture's name: a copy that nobody else runs, in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)

        def copied(name: str) -> Path:
            return Path(shutil.copy(fixture_file(name), os.path.realpath(folder)))

        yield copied


@pytest.mark.parametrize("name", variants("runs/memory"))
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_held_with_its_memory_however_it_ends(name: str, way: str, fixture_file: FixtureFile) -> None:
    """Threads, signals, a stop in between: what it has touched is all there, and it ends as it would have."""
    with none_left(), held_at_exit([_command(fixture_file(name), "-m", "3", way)] * 2, LONG) as held:
        assert _codes(held) == [WAYS[way]] * 2
        for copy in held:
            assert 3 * MIB <= memory_of(copy.pid).private < 40 * MIB
            assert stat_fields(copy.pid)[1] == str(os.getpid())
    assert all(state(copy.pid) is None for copy in held)


@pytest.mark.parametrize("name", variants("runs/memory"))
def test_the_program_that_a_thread_starts_is_held_and_not_the_thread(name: str, fixture_file: FixtureFile) -> None:
    """execve(2) in a thread ends all others, and waits until they are put away."""
    with none_left(), held_at_exit([_command(fixture_file(name), "exec")] * 4, LONG) as held:
        assert _codes(held) == [1] * 4
        for copy in held:
            assert os.path.samefile(f"/proc/{copy.pid}/exe", "/bin/false")


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("/bin/false", (), 1),
        ("/bin/sh", ("-c", "exec /bin/true"), 0),
        ("/bin/sh", ("-c", "kill -KILL $$"), -signal.SIGKILL),
        ("/bin/sh", ("-c", "/bin/true; exit 9"), 9),
        (sys.executable, ("-c", "import subprocess; subprocess.run(['/bin/true']); raise SystemExit(2)"), 2),
    ],
)
def test_programs_of_this_machine_end_as_they_would(name: str, arguments: tuple[str, ...], code: int) -> None:
    """Also those that start others, or are killed."""
    with none_left(), held_at_exit([_command(name, *arguments)] * 3, LONG) as held:
        assert _codes(held) == [code] * 3
        assert {state(copy.pid) for copy in held} == {"t"}


@pytest.mark.parametrize(("name", "code"), [("runs/small-32bit", 5), ("hello/hello-go", 0), ("hello/hello-rust", 0)])
def test_other_languages_and_machines_are_held_too(name: str, code: int, fixture_file: FixtureFile) -> None:
    """A 32-bit program without a C library, Go with its threads, Rust."""
    if name == "runs/small-32bit" and subprocess.run([fixture_file(name)]).returncode != code:
        raise Unavailable("this kernel runs no 32-bit programs")
    with none_left(), held_at_exit([_command(fixture_file(name))] * 4, LONG) as held:
        assert _codes(held) == [code] * 4
        assert all(memory_of(copy.pid).rss > 0 for copy in held)
        if name == "runs/small-32bit":
            assert all(memory_of(copy.pid).private >= 2 * MIB for copy in held)


def test_sixteen_are_there_at_once(own_copy: Callable[[str], Path]) -> None:
    path = own_copy("hello/hello-static")
    with none_left(), held_at_exit([_command(path)] * 16, LONG) as held:
        assert sorted(_running(path)) == sorted(copy.pid for copy in held)
    assert not _running(path)


def test_what_a_program_ignores_or_blocks_is_its_own(fixture_file: FixtureFile) -> None:
    """Python ignores SIGPIPE, and a program that it starts would too. What nobody can say otherwise is the caller's:
    glibc's own signals (nptl, SIGCANCEL and SIGSETXID), which a program between may have left ignored.
    """
    own = 1 << 31 | 1 << 32
    with none_left(), held_at_exit([_command(fixture_file("hello/hello-static"))], LONG) as held:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{held[0].pid}/status").read_text().splitlines())
    assert int(status["SigIgn"], 16) & ~own == 0
    assert int(status["SigBlk"], 16) == 0


def test_copies_have_standard_descriptors_also_where_this_process_has_none(fixture_file: FixtureFile) -> None:
    """As under a service manager, or cron: the lowest numbers are then given to whatever is opened next."""
    command = _command(fixture_file("hello/hello-static"))

    def measure() -> str:
        for number in (0, 1, 2):
            os.close(number)
        with none_left(), held_at_exit([command] * 3, LONG) as held:
            return f"{[os.readlink(f'/proc/{copy.pid}/fd/{n}') for copy in held for n in (0, 1, 2)]} {_codes(held)}"

    assert _in_another_process(measure) == f"{['/dev/null'] * 9} [0, 0, 0]"


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda _: None, "no such file or directory"),
        (lambda path: (path.write_text("words"), path.chmod(0o644)), "permission denied"),
        (lambda path: (path.write_bytes(b"\x7fELF" + bytes(60)), path.chmod(0o755)), "exec format error"),
    ],
    ids=["absent", "not-executable", "no-program"],
)
def test_a_program_that_cannot_be_started_is_said_so(
    make: Callable[[Path], object], number: str, tmp_path: Path
) -> None:
    make(tmp_path / "program")
    with pytest.raises(NotStarted, match=number), none_left(), held_at_exit([_command(tmp_path / "program")] * 2, LONG):
        pass


def test_copies_that_do_not_come_to_their_end_are_ended(own_copy: Callable[[str], Path]) -> None:
    path = own_copy("servers/fork")
    begun = time.monotonic()
    with (
        pytest.raises(NotHeld, match="no copy came to its end in time"),
        none_left(),
        held_at_exit([_command(path, "-p", "0")] * 3, 0.3),
    ):
        pass
    assert time.monotonic() - begun < LONG / 2
    assert not _running(path)


def test_time_is_over_also_for_a_copy_that_never_rests() -> None:
    """Each signal stops it for a moment, and there is always one more."""
    script = (
        "import signal; signal.signal(signal.SIGALRM, lambda *_: None);"
        "signal.setitimer(signal.ITIMER_REAL, 0.00002, 0.00002)\n"
        "while True: pass"
    )
    begun = time.monotonic()
    with (
        pytest.raises(NotHeld, match="no copy came to its end in time"),
        none_left(),
        held_at_exit([_command(sys.executable, "-c", script)] * 4, 1.0),
    ):
        pass
    assert time.monotonic() - begun < LONG / 2


def test_a_copy_that_stops_for_good_is_said_so() -> None:
    with (
        pytest.raises(NotHeld, match="stopped by SIGSTOP"),
        none_left(),
        held_at_exit([_command("/bin/sh", "-c", "kill -STOP $$")], 0.5),
    ):
        pass


def test_copies_that_wait_for_one_another_are_told_apart(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """The lock of one that is held is not given back; the figures of fewer copies stay."""
    require_tool("flock")
    script = f"exec 9>{tmp_path / 'lock'}; flock 9; exit 0"
    found = copies(_command("/bin/sh", "-c", script), [1, 2], Bounds(timeout=1.0), 1)
    assert [one.count for one in found.copies] == [1]
    assert found.notes[0].startswith("the memory of 2 copies at once is not told: only 1 of 2 copies came to their end")


def test_an_interrupt_leaves_nothing_behind(own_copy: Callable[[str], Path]) -> None:
    path = own_copy("servers/fork")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt), none_left(), held_at_exit([_command(path, "-p", "0")] * 3, LONG):
            pass
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not _running(path)


def test_copies_end_with_the_one_who_holds_them(own_copy: Callable[[str], Path]) -> None:
    """Also where that is killed, and can end nothing."""
    path = own_copy("servers/fork")
    holder = os.fork()
    if holder == 0:
        try:
            with held_at_exit([_command(path, "-p", "0")] * 3, LONG):
                pass
        finally:
            os._exit(1)
    try:
        until(lambda: len(_running(path)) == 3, "three copies")
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
    until(lambda: not _running(path), "the end of the copies")


# --- Where ptrace is not permitted, or the kernel gives fewer rights --------------------------------------------------

_SYSCALL = {"x86_64": 101, "aarch64": 117}


def _in_another_process(do: Callable[[], str]) -> str:
    """What DO says in a child of this process, whose rights it may give away."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, do().encode())
        except BaseException as error:  # noqa: BLE001 - it has to reach the test
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def _refuse_ptrace() -> None:
    """A seccomp filter with which ptrace(2) fails with EPERM, as those of containers did. Source: seccomp(2)."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise Unavailable(f"the number of ptrace on {platform.machine()} is not known here")
    rows = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in rows))
    program = struct.pack("@HP", len(rows), ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0, os.strerror(ctypes.get_errno())


def test_where_ptrace_is_refused_there_are_no_figures_and_the_reason(fixture_file: FixtureFile) -> None:
    command = _command(fixture_file("hello/hello-static"))

    def measure() -> str:
        _refuse_ptrace()
        found = copies(command, [1, 4], Bounds(), 1)
        return f"{found.copies} {found.one_more_copy} {found.notes}"

    assert _in_another_process(measure) == (
        "[] None ['the memory of one copy at once is not told: its copies cannot be held at their end: ptrace is not "
        "permitted here (Operation not permitted)']"
    )


def test_a_set_user_id_program_runs_without_its_rights_and_a_note_says_so(own_copy: Callable[[str], Path]) -> None:
    """As the kernel has it for whoever is traced by an ordinary user (execve(2))."""
    if os.geteuid():
        raise Unavailable("only the administrator makes a set-user-id program of root's")
    path = own_copy("hello/hello-static")
    path.chmod(0o4755)
    command = _command(path)

    def measure() -> str:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0  # PR_SET_DUMPABLE: as whoever was nobody from the start
        with none_left(), held_at_exit([command], LONG) as held:
            uids = Path(f"/proc/{held[0].pid}/status").read_text().partition("Uid:")[2].split()[:3]
        return f"{uids} {copies(command, [1], Bounds(), 1).notes}"

    copies(_command("/bin/true"), [1], Bounds(), 1)  # what is imported late cannot be read by everybody
    assert _in_another_process(measure) == (
        f"['{NOBODY}', '{NOBODY}', '{NOBODY}'] ['the program is set-user-id or set-group-id, and has not got these "
        "rights while its memory is measured']"
    )


def test_root_holds_a_set_user_id_program_with_its_rights(own_copy: Callable[[str], Path]) -> None:
    if os.geteuid():
        raise Unavailable("only the administrator makes a program of somebody else's")
    path = own_copy("hello/hello-static")
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o4755)
    with none_left(), held_at_exit([_command(path)], LONG) as held:
        assert Path(f"/proc/{held[0].pid}/status").read_text().partition("Uid:")[2].split()[1] == str(NOBODY)
        assert memory_of(held[0].pid).rss > 0

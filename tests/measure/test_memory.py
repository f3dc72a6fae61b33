"""Memory as /proc says it: smaps, other processes, and programs that touch a known number of MiB, are the judges."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.errors import ProcessGone
from linkscope.measure.command import Bounds
from linkscope.measure.copies import copies
from linkscope.measure.held import held_at_exit
from linkscope.measure.leftovers import none_left
from linkscope.measure.memory import Memory, available, memory_of
from linkscope.measure.peak import Peak, peak_rss
from linkscope.measure.servers import serve
from linkscope.model.compare import Copies
from linkscope.process import procfs
from tests.measure.marked import command
from tests.oracle.availability import Unavailable
from tests.process.started import until, variants

FixtureFile = Callable[[str], Path]
KIB, MIB = 1 << 10, 1 << 20
BOUNDS = Bounds(timeout=60.0)


@pytest.fixture(name="told")
def _told() -> None:
    if "Pss_Anon:" not in Path("/proc/self/smaps_rollup").read_text():
        raise Unavailable("this kernel does not say what of Pss is anonymous")


def _anonymous(tid: int) -> int:
    """The sum over all mappings of the pages that are of no file, in bytes."""
    rows = re.findall(r"^Anonymous: +(\d+) kB$", Path(f"/proc/{tid}/smaps").read_text(), re.MULTILINE)
    return sum(int(row) * KIB for row in rows)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("name", [*variants("runs/memory"), "hello/hello-go"])
def test_anonymous_memory_is_the_sum_over_the_mappings_where_no_child_shares_it(
    name: str, fixture_file: FixtureFile
) -> None:
    arguments = ("-m", "2") if name.startswith("runs/") else ()
    with none_left(), held_at_exit([command(fixture_file(name), *arguments)] * 2, 60) as held:
        for copy in held:
            tid = next(int(tid) for tid in os.listdir(f"/proc/{copy.pid}/task") if _anonymous(int(tid)))
            assert memory_of(copy.pid).anonymous == _anonymous(tid)


def _measured(path: Path, *arguments: str) -> Copies:
    (found,) = copies(command(path, *arguments), [2], BOUNDS, 1).copies
    assert found.anonymous is not None
    assert found.anonymous <= found.pss
    return found


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(("option", "times"), [("-m", 2), ("-s", 2)])
def test_what_is_touched_is_anonymous_and_counts_once_also_where_a_child_has_it_too(
    option: str, times: int, fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child lives on when its parent ends, and is taken for one that ends soon."""
    monkeypatch.setattr("linkscope.measure.copies.failure_later", lambda *_: None)
    path = fixture_file("runs/memory-static")
    without, touched = (_measured(path, option, mib).anonymous or 0 for mib in ("0", "8"))
    assert abs(touched - without - times * 8 * MIB) < MIB


@pytest.mark.usefixtures("told")
def test_what_is_read_of_a_file_is_not_anonymous(fixture_file: FixtureFile, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(8 * MIB))
    found = _measured(fixture_file("runs/memory-static"), "-f", str(file))
    assert found.anonymous is not None
    assert found.pss - found.anonymous > 8 * MIB
    assert found.anonymous < MIB


@pytest.mark.usefixtures("told")
def test_of_a_server_what_its_processes_have_in_common_counts_once(fixture_file: FixtureFile) -> None:
    """Of 16 MiB of the parent each of three children has written to 4, and has these for itself."""
    server = command(fixture_file("runs/server-static"), "-p", "{port}", "-m", "16", "-w", "4")
    found = serve(server, None, (3,), BOUNDS, (1,), 1).server
    assert len(found.processes) == 4
    assert all(one.anonymous is not None and one.anonymous <= one.pss + 4 * KIB for one in found.processes)
    assert abs(sum(one.anonymous or 0 for one in found.processes) - (16 + 3 * 4) * MIB) < MIB


@pytest.mark.usefixtures("told")
def test_a_kernel_that_does_not_say_what_is_anonymous_leaves_it_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Linux 5.3; a process whose memory is gone meanwhile has no rows at all."""
    real = procfs.read

    def older(pid: int, name: str) -> bytes:
        said = real(pid, name)
        return re.sub(rb"(?m)^Pss_.*\n", b"", said) if name == "smaps_rollup" else said

    monkeypatch.setattr(procfs, "read", older)
    found = memory_of(os.getpid())
    assert found.anonymous is None
    assert found.pss > 0
    assert found.plus(Memory(anonymous=KIB)).anonymous is None
    monkeypatch.setattr(procfs, "read", lambda pid, name: b"" if name == "smaps_rollup" else real(pid, name))
    with pytest.raises(ProcessGone):
        memory_of(os.getpid())


# --- Where there is no smaps_rollup, or it is that of a program which is gone ----------------------------------------


def test_where_there_is_no_smaps_rollup_smaps_is_added_up(
    fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before Linux 4.14; what the kernel's own sum says is the judge."""
    real = procfs.read

    def older(pid: int, name: str) -> bytes:
        if name == "smaps_rollup":
            raise procfs.trouble(pid, FileNotFoundError(errno.ENOENT, "no such file"))
        return real(pid, name)

    program = command(fixture_file("runs/memory-static"), "-m", "2")
    with none_left(), held_at_exit([program], 60) as held:
        expected = memory_of(held[0].pid)
        monkeypatch.setattr(procfs, "read", older)
        found = memory_of(held[0].pid)
    assert (found.rss, found.private, found.page_tables) == (expected.rss, expected.private, expected.page_tables)
    assert found.private >= 2 * MIB
    assert expected.pss - 64 * KIB < found.pss <= expected.pss  # each mapping's is rounded down
    assert found.anonymous is None
    assert [one.count for one in copies(program, [1, 2], BOUNDS, 1).copies] == [1, 2]
    assert peak_rss(program, BOUNDS) > 2 * MIB


def test_where_no_memory_is_told_but_the_most_that_there_was_that_is_told(
    fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without CONFIG_PROC_PAGE_MONITOR."""
    real = procfs.read

    def without(pid: int, name: str) -> bytes:
        if name.startswith("smaps"):
            raise procfs.trouble(pid, FileNotFoundError(errno.ENOENT, "no such file"))
        return real(pid, name)

    monkeypatch.setattr(procfs, "read", without)
    program = command(fixture_file("runs/memory-static"), "-m", "2")
    assert 2 * MIB < peak_rss(program, BOUNDS) < 8 * MIB
    assert copies(program, [1], BOUNDS, 1).notes == [
        "the memory of one copy at once is not told: no such file or directory"
    ]


def test_a_process_that_starts_a_program_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is that of a memory which is gone: the kernel says ESRCH, and the process lives."""
    real = procfs.read
    names = []
    with subprocess.Popen(["/bin/sh", "-c", "read go; exec /bin/cat"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None

        def slow(pid: int, name: str) -> bytes:
            names.append(name)
            if names.count("smaps_rollup") != 1 or name != "smaps_rollup":
                return real(pid, name)
            with procfs.Held(pid, name) as held:
                process.stdin.write(b"go\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
                until(lambda: os.readlink(f"/proc/{pid}/exe").endswith("cat"), "another program")
                return held.read()

        monkeypatch.setattr(procfs, "read", slow)
        found = memory_of(process.pid)
        process.stdin.close()
    assert found.rss > 0
    assert names.count("smaps_rollup") == 2


# --- What there is ----------------------------------------------------------------------------------------------------


def _container(
    monkeypatch: pytest.MonkeyPatch, folder: Path, path: str, groups: dict[str, dict[str, int | str]]
) -> None:
    """FOLDER is /proc, with a machine that has 1 GiB, and what is mounted below /sys/fs/cgroup."""
    (folder / "self").mkdir()
    (folder / "self/cgroup").write_text(path)
    (folder / "meminfo").write_text("MemFree:  1 kB\nMemAvailable:    1048576 kB\n")
    for group, files in groups.items():
        (folder / "cgroup" / group).mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (folder / "cgroup" / group / name).write_text(f"{value}\n")
    monkeypatch.setattr(procfs, "PROC", str(folder))
    monkeypatch.setattr("linkscope.measure.memory._GROUPS", str(folder / "cgroup"))


@pytest.mark.parametrize(
    ("path", "groups", "left"),
    [
        # The group's own limit, less what is used, with what is given back; "max" is none.
        ("0::/a\n", {"a": {"memory.max": 100 * MIB, "memory.current": 60 * MIB}}, 40 * MIB),
        ("0::/a\n", {"a": {"memory.max": "max", "memory.current": 60 * MIB}}, 1024 * MIB),
        (
            "0::/a\n",
            {"a": {"memory.max": 100 * MIB, "memory.current": 60 * MIB, "memory.stat": f"inactive_file {9 * MIB}"}},
            49 * MIB,
        ),
        # A group above, and in a container the one that is mounted as the root, whatever the path says.
        (
            "0::/a/b\n",
            {"a": {"memory.max": 50 * MIB, "memory.current": 0}, "a/b": {"memory.max": MIB << 9, "memory.current": 0}},
            50 * MIB,
        ),
        ("0::/\n", {"": {"memory.max": 3 * MIB, "memory.current": MIB}}, 2 * MIB),
        ("0::/../x\n", {"": {"memory.max": 3 * MIB, "memory.current": 4 * MIB}}, 0),
        ("0::/docker/1\n", {"": {"memory.max": 3 * MIB, "memory.current": MIB}}, 2 * MIB),
        # The machine's own memory, where the group may take more; and groups of the first kind.
        ("0::/a\n", {"a": {"memory.max": MIB << 12, "memory.current": 0}}, 1024 * MIB),
        (
            "5:cpu,memory:/a:b\n0::/\n",
            {"memory/a:b": {"memory.limit_in_bytes": 100 * MIB, "memory.usage_in_bytes": 70 * MIB}},
            30 * MIB,
        ),
    ],
)
def test_what_is_available_is_also_what_control_groups_leave(
    path: str, groups: dict[str, dict[str, int | str]], left: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _container(monkeypatch, tmp_path, path, groups)
    assert available() == left


def test_a_real_control_group_limits_what_is_available() -> None:
    """One that is made for it, with a process that moves there."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    own = next((path for _, kind, path in lines if "memory" in kind.split(",")), None)
    folder = Path(f"/sys/fs/cgroup/memory{own}/linkscope-{os.getpid()}")
    limit = "memory.limit_in_bytes"
    if own is None:
        folder, limit = Path(f"/sys/fs/cgroup{lines[-1][2]}/linkscope-{os.getpid()}"), "memory.max"
    try:
        folder.mkdir()
    except OSError as error:
        raise Unavailable("no control group can be made here") from error
    try:
        if not (folder / limit).exists():
            raise Unavailable("the control groups here do not limit memory")
        (folder / limit).write_text(str(300 * MIB))
        asks = "from linkscope.measure.memory import available; import sys; sys.stdin.read(); print(available())"
        with subprocess.Popen([sys.executable, "-c", asks], stdin=-1, stdout=-1, text=True) as process:
            (folder / "cgroup.procs").write_text(str(process.pid))
            said = int(process.communicate()[0])
        assert 250 * MIB < said <= 300 * MIB
    finally:
        folder.rmdir()


# --- What was ---------------------------------------------------------------------------------------------------------


def test_the_most_that_a_waited_for_child_had_is_told_where_it_is_more_than_all_others() -> None:
    """The child has 96 MiB, of which its parent has nothing; a process that has more itself cannot tell."""
    child = "m = b'x' * (96 << 20)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {child!r}])"
    found, alone = _peaks(script, child)
    assert found.rss < 64 * MIB
    assert found.of_child is not None
    assert 96 * MIB < found.of_child < 160 * MIB
    assert alone.rss > 96 * MIB
    assert alone.of_child is None


def _peaks(*scripts: str) -> list[Peak]:
    """Of each script, as a process says it that has little memory itself."""
    asks = """
import sys, msgspec
from linkscope.measure.command import Bounds
from linkscope.measure.peak import peak
from tests.measure.marked import command
peaks = [peak(command(sys.executable, "-S", "-c", script), Bounds(timeout=60.0)) for script in sys.argv[1:]]
sys.stdout.buffer.write(msgspec.json.encode(peaks))
"""
    said = subprocess.run([sys.executable, "-c", asks, *scripts], stdout=subprocess.PIPE, check=True).stdout
    return msgspec.json.decode(said, type=list[Peak])

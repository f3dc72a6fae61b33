"""What of a program's memory is of no file: smaps, and programs that touch a known number of MiB, are the judges."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.errors import ProcessGone
from linkscope.measure.command import Bounds
from linkscope.measure.copies import copies
from linkscope.measure.held import held_at_exit
from linkscope.measure.leftovers import none_left
from linkscope.measure.memory import Memory, memory_of
from linkscope.measure.servers import serve
from linkscope.model.compare import Copies
from linkscope.process import procfs
from tests.measure.marked import command
from tests.oracle.availability import Unavailable
from tests.process.started import variants

FixtureFile = Callable[[str], Path]
KIB, MIB = 1 << 10, 1 << 20
BOUNDS = Bounds(timeout=60.0)


@pytest.fixture(autouse=True)
def _told() -> None:
    if "Pss_Anon:" not in Path("/proc/self/smaps_rollup").read_text():
        raise Unavailable("this kernel does not say what of Pss is anonymous")


def _anonymous(tid: int) -> int:
    """The sum over all mappings of the pages that are of no file, in bytes."""
    rows = re.findall(r"^Anonymous: +(\d+) kB$", Path(f"/proc/{tid}/smaps").read_text(), re.MULTILINE)
    return sum(int(row) * KIB for row in rows)


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


@pytest.mark.parametrize(("option", "times"), [("-m", 2), ("-s", 2)])
def test_what_is_touched_is_anonymous_and_counts_once_also_where_a_child_has_it_too(
    option: str, times: int, fixture_file: FixtureFile
) -> None:
    path = fixture_file("runs/memory-static")
    without, touched = (_measured(path, option, mib).anonymous or 0 for mib in ("0", "8"))
    assert abs(touched - without - times * 8 * MIB) < MIB


def test_what_is_read_of_a_file_is_not_anonymous(fixture_file: FixtureFile, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(8 * MIB))
    found = _measured(fixture_file("runs/memory-static"), "-f", str(file))
    assert found.anonymous is not None
    assert found.pss - found.anonymous > 8 * MIB
    assert found.anonymous < MIB


def test_of_a_server_what_its_processes_have_in_common_counts_once(fixture_file: FixtureFile) -> None:
    """Of 16 MiB of the parent each of three children has written to 4, and has these for itself."""
    server = command(fixture_file("runs/server-static"), "-p", "{port}", "-m", "16", "-w", "4")
    found = serve(server, None, (3,), BOUNDS, (1,), 1).server
    assert len(found.processes) == 4
    assert all(one.anonymous is not None and one.anonymous <= one.pss + 4 * KIB for one in found.processes)
    assert abs(sum(one.anonymous or 0 for one in found.processes) - (16 + 3 * 4) * MIB) < MIB


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

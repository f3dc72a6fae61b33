"""What programs read: the whole of a file in each run, however it is run, or nothing."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.errors import FileUnreadable
from linkscope.measure.command import Bounds, Command
from linkscope.measure.copies import copies
from linkscope.measure.counters import counts
from linkscope.measure.feeding import opened
from linkscope.measure.overhead import overhead
from linkscope.measure.peak import peak_rss
from linkscope.measure.rounds import run_rounds
from linkscope.measure.trial import trial
from tests.measure.nasty import command, script

BOUNDS = Bounds(timeout=30)
WAYS: dict[str, tuple[Callable[[Command], object], int]] = {
    "trial": (lambda program: trial(program, BOUNDS), 1),
    "rounds": (lambda program: run_rounds([program], BOUNDS, 3, warm_ups=2), 5),
    "counters": (lambda program: counts(program, BOUNDS, 2), 2),
    "copies": (lambda program: copies(program, [1, 3], BOUNDS, 2), 8),
    "peak": (lambda program: peak_rss(program, BOUNDS), 1),
    "overhead": (lambda program: overhead(program, BOUNDS, 3), 6),
}


def _fed(folder: Path, lines: str, source: Path | None) -> Command:
    program = command(script(folder, "program", lines), folder / "seen")
    return msgspec.structs.replace(program, input=None if source is None else str(source))


@pytest.mark.parametrize("way", WAYS)
def test_each_run_reads_the_whole_file_and_it_is_the_file_itself(tmp_path: Path, way: str) -> None:
    """cat(1) writes what it reads, and /proc knows what standard input is."""
    run, times = WAYS[way]
    source = tmp_path / "words"
    source.write_text("some words\n")
    lines = 'echo "$(readlink /proc/$$/fd/0) $(cat)" >> $1'
    run(_fed(tmp_path, lines, source))
    assert (tmp_path / "seen").read_text() == f"{source} some words\n" * times


@pytest.mark.parametrize("way", WAYS)
def test_without_a_file_there_is_nothing_to_read(tmp_path: Path, way: str) -> None:
    run, times = WAYS[way]
    run(_fed(tmp_path, 'echo "$(readlink /proc/$$/fd/0) $(cat)" >> $1', None))
    assert (tmp_path / "seen").read_text() == "/dev/null \n" * times


def test_a_device_that_gives_the_same_each_time_is_a_file_too(tmp_path: Path) -> None:
    lines = "head -c 4096 | tr '\\0' x >> $1"
    run_rounds([_fed(tmp_path, lines, Path("/dev/zero"))], BOUNDS, 2, warm_ups=0)
    assert (tmp_path / "seen").read_text() == "x" * 8192


def test_what_can_be_read_only_once_or_not_at_all_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it: whoever opens it waits
    with socket.socket(socket.AF_UNIX) as listens:
        listens.bind(str(tmp_path / "socket"))
    master, terminal = os.openpty()
    reading, writing = os.pipe()
    once = "cannot be read from its start again for every run"
    rows = {
        tmp_path / "absent": "no such file or directory",
        tmp_path: "is a directory",
        tmp_path / "pipe": once,
        tmp_path / "socket": "no such device or address",
        Path(os.ttyname(terminal)): once,
        Path(f"/proc/self/fd/{reading}"): once,
    }
    try:
        for path, reason in rows.items():
            with pytest.raises(FileUnreadable) as failure:
                opened(str(path))
            assert failure.value.reason.startswith(reason), path
    finally:
        for descriptor in (master, terminal, reading, writing):
            os.close(descriptor)


def test_a_file_that_goes_away_meanwhile_is_the_reason(tmp_path: Path) -> None:
    source = tmp_path / "words"
    source.write_text("words")
    program = _fed(tmp_path, f"rm -f {source}", source)
    with pytest.raises(FileUnreadable, match="words: no such file or directory"):
        run_rounds([program], BOUNDS, 3)


_WITHOUT_STANDARD = """
import os, sys
for number in range(3): os.close(number)
import msgspec
from tests.measure.test_feeding import WAYS
from tests.measure.nasty import command
WAYS[sys.argv[1]][0](msgspec.structs.replace(command(sys.argv[2], sys.argv[3]), input=sys.argv[4] or None))
"""


@pytest.mark.parametrize("source", ["words", None])
@pytest.mark.parametrize("way", WAYS)
def test_who_measures_need_not_have_standard_descriptors(tmp_path: Path, way: str, source: str | None) -> None:
    """Their numbers are those of the first files that it opens then."""
    program = script(tmp_path, "program", 'seen="$(readlink /proc/$$/fd/[012])"; echo "$seen" >> $1')
    (tmp_path / "words").write_text("")
    given = "" if source is None else str(tmp_path / source)
    words = [way, str(program), str(tmp_path / "seen"), given]
    subprocess.run(
        [sys.executable, "-c", _WITHOUT_STANDARD, *words],
        check=True,
        timeout=60,
        cwd=Path(__file__).resolve().parents[2],
    )
    seen = (tmp_path / "seen").read_text().split()
    assert set(seen[::3]) == {given or "/dev/null"}
    assert all(name == "/dev/null" or name.startswith("pipe:") for name in seen[1::3] + seen[2::3])

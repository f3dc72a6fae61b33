"""Where programs write: /proc tells them what their standard output is, and all that they write is taken."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.errors import CannotRun, Hangs
from linkscope.measure.command import Bounds, Command
from linkscope.measure.copies import copies
from linkscope.measure.counters import counts
from linkscope.measure.overhead import overhead
from linkscope.measure.peak import peak_rss
from linkscope.measure.rounds import run_rounds
from linkscope.model.compare import Output
from tests.measure.marked import command, left

BOUNDS = Bounds(timeout=30)
_WAYS: dict[str, tuple[Callable[[Command], object], int]] = {
    "rounds": (lambda program: run_rounds([program], BOUNDS, 3, warm_ups=2), 5),
    "counters": (lambda program: counts(program, BOUNDS, 2), 2),
    "copies": (lambda program: copies(program, [1, 3], BOUNDS, 2), 8),
    "peak": (lambda program: peak_rss(program, BOUNDS), 1),
    "overhead": (lambda program: overhead(program, BOUNDS, 3), 6),
}
_NAMES: dict[Output, str] = {"null": "/dev/null", "pipe": r"pipe:\[\d+\]", "file": r"/.+ \(deleted\)"}


def _writes(folder: Path, output: Output, lines: str) -> Command:
    return msgspec.structs.replace(command("/bin/sh", "-c", lines, str(folder / "seen")), output=output)


@pytest.mark.parametrize("output", _NAMES)
@pytest.mark.parametrize("way", _WAYS)
def test_each_run_writes_to_what_was_asked_for_and_as_much_as_it_will(way: str, output: Output, tmp_path: Path) -> None:
    """Far more than a pipe holds; and its errors go nowhere."""
    run, times = _WAYS[way]
    lines = (
        'seen="$(readlink /proc/$$/fd/2) $(readlink /proc/$$/fd/1)"; head -c 1000000 /dev/zero && echo "$seen" >> "$0"'
    )
    before = os.listdir("/proc/self/fd")
    run(_writes(tmp_path, output, lines))
    seen = (tmp_path / "seen").read_text().splitlines()
    assert len(seen) == times
    assert all(re.fullmatch(f"/dev/null {_NAMES[output]}", line) for line in seen)
    assert os.listdir("/proc/self/fd") == before
    assert left() == []


def test_each_run_begins_with_an_empty_file(tmp_path: Path) -> None:
    lines = 'size=$(wc -c < /proc/$$/fd/1); echo $size >> "$0"; echo words'
    run_rounds([_writes(tmp_path, "file", lines)], BOUNDS, 3, warm_ups=0)
    assert (tmp_path / "seen").read_text().split() == ["0", "0", "0"]


def test_one_that_writes_without_an_end_is_ended_in_time(tmp_path: Path) -> None:
    begun = time.monotonic()
    (found,) = run_rounds([_writes(tmp_path, "pipe", "exec yes")], Bounds(timeout=0.5), 1, warm_ups=0).programs
    assert isinstance(found.failure, Hangs)
    assert time.monotonic() - begun < 20
    assert left() == []


def test_a_child_that_keeps_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """The end of a run is that of the program, and not that of what it wrote."""
    lines = "sleep 0.6 & exit 0"
    (found,) = run_rounds([_writes(tmp_path, "pipe", lines)], BOUNDS, 1, warm_ups=0).programs
    assert found.failure is None
    assert found.seconds[0] < 0.5


def test_where_no_file_can_be_made_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(CannotRun, match=r"cannot be kept in a file \(no such file or directory\)"):
        run_rounds([_writes(tmp_path, "file", ":")], BOUNDS, 1)

"""What measuring adds to a run, and that no run by which it is found goes on for ever, or is taken for a good one."""

import os
import time
from pathlib import Path

import pytest

from linkscope.errors import Died, Failed, Hangs, LeavesProcesses, NotStarted
from linkscope.measure.command import Bounds
from linkscope.measure.overhead import overhead
from tests.measure.nasty import command, numbers_in, runs, script

BOUNDS = Bounds(timeout=30)
# Counts its own runs without starting any other program.
_COUNTS = "echo >> $1; n=0; while read line; do n=$((n + 1)); done < $1"


def test_measuring_adds_little_to_a_run() -> None:
    """The best of three, for a busy machine."""
    assert min(overhead(command("/bin/true"), BOUNDS) for _ in range(3)) < 0.0005


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_run_of_either_kind_that_hangs_is_ended_and_is_the_reason(tmp_path: Path, number: int) -> None:
    program = script(
        tmp_path, "program", f"{_COUNTS}\ntest $n -lt {number} || {{ echo $$ > $1.left; exec sleep 1000; }}"
    )
    start = time.monotonic()
    with pytest.raises(Hangs, match=r"does not end within 1 s \(its first run did\)"):
        overhead(command(program, tmp_path / "runs"), Bounds(timeout=1), 2)
    assert time.monotonic() - start < 20
    assert len((tmp_path / "runs").read_text()) <= number
    assert not runs(numbers_in(tmp_path / "runs.left")[0])


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("lines", "kind"),
    [("exit 3", Failed), ("kill -SEGV $$", Died), ("sleep 1000 &", LeavesProcesses)],
    ids=["fails", "dies", "leaves a process"],
)
def test_a_run_of_either_kind_that_ends_in_no_good_way_says_nothing_of_the_cost(
    tmp_path: Path, number: int, lines: str, kind: type[Exception]
) -> None:
    """What fails at once takes less than what does its work."""
    program = script(tmp_path, "program", f"{_COUNTS}\ntest $n -ne {number} || {lines}\nexit 0")
    with pytest.raises(kind):
        overhead(command(program, tmp_path / "runs"), BOUNDS, 2)


def test_one_that_goes_away_meanwhile_is_the_reason_and_nothing_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(NotStarted):
        overhead(command(script(tmp_path, "program", "rm -f $0")), BOUNDS)
    assert os.listdir("/proc/self/fd") == before

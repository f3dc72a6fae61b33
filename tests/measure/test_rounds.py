"""Programs that are run in turn."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from linkscope.errors import Died, Failed, Hangs, LeavesProcesses, NotStarted
from linkscope.measure.command import Bounds, Command
from linkscope.measure.rounds import LEAST, MOST, run_rounds
from linkscope.measure.spread import FEWEST
from tests.measure.nasty import command, numbers_in, runs, script

BOUNDS = Bounds(timeout=30)


def _three(folder: Path, lines: str = "") -> list[Command]:
    """Programs that write their letter into one file."""
    log = folder / "log"
    return [command(script(folder, name, f"echo {name} >> $1\n{lines}"), log) for name in "abc"]


def _rounds(folder: Path) -> list[str]:
    """What ran in each round, in order."""
    names = (folder / "log").read_text().split()
    return ["".join(names[at : at + 3]) for at in range(0, len(names), 3)]


def test_each_round_runs_each_program_once_in_an_order_that_changes(tmp_path: Path) -> None:
    found = run_rounds(_three(tmp_path), BOUNDS, 30, warm_ups=2)
    assert (found.rounds, found.warm_ups) == (30, 2)
    assert [len(program.samples) for program in found.programs] == [30, 30, 30]
    rounds = _rounds(tmp_path)
    assert len(rounds) == 32
    assert {"".join(sorted(each)) for each in rounds} == {"abc"}
    assert len(set(rounds)) == 6  # all orders there are


def test_the_order_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run_rounds(_three(tmp_path / name), BOUNDS, 10)
    assert _rounds(tmp_path / "one") == _rounds(tmp_path / "two")


def test_progress_is_told_after_each_round(tmp_path: Path) -> None:
    told: list[int] = []
    run_rounds(_three(tmp_path), BOUNDS, 4, progress=told.append)
    assert told == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("test $(grep -c b $1) -lt 6 || exit 7", Failed),
        ("test $(grep -c b $1) -lt 6 || kill -SEGV $$", Died),
        ("test $(grep -c b $1) -lt 6 || { echo $$ > $1.left; sleep 1000 & echo $! >> $1.left; wait; }", Hangs),
        ("test $(grep -c b $1) -lt 6 || rm $0", NotStarted),
        ("test $(grep -c b $1) -lt 6 || { sleep 1000 & echo $! >> $1.left; }", LeavesProcesses),
    ],
    ids=["fails", "dies", "hangs", "is gone", "leaves a process"],
)
def test_one_that_fails_in_the_middle_is_left_out_and_the_others_go_on(
    tmp_path: Path, lines: str, kind: type[Exception]
) -> None:
    commands = _three(tmp_path)
    script(tmp_path, "b", f"echo b >> $1\n{lines}")
    found = run_rounds(commands, Bounds(timeout=3), 10, warm_ups=0)
    first, second, third = found.programs
    assert found.rounds == len(first.samples) == len(third.samples) == 10
    assert len(second.samples) == (6 if kind is NotStarted else 5)
    assert isinstance(second.failure, kind)
    assert first.failure is third.failure is None
    left = tmp_path / "log.left"
    assert not left.exists() or not any(runs(pid) for pid in numbers_in(left))


_AT_A_TERMINAL = """
import fcntl, os, sys, termios
from linkscope.measure.apart import apart
from linkscope.measure.command import Bounds, Command
from linkscope.measure.rounds import run_rounds
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
assert os.open("/dev/tty", os.O_RDWR)
command = Command(sys.argv[1], (), tuple(os.environ.items()))
found = apart(lambda: run_rounds([command], Bounds(timeout=30), 3).programs[0])
open(sys.argv[2], "w").write(f"{found.failure} {len(found.seconds)}")
"""


def test_the_runs_have_no_terminal_where_the_user_has_one(tmp_path: Path) -> None:
    """A program that asks it would wait for an answer, and one that writes to it be in the user's way."""
    program = script(tmp_path, "program", "(: < /dev/tty) 2> /dev/null && exit 1; exit 0")
    here, there = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", _AT_A_TERMINAL, program, tmp_path / "failure"],
            stdin=there, stdout=there, stderr=there, start_new_session=True, check=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(here)
        os.close(there)
    assert (tmp_path / "failure").read_text() == "None 3"


def test_where_all_fail_it_ends(tmp_path: Path) -> None:
    found = run_rounds(_three(tmp_path, "exit 1"), BOUNDS)
    assert [len(program.samples) for program in found.programs] == [0, 0, 0]
    assert found.rounds == 0


def test_without_a_number_there_are_enough_rounds_and_not_too_many() -> None:
    found = run_rounds([command("/bin/true")], BOUNDS)
    assert LEAST <= found.rounds <= MOST


def test_programs_that_take_long_are_run_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for all rounds is over by then; here there is hardly any."""
    monkeypatch.setattr("linkscope.measure.rounds.BUDGET", 0.01)
    assert run_rounds([command("/bin/sleep", "0.002")], BOUNDS).rounds == FEWEST


def test_the_samples_are_those_of_the_program(tmp_path: Path) -> None:
    """One that sleeps, beside one that does not."""
    slow, quick = command("/bin/sleep", "0.03"), command(script(tmp_path, "quick", ""))
    one, other = run_rounds([slow, quick], BOUNDS, 5).programs
    assert all(0.03 <= seconds < 1 for seconds in one.seconds)
    assert min(other.seconds) < 0.03


def test_nothing_is_left_open_or_running(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    program = command(script(tmp_path, "program", "sleep 1000 & echo $! >> $1"), tmp_path / "left")
    found = run_rounds([program], BOUNDS, 3)
    assert os.listdir("/proc/self/fd") == before
    said = f"ends and leaves a process behind: sleep ({_left_by(tmp_path)}), after a first run that ended well"
    assert str(found.programs[0].failure).endswith(said)
    assert not runs(_left_by(tmp_path))


def _left_by(folder: Path) -> int:
    """The number that the one process has which a program in FOLDER has left."""
    return numbers_in(folder / "left")[0]


def test_what_is_about_to_end_as_well_may_do_so_in_every_run(tmp_path: Path) -> None:
    """As the rest of a pipeline: it is not killed in the middle of its work."""
    program = script(tmp_path, "program", "(sleep 0.05; echo done >> $1) & exit 0")
    found = run_rounds([command(program, tmp_path / "log")], BOUNDS, 5, warm_ups=1)
    assert found.programs[0].failure is None
    assert (tmp_path / "log").read_text() == "done\n" * 6

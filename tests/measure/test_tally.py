"""How often a program was started, whichever of its starts is the first that fails: it counts itself, as the judge."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.errors import LinkScopeError
from linkscope.measure.command import Bounds, Command
from linkscope.measure.copies import copies_in_turn
from linkscope.measure.counters import counts
from linkscope.measure.overhead import overhead
from linkscope.measure.peak import peak
from linkscope.measure.rounds import run_rounds
from linkscope.measure.servers import serve_in_turn
from linkscope.measure.starts import start_rounds
from linkscope.measure.trial import trial
from tests.measure.marked import command, left

BOUNDS = Bounds(timeout=1.0)
# A byte for each start; from start number $1 on it does what $2 says.
_COUNTS = 'echo >> "$0"; test $(wc -c < "$0") -lt $1 || { eval "$2"; }; '
_PHASES: dict[str, Callable[[Command], object]] = {
    "rounds": lambda one: run_rounds([one], BOUNDS, 3, 3),
    "counters": lambda one: counts(one, BOUNDS, 4),
    "peak": lambda one: peak(one, BOUNDS),
    "copies": lambda one: copies_in_turn([one], [1, 2], BOUNDS, 2),
    "overhead": lambda one: overhead(one, BOUNDS, 3),
}
_SERVED: dict[str, Callable[[Command], object]] = {
    "starts": lambda one: start_rounds([one], None, BOUNDS, 3),
    "serving": lambda one: serve_in_turn([one], None, [1], BOUNDS, [1, 2], 2),
}


def _done(phase: Callable[[Command], object], one: Command) -> None:
    with contextlib.suppress(LinkScopeError):  # which is told elsewhere
        phase(one)


def _trial(one: Command) -> None:
    trial(one, BOUNDS)


def _counted(folder: Path, script: str, number: int, act: str) -> tuple[Command, Path]:
    log = folder / f"{number}.log"
    return command("/bin/sh", "-c", _COUNTS + script, str(log), str(number), act, "{port}"), log


@pytest.mark.parametrize("act", ["exit 3", "kill -KILL $$", "exec sleep 1000"], ids=["fails", "dies", "hangs"])
@pytest.mark.parametrize("phase", _PHASES)
def test_each_start_of_a_program_is_counted(phase: str, act: str, tmp_path: Path) -> None:
    for number in (2, 5):
        one, log = _counted(tmp_path, "exit 0", number, act)
        _done(_PHASES[phase], one)
        assert one.tally.starts == len(log.read_bytes()) > 0, number
    assert left() == []


@pytest.mark.parametrize("act", ["exit 3", "exec sleep 1000"], ids=["fails", "never"])
@pytest.mark.parametrize("phase", _SERVED)
def test_each_start_of_a_server_is_counted(
    phase: str, act: str, tmp_path: Path, fixture_file: Callable[[str], Path]
) -> None:
    for number in (1, 4):
        one, log = _counted(tmp_path, f'exec {fixture_file("runs/server-static")} -p "$3"', number, act)
        _done(_SERVED[phase], one)
        assert one.tally.starts == len(log.read_bytes()) > 0, number
    assert left() == []


@pytest.mark.parametrize(
    ("script", "starts"),
    [("exit 3", 3), ("test -t 0", 3), ("read line", 2), ("exec sleep 1000", 1), ("exit 0", 1)],
    ids=["fails", "terminal", "input", "hangs", "ends"],
)
def test_what_is_tried_again_is_counted_as_often(script: str, starts: int, tmp_path: Path) -> None:
    one, log = _counted(tmp_path, script, 1, ":")
    _done(_trial, one)
    assert one.tally.starts == len(log.read_bytes()) == starts


def test_what_does_not_start_is_not_counted(tmp_path: Path) -> None:
    for phase in (_trial, *_PHASES.values(), *_SERVED.values()):
        absent = command(tmp_path / "absent", "{port}")
        _done(phase, absent)
        assert absent.tally.starts == 0


def test_a_command_that_is_made_of_another_counts_with_it() -> None:
    one = command("/bin/true")
    assert msgspec.structs.replace(one, arguments=("x",)).tally is one.tally
    assert command("/bin/true").tally is not one.tally

"""Servers that are compared with each other: in turn, with their failures, and what is said of two that are alike."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from linkscope.analysis.compare import compare
from linkscope.analysis.comparing.measured import Measured, measured
from linkscope.analysis.comparing.verdict import verdict
from linkscope.analysis.request import Running
from tests.measure.marked import left

FixtureFile = Callable[[str], Path]
# What a server does is told by its name, which the kernel has.
_BY_NAME = """
read name < /proc/$$/comm
case $name in
fails) echo no such thing >&2; exit 3 ;;
later) sleep 0.03 ;;
esac
exec {server} -p {{port}}
"""


@pytest.fixture
def server(fixture_file: FixtureFile) -> Path:
    return fixture_file("runs/server-static")


def _measured(paths: list[str], running: Running, told: Callable[[str], None] = lambda _work: None) -> Measured:
    return measured(compare(paths).programs, paths, running, os.environ, told)


def _running(*arguments: str, rounds: int | None) -> Running:
    return Running(arguments=arguments, rounds=rounds, copies=(1,), serve=0, connections=(1,))


def _shells(folder: Path, server: Path, *names: str) -> tuple[list[str], tuple[str, ...]]:
    """Copies of the shell, and the arguments by which each becomes the server in its own way."""
    return [shutil.copy("/bin/sh", str(folder / name)) for name in names], ("-c", _BY_NAME.format(server=server))


def _better(found: Measured) -> str | None:
    start = next(one for one in verdict(found.programs, found) if one.criterion == "start")
    assert start.unit == "seconds"
    return os.path.basename(start.better) if start.better else None


def test_who_takes_connections_later_is_told_of_starts_in_turn(server: Path, tmp_path: Path) -> None:
    paths, arguments = _shells(tmp_path, server, "later", "sooner")
    found = _measured(paths, _running(*arguments, rounds=15))
    assert (found.measurement.rounds, found.measurement.warm_ups) == (15, 1)
    assert [len(found.samples[number]) for number in (0, 1)] == [15, 15]
    assert _better(found) == "sooner"
    for number, program in enumerate(found.programs):
        assert program.run is not None
        assert program.run.server is not None
        spread = program.run.server.ready_spread
        assert spread is not None
        assert program.run.server.ready == spread.median == median(found.samples[number])
        assert min(found.samples[number]) <= spread.low <= spread.median <= spread.high <= max(found.samples[number])
    assert not [note for note in found.measurement.notes if "rounds" in note]


def test_the_same_server_twice_is_a_tie(server: Path, tmp_path: Path) -> None:
    paths = [str(server), shutil.copy(str(server), str(tmp_path / "the-same"))]
    found = _measured(paths, _running("-p", "{port}", rounds=40))
    assert found.errors == []
    assert _better(found) is None


def test_one_that_fails_is_an_error_and_the_others_are_compared(server: Path, tmp_path: Path) -> None:
    paths, arguments = _shells(tmp_path, server, "sooner", "fails", "later")
    found = _measured(paths, _running(*arguments, rounds=11))
    assert [(os.path.basename(error.path), error.error) for error in found.errors] == [
        ("fails", "ends with exit code 3: no such thing")
    ]
    assert [program.run is None for program in found.programs] == [False, True, False]
    assert found.measurement.rounds == 11
    assert left() == []


def test_of_few_rounds_it_is_told_that_they_are_few_and_how_often_each_was_started(
    server: Path, tmp_path: Path
) -> None:
    """Whoever counts lines is the judge."""
    shell, log, told = shutil.copy("/bin/sh", str(tmp_path / "shell")), tmp_path / "log", list[str]()
    words = ("-c", f"echo >> {log}; exec {server} -p {{port}}")
    found = _measured([shell] * 2, _running(*words, rounds=3), told.append)
    assert _better(found) is None
    assert "3 rounds are too few to call a server faster: that takes 11" in found.measurement.notes
    assert found.measurement.starts is not None
    assert found.measurement.starts <= len(log.read_text()) <= 2 * found.measurement.starts
    served = f"{shell}: memory while it serves, connections open: 1 at most"
    in_turn = ["a round to warm up", *(f"round {number}" for number in (1, 2, 3, 4))]
    assert told == [*(f"{which}: each is started" for which in in_turn), *[served] * 6]

"""`make bench ARGS="--only compare"` lays all that it is about side by side: one turn of it. No time is asserted."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import compare, judges
from benchmarks.run import main
from benchmarks.timing import Failed
from tests.oracle.availability import Unavailable

_HOW = ["dynamic-pie", "dynamic-nonpie", "static", "static-pie", "musl-static"]
_HELLO = [f"hello-{how}" for how in _HOW]
# What a table is about: its rows.
_TABLES = {
    "time of a run": [*_HELLO, *(f"{name} / {_HOW[0]}" for name in _HELLO[1:])],
    "minor, major page faults": [f"{name}, {kind}" for name in _HELLO for kind in ("minor", "major")],
    "PSS of copies": [f"{name}, {count}" for name in _HELLO for count in (1, 4, 16)],
    "first answer of a server": [f"server-{how}" for how in _HOW],
    "each run of hello-musl-static": [
        "spawn and wait, by hand",
        "linkscope compare --run",
        "hyperfine --shell=none",
        "what linkscope says that it adds",
    ],
    "5 programs from their files": ["linkscope compare", "import click, msgspec"],
}
FixtureFile = Callable[[str], Path]


def test_one_turn_lays_everything_side_by_side(
    require_tool: Callable[[str], str],
    fixture_file: FixtureFile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for tool in ("hyperfine", "perf"):
        require_tool(tool)
    for name in _HELLO:
        fixture_file(f"hello/{name}")
    monkeypatch.setattr(compare, "_RUNS", 5)
    monkeypatch.setattr(compare, "_MANY", 20)
    status = main(["--runs", "1", "--only", "compare"])
    printed = capsys.readouterr().out
    found = [re.findall(r"^  (\S.*?) {2,}", table, re.MULTILINE) for table in printed.split("\n\n")[2:]]
    assert {names[0]: names[1:] for names in found} == _TABLES
    assert "left out" not in printed
    assert status == ("NOT KEPT" in printed)


@pytest.mark.parametrize("tool", ["hyperfine", "perf"])
def test_a_judge_that_is_not_here_is_named(tool: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    asks: dict[str, Callable[[], object]] = {
        "hyperfine": lambda: judges.hyperfine_medians(["/bin/true"], 1, 0),
        "perf": lambda: judges.perf_faults("/bin/true"),
    }
    with pytest.raises(Unavailable, match=f"{tool} is not here"):
        asks[tool]()


def test_copies_are_held_at_their_end(fixture_file: FixtureFile) -> None:
    """Whoever has said all that it had to say and ended would have no memory."""
    one, four = (judges.pss_of_copies(str(fixture_file("hello/hello-musl-static")), count) for count in (1, 4))
    assert 0 < one < four < 4 * one


def test_who_does_not_wait_on_its_pipe_is_not_measured() -> None:
    with pytest.raises(Failed, match="does not wait on its pipe"):
        judges.pss_of_copies("/bin/true", 1)


def test_a_server_answers_first_when_it_listens(fixture_file: FixtureFile, tmp_path: Path) -> None:
    path = tmp_path / "server"
    path.write_text(f'#!/bin/sh\nsleep 0.2\nexec {fixture_file("compare/server-static")} "$@"\n')
    path.chmod(0o755)
    assert judges.first_answer(str(path)) >= 0.2

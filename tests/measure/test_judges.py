"""Our times are those of `hyperfine --shell=none`, taken in turn with it on the same machine."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from linkscope.measure.command import Bounds
from linkscope.measure.rounds import run_rounds
from tests.measure.nasty import command

_TURNS = 9  # of hyperfine and ours; a disturbance lasts for one or two
_COMPUTES = "int main(void) { for (volatile int i = 0; i < 4000000; i++) ; return 0; }"  # some 10 ms


def _theirs(hyperfine: str, words: list[str | Path], runs: int, folder: Path) -> float:
    result = folder / "hyperfine.json"
    options = ["--shell=none", "--warmup=3", f"--runs={runs}", "--style=none", f"--export-json={result}"]
    subprocess.run([hyperfine, *options, " ".join(map(str, words))], check=True, capture_output=True)
    return float(json.loads(result.read_text())["results"][0]["median"])


def _ours(words: list[str | Path], runs: int) -> float:
    return median(run_rounds([command(*words)], Bounds(timeout=30), runs).programs[0].seconds)


def _agree(hyperfine: str, words: list[str | Path], folder: Path, turns: int = _TURNS, runs: int = 40) -> float:
    """Our time for each unit of theirs: the median over some turns, each with the order of the two changed."""
    ratios = []
    for turn in range(turns):
        if turn % 2:
            ours, theirs = _ours(words, runs), _theirs(hyperfine, words, runs, folder)
        else:
            theirs, ours = _theirs(hyperfine, words, runs, folder), _ours(words, runs)
        ratios.append(ours / theirs)
    return median(ratios)


def test_the_time_of_a_run_is_that_of_hyperfine_within_ten_percent(
    require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Of a run so long that it counts on a busy machine as well, where hyperfine differs from itself by some 0.1 ms."""
    words: list[str | Path] = [require_tool("sleep"), "0.05"]
    assert abs(_agree(require_tool("hyperfine"), words, tmp_path, turns=3, runs=7) - 1) < 0.1


@pytest.mark.quiet
def test_so_it_is_for_a_run_that_computes(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """On a busy machine others have their turns meanwhile: one of nine medians of nine ratios lay 32 % apart."""
    (tmp_path / "program.c").write_text(_COMPUTES)
    subprocess.run(["cc", "-O1", tmp_path / "program.c", "-o", tmp_path / "program"], check=True)
    words: list[str | Path] = [tmp_path / "program"]
    assert abs(_agree(require_tool("hyperfine"), words, tmp_path, runs=10) - 1) < 0.1


@pytest.mark.quiet
@pytest.mark.parametrize("name", ["static", "musl-static", "dynamic-pie", "cpp"])
def test_so_it_is_for_runs_of_less_than_a_millisecond(
    require_tool: Callable[[str], str], fixture_file: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """A number of turns that is fixed beforehand, and the median of all of them."""
    hyperfine, path = require_tool("hyperfine"), fixture_file(f"hello/hello-{name}")
    assert abs(_agree(hyperfine, [path], tmp_path) - 1) < 0.1


def test_a_large_process_that_measures_costs_the_program_nothing(fixture_file: Callable[[str], Path]) -> None:
    """posix_spawn copies none of its memory: a fork would copy the page tables of 400 MiB, some milliseconds."""
    words: list[str | Path] = [fixture_file("hello/hello-musl-static")]
    small = min(_ours(words, 40) for _ in range(_TURNS))
    large = bytearray(400 << 20)
    large[::4096] = b"x" * len(large[::4096])
    assert min(_ours(words, 40) for _ in range(_TURNS)) < small + 0.0005
    assert len(large)

"""The figures in the document of `compare --run` are those that others measure of the same programs meanwhile."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.cli.conftest import Linkscope
from tests.oracle.availability import Unavailable

FixtureFile = Callable[[str], Path]
_NAMES = ["dynamic-pie", "static", "musl-static"]
_TURNS, _FEWEST = 11, 5  # calls of ours, and how many of them have to stand between two of hyperfine's that agree
_PAGE = 4096
# Writes what /proc says of it, the second time that it looks, and ends at once.
_TELLS = (
    "import os, sys\n"
    "def look():\n"
    "    d = os.open('/proc/self/smaps_rollup', os.O_RDONLY); said = os.read(d, 4096); os.close(d); return said\n"
    "d = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)\n"
    "os.write(d, look()[:0]); os.write(d, look()); os._exit(0)\n"
)


def _runs(linkscope: Linkscope, *words: str | Path) -> list[dict[str, Any]]:
    ran = linkscope("compare", "--run", "--format", "json", *words)
    assert ran.returncode == 0, ran.stderr
    return [program["run"] for program in json.loads(ran.stdout)["programs"]]


def test_memory_is_what_the_program_itself_reads_in_proc_at_its_end(linkscope: Linkscope, tmp_path: Path) -> None:
    """But for the pages that it touches between that and its end."""
    told = tmp_path / "told"
    words = ["--runs", "11", "--copies", "1", sys.executable, sys.executable, "--", "-S", "-E", "-c", _TELLS, str(told)]
    runs = _runs(linkscope, *words)
    rows = {
        name: median(int(value) * 1024 for value in re.findall(rf"^{name}: +(\d+) kB$", told.read_text(), re.MULTILINE))
        for name in ("Rss", "Pss")
    }
    for run in runs:
        one = run["copies"][0]
        assert abs(one["rss"] - rows["Rss"]) <= max(8 * _PAGE, 0.01 * rows["Rss"])
        assert abs(one["pss"] - rows["Pss"]) <= 0.05 * rows["Pss"]


# On a machine that does much else hyperfine differs from itself by as much.
@pytest.mark.quiet
@pytest.mark.parametrize("name", ["static", "musl-static"])
def test_times_are_those_of_hyperfine_within_ten_percent(
    linkscope: Linkscope, fixture_file: FixtureFile, require_tool: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    """Each of our calls stands between two of hyperfine's, and counts where these agree; the median of all those.

    The program is compared with itself: hyperfine has no other one in between, which would find the caches otherwise.
    """
    hyperfine, path, said = require_tool("hyperfine"), fixture_file(f"hello/hello-{name}"), tmp_path / "said"
    ratios: list[float] = []
    before = _hyperfine(hyperfine, path, said)
    for _ in range(_TURNS):
        runs = _runs(linkscope, "--runs", "100", "--copies", "1", path, path)
        after = _hyperfine(hyperfine, path, said)
        if abs(before / after - 1) < 0.1:
            ratios.append(median(run["seconds"]["median"] for run in runs) * 2 / (before + after))
        before = after
    assert len(ratios) >= _FEWEST, "the machine does too much else: hyperfine does not agree with itself"
    assert abs(median(ratios) - 1) < 0.1, ratios


def _hyperfine(hyperfine: str, path: Path, said: Path) -> float:
    options = ["--shell=none", "--warmup=3", "--runs=100", "--style=none", f"--export-json={said}"]
    subprocess.run([hyperfine, *options, path], check=True, capture_output=True)
    return float(json.loads(said.read_text())["results"][0]["median"])


def test_page_faults_are_those_of_perf_stat(
    linkscope: Linkscope, fixture_file: FixtureFile, require_tool: Callable[[str], str]
) -> None:
    """Addresses are random, and with them the number of pages: runs of perf differ by some as well."""
    perf = require_tool("perf")
    paths = [fixture_file(f"hello/hello-{name}") for name in _NAMES]
    for run, path in zip(_runs(linkscope, "--runs", "11", "--copies", "1", *paths), paths, strict=True):
        minor = [_perf(perf, path, "minor-faults") for _ in range(9)]
        assert min(minor) - 2 <= run["minor_faults"] <= max(minor) + 2
        assert run["major_faults"] == median(_perf(perf, path, "major-faults") for _ in range(3))


def _perf(perf: str, path: Path, event: str) -> int:
    ran = subprocess.run([perf, "stat", "-x,", "-e", event, "--", path], capture_output=True, text=True)
    counted = re.search(rf"^(\d+),,{event}", ran.stderr, re.MULTILINE)
    if ran.returncode or not counted:
        raise Unavailable(f"perf does not count here: {ran.stderr.strip()[-200:]}")
    return int(counted[1])

"""`make bench` measures what it says: one round of it. No time is asserted, since a busy machine is no fault."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.processes import Crowd, Vanished, running
from benchmarks.timing import PID, Command, Failed, in_turn
from tests.process.started import state, until

pytestmark = pytest.mark.usefixtures("fixtures_dir")
_PROJECT = Path(__file__).resolve().parent.parent

# comparison: what it runs
COMPARISONS = {
    "one": ["linkscope inspect", "import click, msgspec", "lddtree"],
    "all": ["linkscope inspect", "libtree -vvv"],
    "symbols": ["linkscope inspect", "ldd -r"],
    "text": ["linkscope inspect", "import click, msgspec", "libtree -vvv"],
    "check": ["linkscope check"],
    "gate": ["linkscope check", "checksec"],
    "stale": ["linkscope ps --stale", "needrestart -b -r l", "needrestart -b -r l -l"],
    "outdated": ["linkscope ps --stale", "needrestart -b -r l"],
    "pid": ["linkscope pid", "import click, msgspec", "pldd"],
    "growth": ["linkscope ps, 2", "linkscope ps, 20"],
    "readers": ["own reader", "pyelftools", "lief"],
}


def _bench(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.run", *options]
    return subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True)


@pytest.mark.parametrize("name", COMPARISONS)
def test_one_round_measures_everything(name: str, require_tool: Callable[[str], str]) -> None:
    for tool in ("libtree", "lddtree", "needrestart", "pldd", "checksec"):
        require_tool(tool)
    done = _bench("--runs", "1", "--processes", "20", "--only", name)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    assert re.findall(r"^  (\S.*?) {2,}\d+\.\d+ ms", done.stdout, re.MULTILINE) == COMPARISONS[name]
    assert "left out" not in done.stdout
    assert ("NOT KEPT" in done.stdout) == bool(done.returncode)


def test_another_name_is_no_comparison() -> None:
    done = _bench("--only", "nothing")
    assert done.returncode == 2
    assert all(name in done.stderr for name in COMPARISONS)


def test_a_command_that_fails_is_not_measured(tmp_path: Path) -> None:
    failing = Command(name="failing", argv=("/bin/sh", "-c", "exit 3"))
    with pytest.raises(Failed, match="failing ended with 3"):
        in_turn([failing], 1, str(tmp_path / "output"))


def test_time_and_memory_are_those_of_the_command(tmp_path: Path) -> None:
    """A command that sleeps takes time but no processor, one that fills 50 MB has them."""
    code = "import time; time.sleep(0.2)", "data = b'x' * 50_000_000"
    sleeping, filling = (Command(name=text, argv=(sys.executable, "-I", "-S", "-c", text)) for text in code)
    measured = in_turn([sleeping, filling], 1, str(tmp_path / "output"))
    assert measured[sleeping.name].seconds >= 0.2
    assert measured[sleeping.name].processor < 0.2
    assert measured[filling.name].memory > 50_000_000 > measured[sleeping.name].memory


def test_a_crowd_runs_until_the_block_ends_and_no_longer() -> None:
    crowd = processes.mixed(20)
    with running(crowd) as pids:
        assert len(pids) == crowd.size == 20
        programs = Counter(os.readlink(f"/proc/{pid}/exe") for pid in pids)
        assert sorted(programs.values()) == [2, 2, 16]
    assert [state(pid) for pid in pids] == [None] * 20


def test_a_crowd_is_outdated_once_it_runs(tmp_path: Path) -> None:
    """And each time anew: the kernel marks the library that was taken away."""
    crowd = processes.outdated(2, str(tmp_path))
    for _ in range(2):
        with running(crowd) as pids:
            maps = [Path(f"/proc/{pid}/maps").read_text() for pid in pids]
        assert all(f"{tmp_path}/libheld.so (deleted)" in text for text in maps)


def test_a_crowd_that_ends_early_is_not_measured() -> None:
    with pytest.raises(Vanished, match="3 of 3 processes ended"):
        _end_early(Crowd(commands=((3, ("sh", "-c", "echo ready; read answer")),)))


def _end_early(crowd: Crowd) -> None:
    with running(crowd) as pids:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        until(lambda: all(state(pid) == "Z" for pid in pids), "the end of all")


def test_a_command_is_about_the_process_that_runs_meanwhile() -> None:
    command = Command(name="any", argv=("any", "--all", PID))
    assert command.about(17).argv == ("any", "--all", "17")

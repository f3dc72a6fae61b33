"""`make bench` measures what it says: one round of it. No time is asserted, since a busy machine is no fault."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.timing import Command, Failed, in_turn

_PROJECT = Path(__file__).resolve().parent.parent

# comparison: what it runs
COMPARISONS = {
    "one": ["linkscope inspect", "import click, msgspec", "lddtree"],
    "all": ["linkscope inspect", "libtree -vvv"],
    "symbols": ["linkscope inspect", "ldd -r"],
    "text": ["linkscope inspect", "import click, msgspec", "libtree -vvv"],
    "readers": ["own reader", "pyelftools", "lief"],
}


def _bench(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.run", *options]
    return subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True)


@pytest.mark.parametrize("name", COMPARISONS)
def test_one_round_measures_everything(name: str, require_tool: Callable[[str], str]) -> None:
    for tool in ("libtree", "lddtree"):
        require_tool(tool)
    done = _bench("--runs", "1", "--only", name)
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

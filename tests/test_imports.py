"""The house's rules of import: which room may use which, and what a plain `inspect` may load."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
# What takes milliseconds to import, and so waits until something asks for it.
HEAVY = ["dataclasses", "elftools", "lief", "numpy", "psutil", "rich", "sqlite3", "subprocess"]


def test_imports_between_rooms_go_downward_only() -> None:
    """The contracts stand in pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    checked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", ["hello/hello-dynamic-pie", "hello/hello-static", "chain/diamond/app"])
@pytest.mark.parametrize("layout", ["text", "json"])
def test_inspecting_one_file_imports_nothing_heavy(fixture_file: Callable[[str], Path], name: str, layout: str) -> None:
    arguments = ["inspect", "--format", layout, str(fixture_file(name))]
    program = (
        "import sys; from linkscope.cli.invocation import run\nprint(run(sys.argv[1:]), *sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program, *arguments], cwd=REPOSITORY, capture_output=True, text=True)
    status, *loaded = run.stderr.splitlines()[-1].split()
    assert status == "0", run.stderr
    assert not set(HEAVY) & set(loaded)

"""How the tests start the program: as a process of its own, as a user would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "linkscope"]
# What would change the answers or the looks of a run, whoever runs the tests.
_PERSONAL = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LD_LIBRARY_PATH", "LD_PRELOAD", "TERM")

Linkscope = Callable[..., "subprocess.CompletedProcess[bytes]"]
FixtureFile = Callable[[str], Path]


def environment(**changes: str) -> dict[str, str]:
    """The environment of a plain shell that finds the package, with CHANGES."""
    plain = {name: value for name, value in os.environ.items() if name not in _PERSONAL}
    return {**plain, "PYTHONPATH": str(REPOSITORY), **changes}


@pytest.fixture
def linkscope(tmp_path: Path) -> Linkscope:
    """Call it with the arguments of one command line: what it printed and its exit code. It runs in `tmp_path`."""

    def run(
        *arguments: str | bytes | Path, env: Mapping[str, str] = {}, stdin: bytes = b""
    ) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [*COMMAND, *arguments], cwd=tmp_path, env=environment(**env), input=stdin, capture_output=True, timeout=60
        )

    return run


@pytest.fixture
def hello(fixture_file: FixtureFile) -> list[Path]:
    """The same program as a dynamic and as a static one."""
    return [fixture_file("hello/hello-dynamic-pie"), fixture_file("hello/hello-static")]


@pytest.fixture
def dist(tmp_path: Path, fixture_file: FixtureFile) -> Path:
    """A release in the working directory: a dynamic program and a static one, both in order."""
    folder = tmp_path / "dist"
    folder.mkdir()
    shutil.copy(fixture_file("hello/hello-dynamic-pie"), folder / "app")
    shutil.copy(fixture_file("hello/hello-musl-static-pie"), folder / "tool")
    return folder

"""What is said of the machine on which was measured."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

from linkscope.measure.conditions import Held, disturbances
from tests.oracle.availability import Unavailable

_COMPUTES = """
import pathlib, sys, time
from linkscope.measure.conditions import Held
if sys.argv[1]:
    pathlib.Path(sys.argv[1], "cgroup.procs").write_text("0")
held, end = Held(), time.process_time() + 0.1
while time.process_time() < end: pass
print(*held.said())
"""


def _computes(group: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _COMPUTES, group], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


@pytest.fixture
def narrow_group() -> Iterator[Path]:
    """A control group that may use a tenth of a processor: of version 1 of control groups, or of version 2."""
    kinds = [("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "10000"), ("/sys/fs/cgroup", "cpu.max", "10000 100000")]
    for mount, name, limit in kinds:
        group = Path(mount, f"linkscope-test-{os.getpid()}")
        with suppress(OSError):
            group.mkdir()
            try:
                if (group / name).exists():
                    (group / name).write_text(limit)
                    yield group
                    return
            finally:
                group.rmdir()
    raise Unavailable("no control group that limits processor time can be made here")


def test_what_the_limit_of_a_control_group_has_held_back_is_told(narrow_group: Path) -> None:
    """Its own cpu.stat counts the same, which is read where the process has ended."""
    said = _computes(str(narrow_group))
    stat = dict(line.split() for line in (narrow_group / "cpu.stat").read_text().splitlines())
    assert said.startswith("the kernel held back what was measured ")
    assert 0 < int(said.split()[7]) <= int(stat["nr_throttled"])


def test_without_such_a_limit_nothing_is_said() -> None:
    assert list(Held().said()) == []


def test_where_the_load_is_not_told_it_is_no_disturbance(monkeypatch: pytest.MonkeyPatch) -> None:
    """getloadavg(3) reads /proc/loadavg, which may be hidden."""

    def fails() -> NoReturn:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", fails)
    assert not any("busy" in one for one in disturbances())

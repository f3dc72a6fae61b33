"""Servers while they run: many of them, and where who measures is stopped meanwhile."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FixtureFile = Callable[[str], Path]

# Starts so many copies, each a shell that notes how many files it may have open, with this limit for its own.
_MANY = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from linkscope.measure import ports
from linkscope.measure.leftovers import none_left
from linkscope.measure.serving import running
from tests.measure.marked import command
server = command("/bin/sh", "-c", f"ulimit -Sn >> {sys.argv[4]}; exec {sys.argv[3]} -p {{port}}")
with none_left() as leftovers, running(server, ports.ports_for(None, 20), leftovers) as group:
    print(len(group.await_ready(60)), *resource.getrlimit(resource.RLIMIT_NOFILE))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
_HERE = Path(__file__).resolve().parents[2]


def _started(server: Path, log: Path, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", _MANY, str(soft), str(hard), str(server), str(log)]
    return subprocess.run(words, capture_output=True, text=True, timeout=90, cwd=_HERE)


def test_many_servers_take_more_open_files_than_a_user_has_allowed_and_get_none_of_that(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """The shell says which limit it was given (getrlimit(2))."""
    ran = _started(fixture_file("runs/server-static"), tmp_path / "log", 40, 400)
    assert ran.stdout.splitlines() == ["20 400 400", "40 400"], ran.stderr
    assert (tmp_path / "log").read_text() == "40\n" * 20


def test_more_servers_than_there_may_be_open_files_for_are_not_started(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    ran = _started(fixture_file("runs/server-static"), tmp_path / "log", 40, 60)
    assert re.search(
        r"NotHeld: .*: so many take \d+ open files here, and no more than 60 are allowed \(ulimit -Hn\)$",
        ran.stderr.strip(),
    )
    assert not (tmp_path / "log").exists()


_WHILE_STOPPED = """
import sys
from linkscope.measure.command import Bounds
from linkscope.measure.starts import start_rounds
from tests.measure.marked import command
told = lambda done: print("ready", flush=True)
found = start_rounds([command(sys.argv[1], "-p", "{port}", "-l", "600")], None, Bounds(timeout=1.5), 1, told)
print(found.servers[0].failure)
"""


def test_who_measures_may_be_stopped_until_the_server_is_ready(fixture_file: FixtureFile) -> None:
    """It is ready in time, and nobody was there to see it."""
    words = [sys.executable, "-c", _WHILE_STOPPED, str(fixture_file("runs/server-static"))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=_HERE) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=60)[0].splitlines()[-1] == "None"

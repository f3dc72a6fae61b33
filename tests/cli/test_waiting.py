"""Who waits for answers that come together is shown that they are on their way."""

import os
import pty
import subprocess
import sys

import pytest

from linkscope.cli import progress
from tests.cli.conftest import environment
from tests.test_imports import HEAVY


@pytest.mark.parametrize(("patience", "seen"), [(-1, True), (60, False)], ids=["long", "short"])
def test_a_sign_of_life_appears_when_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, patience: float, seen: bool
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_PATIENCE", patience)
    # Not in a fixture: pytest gives every phase of a test its own standard error.
    with open(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        results = list(progress.waited_for(iter(range(3)), "processes"))
        stream.write("end")
    assert results == [0, 1, 2]
    shown = b""
    while not shown.endswith(b"end"):  # a terminal hands on what was written in pieces of its own
        shown += os.read(ours, 1 << 16)
    assert (b"processes" in shown) is seen
    os.close(ours)


_LOOKS = ["pid $$", "pid --watch 1 --count 1 $$", "ps", "ps --stale", "ps --format json", "ps --watch --count 1"]
_PROGRAM = (
    "import sys; from linkscope.cli.invocation import run\nrun(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)"
)


@pytest.mark.parametrize("look", _LOOKS)
def test_a_look_at_processes_imports_nothing_heavy(look: str) -> None:
    arguments = look.replace("$$", str(os.getpid())).split()
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert not set(HEAVY) & set(ran.stderr.splitlines()[-1].split())

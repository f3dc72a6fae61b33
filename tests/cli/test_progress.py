"""Who waits in front of a terminal that shows nothing else is shown how far the work has come."""

import os
import pty
import sys

import pytest

from linkscope.cli import progress
from linkscope.cli.output import Output


@pytest.mark.parametrize(
    ("patience", "total", "seen"), [(-1, 3, True), (60, 3, False), (-1, 1, False)], ids=["long", "short", "one file"]
)
def test_a_bar_appears_when_many_files_take_long(
    monkeypatch: pytest.MonkeyPatch, patience: float, total: int, seen: bool
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_PATIENCE", patience)
    output = Output()
    output.terminal = False
    # Not in a fixture: pytest gives every phase of a test its own standard error.
    with open(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        results = list(progress.shown(iter(range(total)), total, output))
        stream.write("end")
    assert results == list(range(total))
    shown = b""
    while not shown.endswith(b"end"):  # a terminal hands on what was written in pieces of its own
        shown += os.read(ours, 1 << 16)
    assert (f"{total}/{total}".encode() in shown) is seen
    os.close(ours)

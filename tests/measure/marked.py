"""Programs that are measured, found again by what they have in their environment, as all that they start has it too."""

import os
from pathlib import Path

from linkscope.measure.command import Command

_MARK = f"LINKSCOPE_TEST_MEASURED={os.getpid()}"


def command(path: str | Path, *arguments: str) -> Command:
    """A command whose processes `left` finds."""
    name, _, value = _MARK.partition("=")
    return Command(str(path), arguments, (*os.environ.items(), (name, value)))


def left() -> list[str]:
    """What is still there of the commands of this process: the number and the name of each."""
    return [f"{pid} {_text(pid, 'comm').strip()}" for pid in os.listdir("/proc") if pid.isdigit() and _is_marked(pid)]


def _is_marked(pid: str) -> bool:
    return _MARK in _text(pid, "environ").split("\0")


def _text(pid: str, name: str) -> str:
    """\"\" of a process that is gone, or may not be read."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""

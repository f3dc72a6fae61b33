"""Programs that are made for a test, and commands that run them; what is left of them, by /proc."""

import os
import sys
from pathlib import Path

from linkscope.measure.command import Command
from tests.process.started import state

ENVIRONMENT = tuple(os.environ.items())


def command(path: str | Path, *arguments: str | Path) -> Command:
    """This program with our own environment."""
    return Command(str(path), tuple(str(argument) for argument in arguments), ENVIRONMENT)


def script(folder: Path, name: str, lines: str, interpreter: str = "/bin/sh") -> Path:
    """A script that can be started."""
    path = folder / name
    path.write_text(f"#!{interpreter}\n{lines}\n")
    path.chmod(0o755)
    return path


def python(folder: Path, name: str, lines: str) -> Path:
    """A Python program that can be started; it has `os`, `signal`, `sys` and `time`."""
    return script(folder, name, f"import os, signal, sys, time\n{lines}", f"{sys.executable} -S")


def runs(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    return state(pid) not in (None, "Z", "X")


def numbers_in(path: Path) -> list[int]:
    """The process numbers that programs have written into a file, one a line."""
    return [int(line) for line in path.read_text().split()]

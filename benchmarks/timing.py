"""Commands run in turn and measured: wall time, processor time, memory."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, cast

import msgspec
import psutil

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
PID: Final = "{pid}"
"""In a command, the process to be looked at, whose number is known only once it runs."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A command under the name that it has in the tables. statuses: the exit codes with which it has done its work."""

    name: str
    argv: tuple[str, ...]
    statuses: tuple[int, ...] = (0,)

    def about(self, pid: int) -> "Command":
        """The same for one process."""
        return msgspec.structs.replace(self, argv=tuple(str(pid) if word == PID else word for word in self.argv))


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. seconds: wall time; processor: time of all its processes; memory: bytes of its largest process.

    Memory below some 10 MiB is that of the process that started it.
    """

    seconds: float
    processor: float
    memory: int
    status: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The medians of several runs. fastest: the least wall time."""

    seconds: float
    fastest: float
    processor: float
    memory: int


class Failed(Exception):
    """A command that did not do its work; its text says which and how."""


class Launcher:
    """The process that starts the commands; use it in a `with`."""

    def __enter__(self) -> "Launcher":
        """Started."""
        command = [sys.executable, "-I", "-S", os.fspath(_LAUNCHER)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
        )
        self._requests, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        return self

    def __exit__(self, *_: object) -> None:
        """It stops when its input ends."""
        self._process.communicate()

    def run(self, command: Command, output: str) -> Run:
        """One run, standard output written to the file `output`. Raises Failed."""
        self._requests.write(json.dumps({"argv": command.argv, "output": output}) + "\n")
        self._requests.flush()
        done = msgspec.json.decode(self._answers.readline(), type=Run)
        if done.status not in command.statuses:
            raise Failed(f"{command.name} ended with {done.status}: {' '.join(command.argv)[:200]}")
        return done


def _environment() -> dict[str, str]:
    """The caller's own, without what would change the loader's answers, or keep Python from compiling a module once."""
    left = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    left.pop("PYTHONDONTWRITEBYTECODE", None)
    return left


def in_turn(commands: Sequence[Command], runs: int, output: str) -> Mapping[str, Measured]:
    """The medians of so many runs of each command, one after the other in every round, behind one round to warm up.

    Each round begins with another command, so that none profits from its place.
    """
    made: dict[str, list[Run]] = {command.name: [] for command in commands}
    with Launcher() as launcher:
        for command in commands:
            launcher.run(command, output)
        for number in range(runs):
            first = number % len(commands)
            for command in (*commands[first:], *commands[:first]):
                made[command.name].append(launcher.run(command, output))
    return {name: _medians(each) for name, each in made.items()}


def _medians(runs: Sequence[Run]) -> Measured:
    return Measured(
        seconds=statistics.median(one.seconds for one in runs),
        fastest=min(one.seconds for one in runs),
        processor=statistics.median(one.processor for one in runs),
        memory=int(statistics.median(one.memory for one in runs)),
    )


def memory_of_all(command: Command, output: str) -> int:
    """Bytes that all processes of one run of a command have together at their most, as far as looking often shows it.

    The sum of their proportional set sizes: a page that several share counts once.
    """
    most = 0
    with open(output, "wb") as file:
        process = psutil.Popen(
            command.argv, stdout=file, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=_environment()
        )
        while process.poll() is None:
            most = max(most, sum(map(_proportional, [process, *_children(process)])))
    return most


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _proportional(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0

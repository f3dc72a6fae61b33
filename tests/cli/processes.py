"""Processes for the command line to look at, and the program run by somebody who may look into few of them."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cli.conftest import COMMAND, environment
from tests.process.started import DEADLINE, NOBODY, Started, started

FixtureFile = Callable[[str], Path]
# Everything is imported first: an ordinary user may not be able to read this Python's folders.
_AS_NOBODY = f"""
import importlib, os, pkgutil, sys
import linkscope, pwd, select
for module in pkgutil.walk_packages(linkscope.__path__, "linkscope."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
from linkscope.cli.invocation import run
sys.stdout.flush()
os._exit(run(sys.argv[1:]))
"""


def as_nobody(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """One command line of an ordinary user, be it the one who runs the tests."""
    command = [sys.executable, "-c", _AS_NOBODY] if os.geteuid() == 0 else COMMAND
    return subprocess.run([*command, *arguments], capture_output=True, env=environment(), timeout=60)


@contextlib.contextmanager
def holding(fixture_file: FixtureFile, folder: Path) -> Iterator[tuple[Started, Path]]:
    """A program that has mapped libheld.so in FOLDER, and the path of that; it replaces the file when it is told to."""
    for name in ("holder", "libheld.so", "libheld-new.so"):
        shutil.copy(fixture_file(f"process/{name}"), folder / name)
    with started([folder / "holder"], cwd=folder) as holder:
        holder.expect("ready")
        yield holder, folder / "libheld.so"


@contextlib.contextmanager
def watching(*arguments: str) -> Iterator[Started]:
    """The program, run with --watch or the like, whose lines a test waits for with `line`."""
    with started([*COMMAND, *arguments], env=environment(), stderr=subprocess.DEVNULL) as watch:
        yield watch


def line(program: Started, pattern: str) -> str:
    """The next line of PROGRAM that matches PATTERN behind its time; what comes before it is passed over."""
    while True:
        said = program.expect("", DEADLINE)
        if re.match(rf"\d\d:\d\d:\d\d {pattern}", said):
            return said

"""The real ELF files that the tests of this folder read, and the tools that say what is in them."""

import functools
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader, open_reader

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]
PROGRAMS = ("/usr/bin", "/usr/sbin")
LIBRARIES = ("/usr/lib",)
DEBUG_FILES = "/usr/lib/debug/"
_AT_ONCE = 100  # files in one command line


@functools.cache
def elf_files(*folders: str) -> tuple[str, ...]:
    """The regular ELF files below FOLDERS by their own names, in order."""
    found = []
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(parent, name)
                if not os.path.islink(path) and os.path.isfile(path) and _is_elf(path):
                    found.append(path)
    return tuple(sorted(found))


def _is_elf(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except PermissionError:
        return False


def spread(paths: Sequence[str], count: int) -> list[str]:
    """About COUNT of the paths, spread evenly over all of them."""
    return list(paths[:: max(1, len(paths) // count)])


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[Reader, Image]]:
    """The file as the functions of `linkscope.elf` take it."""
    with open_reader(os.fspath(path)) as reader:
        yield reader, read_image(reader)


def ask(function: Callable[[Reader, Image], Any], path: str | os.PathLike[str]) -> Any:
    """What one of the functions of `linkscope.elf` says of a file."""
    with opened(path) as (reader, image):
        return function(reader, image)


def tool(*command: str | os.PathLike[str]) -> str:
    """The standard output of a tool, whatever its exit code."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="surrogateescape", check=False, timeout=300
    ).stdout


def readelf(options: str, paths: Iterable[str]) -> dict[str, str]:
    """What readelf prints of each file."""
    rest, answers = list(paths), {}
    while rest:
        # A second file makes readelf say which is which, also where there is only one.
        now, rest = rest[:_AT_ONCE], rest[_AT_ONCE:]
        for part in re.split(r"^\n?File: ", tool("readelf", options, *now, "/dev/null"), flags=re.MULTILINE)[1:]:
            name, _, text = part.partition("\n")
            answers[name] = text
    return answers

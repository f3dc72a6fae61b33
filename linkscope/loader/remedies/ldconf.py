"""/etc/ld.so.conf: the folders that ldconfig would take into the cache. The loader itself never reads it."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator

from linkscope.loader.system import System

FILE = "/etc/ld.so.conf"


def configured_folders(system: System) -> list[str]:
    """The folders that the file and what it includes name, in order, each once, without a trailing slash.

    Source: glibc elf/ldconfig.c, parse_conf: `#` begins a comment, `include` takes patterns, `hwcap` is ignored.
    """
    return list(dict.fromkeys(_folders(system, FILE, set())))


def _folders(system: System, path: str, visited: set[str]) -> Iterator[str]:
    """The folders of one file, unless VISITED has it: its folders stand in the answer already."""
    if path in visited:
        return
    visited.add(path)
    for line in os.fsdecode(system.read_small(path) or b"").split("\n"):
        line = line.split("#", 1)[0].strip()
        word, _, rest = line.replace("\t", " ").partition(" ")
        if word == "include":
            for pattern in rest.split():
                for included in _matches(system, os.path.join(os.path.dirname(path), pattern)):
                    yield from _folders(system, included, visited)
        elif line.startswith("/") and word != "hwcap":
            yield line.split("=", 1)[0].rstrip("/") or "/"


def _matches(system: System, pattern: str) -> list[str]:
    """The files that a pattern names; only its last part may hold wildcards, as in every distribution's file."""
    folder, _, last = pattern.rpartition("/")
    return [f"{folder}/{name}" for name in system.names_in(folder or "/") if fnmatch.fnmatchcase(name, last)]

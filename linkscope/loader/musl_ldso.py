"""What a musl loader says of itself: its default search path, and the file that would replace it. Read, never run.

Both are string constants of load_library (musl ldso/dynlink.c), fixed when musl is built. The name of the file,
`/etc/ld-musl-ARCH.path`, is also what tells a musl loader from any other, whatever path it is installed under.
"""

from __future__ import annotations

import os
import re
from typing import cast

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.reader import Reader, open_reader
from linkscope.elf.rodata import loader_constants
from linkscope.loader.loaders import is_musl_path
from linkscope.loader.system import Candidate, System

_PATH_FILE = re.compile(rb"/etc/ld-musl-[\w.-]{1,255}\.path(?=\0)")
_PATH_LIST = re.compile(rb"\0(/[\w./+@-]{1,4095}(?::/[\w./+@-]{1,4095}){1,63})(?=\0)")
_ONE_FOLDER = re.compile(rb"\0(/[\w./+@-]{0,4000}/lib(?:32|64|x32)?)(?=\0)")
_VERSION = re.compile(rb"\0(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:-git[\w.-]{0,64})?\0")
_UPSTREAM_PATH = "/lib:/usr/local/lib:/usr/lib"
_MEMORY = "musl loaders"


class MuslFacts(msgspec.Struct, frozen=True):
    """The compiled-in facts of one musl loader.

    default_path: the folders that are searched last, separated by colons. path_file: the file below the loader's own
    prefix that replaces them, `/etc/ld-musl-x86_64.path`. version: its release, (1, 2, 3); None where it does not say.
    """

    default_path: str
    path_file: str
    version: tuple[int, ...] | None = None


def musl_facts(system: System, loader: Candidate) -> MuslFacts | None:
    """The facts of the loader that stands at a path; None where it is not musl's.

    One that is called musl's (`ld-musl-ARCH.so.1`) and does not say what it should is taken for upstream's.
    """
    memory = cast("dict[tuple[int, int], MuslFacts | None]", system.memory.setdefault(_MEMORY, {}))
    if loader.image is not None and loader.identity not in memory:
        with open_reader(loader.location, loader.path, system.root.open) as reader:
            memory[loader.identity] = _read(reader, loader.image, loader.path)
    return memory.get(loader.identity)


def _read(reader: Reader, image: Image, path: str) -> MuslFacts | None:
    data = loader_constants(reader, image, c.PF_W)
    path_file = _PATH_FILE.search(data)
    if path_file:
        return MuslFacts(_default_path(data), os.fsdecode(path_file[0]), _version(data))
    name = path.rpartition("/")[2].partition(".so")[0]
    return MuslFacts(_UPSTREAM_PATH, f"/etc/{name}.path") if is_musl_path(path) else None


def _version(data: bytes) -> tuple[int, ...] | None:
    found = _VERSION.search(data)
    return tuple(map(int, found.groups())) if found else None


def _default_path(data: bytes) -> str:
    lists = [match[1] for match in _PATH_LIST.finditer(data) if b"/lib" in match[1]]
    if not lists:  # a distribution with one default folder
        lists = [match[1] for match in _ONE_FOLDER.finditer(data)]
    return os.fsdecode(lists[0]) if lists else _UPSTREAM_PATH

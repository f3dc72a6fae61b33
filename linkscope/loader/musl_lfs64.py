"""The names with 64 (`open64`) that musl's loader still binds to its plain functions, for programs of older headers.

Since 1.2.4 they are no symbols any more, but a list inside the loader. Read from its file, never run.
Source: musl ldso/dynlink.c, get_lfs64.
"""

from __future__ import annotations

import os
import re
from typing import cast

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.reader import open_reader
from linkscope.elf.rodata import loader_constants
from linkscope.errors import LinkScopeError
from linkscope.loader.system import Candidate, System

_BEGINNING = b"\0aio_cancel\0aio_error\0"
_LIST = re.compile(_BEGINNING[1:] + rb"(?:\w{1,64}\0){1,256}(?=\0)")
_VERSION = re.compile(rb"\0(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:-git[\w.-]{0,64})?\0")
_SUFFIX = "64"
_OTHERWISE = {"readdir64_r": "readdir_r"}  # the one name with 64 inside
_ROOM = 16  # characters of a name that are looked at up to 1.2.5: posix_fallocate64 is one too long
_LAST_WITHOUT_ROOM = (1, 2, 5)


class LargeFileNames(msgspec.Struct, frozen=True):
    """The plain names that a loader knows with 64 behind them, and how long the whole may be; no names: knows none."""

    plain: frozenset[str]
    room: int

    def plain_of(self, symbol: str) -> str | None:
        """The name that SYMBOL is bound by instead, None where it is no name of this kind."""
        if not self.plain or len(symbol) > self.room:
            return None
        if symbol in _OTHERWISE:
            return _OTHERWISE[symbol]
        name = symbol.removesuffix(_SUFFIX)
        return name if name != symbol and name in self.plain else None


_NONE = LargeFileNames(frozenset(), 0)


def large_file_names(system: System, loader: Candidate) -> LargeFileNames:
    """What the musl loader at a path knows of such names; remembered in SYSTEM."""
    memory = cast("dict[tuple[int, int], LargeFileNames]", system.memory.setdefault("large-file names", {}))
    known = memory.get(loader.identity)
    if known is None:
        known = memory[loader.identity] = _read(system, loader)
    return known


def _read(system: System, loader: Candidate) -> LargeFileNames:
    if loader.image is None:
        return _NONE
    try:
        with open_reader(loader.location, loader.path, system.root.open) as reader:
            data = loader_constants(reader, loader.image, c.PF_W)
    except LinkScopeError:
        return _NONE
    found = _LIST.match(data, data.find(_BEGINNING) + 1)
    if found is None:
        return _NONE
    names = frozenset(os.fsdecode(found[0]).split("\0")[:-1])
    version = _VERSION.search(data)
    old = version is not None and tuple(map(int, version.groups())) <= _LAST_WITHOUT_ROOM
    return LargeFileNames(names, _ROOM if old else max(map(len, names)) + len(_SUFFIX))

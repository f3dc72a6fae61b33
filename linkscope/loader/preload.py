"""What is preloaded: the names in LD_PRELOAD and in /etc/ld.so.preload, split as each loader splits them."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkscope.loader.environment import Environment
    from linkscope.loader.system import System

FILE = "/etc/ld.so.preload"
VARIABLE = "LD_PRELOAD"
OPTION = "--preload"  # of a loader that is started as a program
_SECURE_NAME_LIMIT = 255  # glibc elf/rtld.c
_SECURE_PATH_LIMIT = 4096
_MAX_NAMES = 4096  # in the file; the real one has a few


def asked_for(system: System, environment: Environment, secure: bool) -> list[tuple[str, str]]:
    """The names that glibc's loader preloads, in order, each with where it stands: VARIABLE, OPTION or FILE."""
    option = environment.explicit.preload if environment.explicit is not None else None
    content = system.read_small(FILE)
    return [
        *((name, VARIABLE) for name in split_variable(environment.preload or "", secure)),
        *((name, OPTION) for name in split_variable(option or "", secure)),
        *((name, FILE) for name in split_file(content or b"")),
    ]


def asked_for_by_musl(environment: Environment, secure: bool) -> list[tuple[str, str]]:
    """The names that musl's loader preloads, in order, each with where it stands: OPTION, or without one VARIABLE."""
    if environment.explicit is not None and environment.explicit.preload is not None:
        return [(name, OPTION) for name in split_for_musl(environment.explicit.preload)]
    return [] if secure else [(name, VARIABLE) for name in split_for_musl(environment.preload or "")]


def split_variable(value: str, secure: bool) -> list[str]:
    """The names in LD_PRELOAD: separated by spaces and colons (glibc elf/rtld.c, handle_preload_list).

    In secure execution a name with a slash does not count (dso_name_valid_for_suid).
    """
    names = [name for name in value.replace(":", " ").split(" ") if 0 < len(name) < _SECURE_PATH_LIMIT]
    if secure:
        names = [name for name in names if "/" not in name and len(name) < _SECURE_NAME_LIMIT]
    return names


def split_for_musl(value: str) -> list[str]:
    """The names in LD_PRELOAD, separated by white space and colons (musl ldso/dynlink.c, load_preload)."""
    for separator in ":\t\n\v\f\r":
        value = value.replace(separator, " ")
    return [name for name in value.split(" ") if name]


def split_file(data: bytes) -> list[str]:
    """The names in /etc/ld.so.preload: separated by spaces, tabs, newlines and colons, `#` begins a comment.

    No more than 4096 of them: each stands in the answer several times.

    As in glibc elf/rtld.c, where the search for the next `#` always begins at the start of the file but covers only
    as many bytes as are left behind the last comment: a comment beyond that is not taken out.
    """
    if not data:
        return []
    content = _without_comments(data)
    for separator in (b":", b"\t", b"\n"):
        content = content.replace(separator, b" ")
    names = (name.split(b"\0", 1)[0] for name in content.split(b" "))
    return list(itertools.islice((os.fsdecode(name) for name in names if name), _MAX_NAMES))


def _without_comments(data: bytes) -> bytes:
    """DATA with spaces for the comments that glibc takes out.

    What stands before a comment that was taken out holds no `#` any more, so the search goes on behind it.
    """
    content = bytearray(data)
    rest, behind = len(content), 0
    while (at := content.find(b"#", behind, rest)) >= 0:
        rest -= at
        end = content.find(b"\n", at + 1, at + rest)
        behind = at + rest if end < 0 else end
        content[at:behind] = b" " * (behind - at)
        rest -= behind - at
    return bytes(content)

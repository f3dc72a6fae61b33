"""Code that many projects carry a copy of, so that finding it does not say which of them is inside.

What is known of it is a table, `copied.toml`: whoever finds another one adds it there.
"""

from __future__ import annotations

import os
import re
from functools import cache

import msgspec

_FILE = os.path.join(os.path.dirname(__file__), "copied.toml")
_MEMBER = re.compile(r"(?:lib[\w+-]*?_la-)?(.+?)\.(?:o|lo|ao|c\.o)")


class _Archives(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    carried: frozenset[str]
    collections: frozenset[str]
    runtimes: frozenset[str]


class _Copied(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tables of copied.toml, whose comments say what they hold."""

    everywhere: dict[str, str]
    borrowed: dict[str, str]
    archives: _Archives


def is_copied(library: str, archive: str, member: str) -> bool:
    """Whether the MEMBER of an ARCHIVE of the LIBRARY is by their names one that is copied from project to project.

    gnulib's own library is called libgnu where nothing else is said (gnulib-tool, --lib).
    """
    if archive in _table().archives.carried or member.startswith("libgnu_la-"):
        return True
    borrowed = _table().borrowed.get(library)
    if borrowed is not None and re.fullmatch(borrowed, member):
        return True
    return source_of(member) in _everywhere()


def source_of(member: str) -> str:
    """The name of the source file that a member was made of, without what stands behind its dot.

    automake sets the library's own name before that of an object that has flags of its own (`libgnu_la-hash.o`).
    """
    named = _MEMBER.fullmatch(member)
    return member if named is None else named[1]


def is_collection(archive: str) -> bool:
    """Whether the archive of that name is a collection of files, of which one alone is nobody's in particular."""
    return archive in _table().archives.collections


def is_runtime(archive: str) -> bool:
    """Whether compilers link the archive of that name by themselves, one function of it where no more is called."""
    return archive in _table().archives.runtimes


@cache
def _everywhere() -> frozenset[str]:
    return frozenset(name for names in _table().everywhere.values() for name in names.split())


@cache
def _table() -> _Copied:
    with open(_FILE, "rb") as file:
        return msgspec.toml.decode(file.read(), type=_Copied)

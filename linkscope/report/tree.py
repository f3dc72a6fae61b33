"""The dependency tree of one file: each library once, below the first object that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.model.inspect import ClosureEntry, File

# The file itself, where the libraries are places in `closure`.
_TOP = -1
# What comes with the program itself, whoever needs it besides: a preload is loaded before anything is looked for.
_OWN = ("interpreter", "preload")


class Row(msgspec.Struct, frozen=True):
    """One library of the tree. guide: the line art before its name; below: the art before what is said about it.

    name: what was asked for, without its folder. also: the names of those that need it beside the one above it.
    """

    guide: str
    below: str
    name: str
    entry: ClosureEntry
    also: list[str]


def rows(file: File) -> Iterator[Row]:
    """The libraries of FILE, each once, children below their parent, in the loader's order among themselves.

    A library stands below the first object that needs it. At the top stand also the preloads, which are loaded
    before anything else, and the interpreter, for it is the file itself that names it.
    """
    needers = _needers(file)
    parents = _parents(file, needers)
    children: dict[int, list[int]] = {}
    for index, parent in enumerate(parents):
        children.setdefault(parent, []).append(index)
    # A chain of libraries may be deeper than Python's stack: what is still to be shown is kept here.
    pending = _siblings(children.get(_TOP, []), "")
    while pending:
        index, guide, below = pending.pop()
        lower = children.get(index, [])
        also = [needer for needer in needers[index] if needer != parents[index]]
        names = [file.path if needer == _TOP else _name(file.closure[needer]) for needer in also]
        entry = file.closure[index]
        yield Row(guide, below + ("│  " if lower else "   "), _name(entry), entry, names)
        pending += _siblings(lower, below)


def _name(entry: ClosureEntry) -> str:
    return entry.requested.rpartition("/")[2] or entry.requested


def _siblings(indexes: list[int], below: str) -> list[tuple[int, str, str]]:
    """INDEXES with their line art, the last one first, as a stack wants them."""
    last = len(indexes) - 1
    return [
        (index, below + ("└─ " if place == last else "├─ "), below + ("   " if place == last else "│  "))
        for place, index in reversed(list(enumerate(indexes)))
    ]


def _needers(file: File) -> list[list[int]]:
    """For each library, who needs it, in link-map order."""
    place = {entry.path: index for index, entry in enumerate(file.closure) if entry.path is not None}
    place[file.path] = _TOP
    return [[place[needer] for needer in entry.needed_by if needer in place] for entry in file.closure]


def _parents(file: File, needers: list[list[int]]) -> list[int]:
    """Below whom each library stands: its first needer, or the top where that would make a ring.

    A ring is possible, since a filtee is listed before its filter and may need it.
    """
    parents = [
        asking[0] if asking and entry.found_by not in _OWN else _TOP
        for entry, asking in zip(file.closure, needers, strict=True)
    ]
    settled = {_TOP}
    for index in range(len(parents)):
        path = [index]
        while (parent := parents[path[-1]]) not in settled:
            if parent in path:
                parents[path[-1]] = _TOP
                break
            path.append(parent)
        settled.update(path)
    return parents

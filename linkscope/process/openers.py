"""Who opened an object with dlopen: the objects that name it in a string of their own, or declare it in a note."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Literal

from linkscope.elf import notes
from linkscope.elf.reader import open_reader
from linkscope.elf.rodata import pieces
from linkscope.errors import LinkScopeError
from linkscope.model.document import text
from linkscope.model.pid import Opener
from linkscope.process.mapped import Mapped, basename

How = Literal["string", "note"]

_MOST_BYTES = 1 << 27  # of files that are searched for one process
_MOST_NAMES = 64
_LONGEST = 254  # bytes of a name: elf/rodata.py sees no longer string across the border of two pieces
_SHORTEST = 8


class Openers:
    """What was found in one run: a file is searched once for a name, whichever processes have mapped it."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, int] | None, bytes], How | None] = {}

    def of(self, opened: Sequence[Mapped], objects: Iterable[Mapped]) -> dict[Mapped, list[Opener]]:
        """For each object of OPENED those of OBJECTS that name it.

        A name that a program puts together at run time is not found.
        """
        found: dict[Mapped, list[Opener]] = {one: [] for one in opened}
        names = {one: _names(one) for one in opened[:_MOST_NAMES]}
        left = _MOST_BYTES
        for other in objects:
            if other.image is None or other.image.size > left:
                continue
            left -= other.image.size
            how = self._named_in(other, {name for known in names.values() for name in known})
            for one, known in names.items():
                said = [how[name] for name in known if name in how]
                if one is not other and said:
                    found[one].append(Opener(path=text(other.path), how="note" if "note" in said else "string"))
        return found

    def _named_in(self, other: Mapped, names: set[bytes]) -> dict[bytes, How]:
        """Those of NAMES that the file of OTHER has, and how."""
        identity = other.standing.identity if other.standing else None
        unknown = [name for name in names if (identity, name) not in self._known]
        if unknown:
            found = _search(other, unknown)
            self._known.update(((identity, name), found.get(name)) for name in unknown)
        known = ((name, self._known[identity, name]) for name in names)
        return {name: how for name, how in known if how is not None}


def _names(one: Mapped) -> frozenset[bytes]:
    """The names by which a program may ask for the object."""
    names = (one.loaded_as, basename(one.loaded_as or ""), one.soname, basename(one.path))
    return frozenset(os.fsencode(name) for name in names if name and _SHORTEST <= len(os.fsencode(name)) < _LONGEST)


def _search(other: Mapped, names: Sequence[bytes]) -> dict[bytes, How]:
    """Those of NAMES that stand in the file of OTHER: declared, as a string of its own, or as the end of a path."""
    location = other.standing.location if other.standing else None
    if location is None or other.image is None:
        return {}
    found: dict[bytes, How] = {}
    try:
        with open_reader(location, other.path) as reader:
            for piece in pieces(reader, other.image):
                found.update((name, "string") for name in names if name not in found and _stands_in(piece, name))
            declared = {os.fsencode(n) for entry in notes.dlopen_entries(reader, other.image) for n in entry.soname}
            found.update((name, "note") for name in names if name in declared)
    except LinkScopeError:
        return found
    return found


def _stands_in(piece: bytes, name: bytes) -> bool:
    """Whether a string in PIECE is NAME, or a path that ends in it. The first string has nothing before it."""
    string = name + b"\0"
    return piece.startswith(string) or piece.rfind(b"\0" + string) >= 0 or piece.rfind(b"/" + string) >= 0

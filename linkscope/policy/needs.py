"""What a release asks of the system: libraries by name, that is, all that is needed and not brought along."""

from __future__ import annotations

import msgspec

from linkscope.elf import constants as c
from linkscope.policy.subject import Subject

_PULLED_IN = (c.DT_NEEDED, c.DT_FILTER)  # an auxiliary filtee (DT_AUXILIARY) may be absent
# Dynamic loaders by their sonames: glibc's of all ports (shlib-versions, ld=), musl's.
_LOADERS = ("ld-linux", "ld64.so.", "ld.so.1", "ld-musl-")


class Need(msgspec.Struct, frozen=True):
    """A library that the system has to bring, by the name that is asked for. askers: the objects that ask, by path."""

    name: str
    askers: tuple[str, ...]


def outside(subject: Subject) -> list[Need]:
    """The needs of the file and of what it brings along, in the order in which they are first asked for.

    What is brought along answers to its DT_SONAME as well.
    """
    own = {part.image.soname for part in subject.parts if part.image.soname} | subject.brought
    asked: dict[str, list[str]] = {}
    for part in subject.parts:
        for tag, name in part.image.dependencies:
            if tag in _PULLED_IN and name not in own:
                askers = asked.setdefault(name, [])
                if part.path not in askers:
                    askers.append(part.path)
    return [Need(name, tuple(askers)) for name, askers in asked.items()]


def is_loader(name: str) -> bool:
    """Whether NAME is a dynamic loader's soname."""
    return name.startswith(_LOADERS)

"""What a release asks of the system: libraries by name, that is, all that is needed and not brought along."""

from __future__ import annotations

from linkscope.policy.subject import Subject
from linkscope.policy.targets.requirements import Need, requirements

# Dynamic loaders by their sonames: glibc's of all ports (shlib-versions, ld=), musl's.
_LOADERS = ("ld-linux", "ld64.so.", "ld.so.1", "ld-musl-")


def outside(subject: Subject) -> tuple[Need, ...]:
    """The needs of the file and of what it brings along, in the order in which they are first asked for."""
    return requirements(subject).needs


def is_loader(name: str) -> bool:
    """Whether NAME is a dynamic loader's soname."""
    return name.startswith(_LOADERS)

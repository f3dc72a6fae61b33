"""Libraries that were made out of others, with which they have code and functions in common: which of them it is."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import msgspec

from linkscope.contents import banners
from linkscope.model.inspect import Content, Evidence


@cache
def of(name: str) -> frozenset[str]:
    """The libraries that were made out of the one called NAME; they may have its sonames as well."""
    return frozenset(library.name for library in banners.libraries() if name in library.fork_of)


def with_forks(names: Iterable[str]) -> frozenset[str]:
    """NAMES, and the forks that have to be looked for, too, for the former to be told from them."""
    return frozenset(one for name in names for one in (name, *of(name)))


def settled(contents: list[Content]) -> list[Content]:
    """CONTENTS of one file without the libraries of which there is nothing but what a fork has in common with them.

    That is machine code that fits no version for certain, and symbols; they are evidence of the fork then, of several
    the one that a text or a version tells. A text of the library's own code says that it is there all the same.
    """
    generic = {one.name: one for one in contents if one.ecosystem == "generic"}
    shared = {name for name, one in generic.items() if of(name) & generic.keys() and _is_shared(one)}
    given: dict[str, list[Evidence]] = {}
    for name in sorted(shared):
        heir = min(of(name) & generic.keys() - shared, key=lambda fork: (_is_shared(generic[fork]), fork))
        given.setdefault(heir, []).extend(generic[name].evidence)
    return [
        msgspec.structs.replace(one, evidence=[*one.evidence, *given.get(one.name, ())])
        if one.ecosystem == "generic"
        else one
        for one in contents
        if one.ecosystem != "generic" or one.name not in shared
    ]


def _is_shared(one: Content) -> bool:
    return one.version is None and all(proof.kind in ("fingerprint", "symbol") for proof in one.evidence)

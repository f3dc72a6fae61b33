"""What a search leaves out, and why: the lists and elements that a loader's rules switch off.

The rules themselves are in `glibc.py` and `musl.py`, which only search; here is what a person misses in the search.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.loader.glibc import Glibc, split_search_path
from linkscope.loader.linkmap import Loaded
from linkscope.loader.musl import Musl
from linkscope.loader.tokens import TokenValues, expand
from linkscope.model.inspect import FoundBy


class SwitchedOff(msgspec.Struct, frozen=True):
    """A list, or one element of it, that does not count. of: the path of the object whose tag it stands in."""

    source: FoundBy
    of: str | None
    element: str
    reason: str


def switched_off(rules: Glibc, asker: Loaded) -> Iterator[SwitchedOff]:
    """What does not count when ASKER's names are searched for, in the order of the search."""
    yield from _rpaths(rules, asker)
    yield from _library_path(rules)
    yield from _runpaths(rules, asker)


def switched_off_by_musl(rules: Musl, asker: Loaded) -> Iterator[SwitchedOff]:
    """The same for musl, where one bad token voids the whole list that it stands in (fixup_rpath)."""
    at: Loaded | None = asker
    while at is not None:
        image = at.image
        text = (image.rpath if image.runpath is None else image.runpath) if image is not None else None
        own = rules.own_list(at)
        if text and "$" in text and not own.folders:
            yield SwitchedOff(own.source, at.path, text, "a $ that $ORIGIN does not account for voids the whole list")
        at = at.parent


def loaders_of(asker: Loaded, main: Loaded) -> list[Loaded]:
    """The objects whose RPATH may count for ASKER: itself, what loaded it, and so on up, and the program."""
    chain: list[Loaded] = []
    at: Loaded | None = asker
    while at is not None:
        chain.append(at)
        at = at.parent
    return chain if main in chain else [*chain, main]


def _rpaths(rules: Glibc, asker: Loaded) -> Iterator[SwitchedOff]:
    for owner in loaders_of(asker, rules.main):
        image = owner.image
        if image is None or not image.rpath:
            continue
        if image.runpath is not None:
            yield SwitchedOff(
                "rpath", owner.path, image.rpath, f"{owner.path} has a RUNPATH too, so its RPATH is ignored"
            )
        elif asker.image is not None and asker.image.runpath is not None:
            yield SwitchedOff("rpath", owner.path, image.rpath, "the caller has RUNPATH, so no RPATH is used")
        else:
            yield from _elements("rpath", image.rpath, ":", owner, rules)


def _library_path(rules: Glibc) -> Iterator[SwitchedOff]:
    value = rules.given_library_path
    if value and rules.secure:
        yield SwitchedOff("LD_LIBRARY_PATH", None, value, "LD_LIBRARY_PATH does not count in secure execution")
    elif value:
        yield from _elements("LD_LIBRARY_PATH", value, ":;", rules.main, rules)


def _runpaths(rules: Glibc, asker: Loaded) -> Iterator[SwitchedOff]:
    for owner in loaders_of(asker, rules.main):
        image = owner.image
        if image is None or not image.runpath:
            continue
        if owner is asker:
            yield from _elements("runpath", image.runpath, ":", owner, rules)
        else:
            yield SwitchedOff("runpath", owner.path, image.runpath, f"the RUNPATH of {owner.path} is not inherited")


def _elements(source: FoundBy, text: str, separators: str, owner: Loaded, rules: Glibc) -> Iterator[SwitchedOff]:
    """The elements of a list that counts which are dropped, because of a token in them."""
    values = rules.tokens(owner)
    for element in split_search_path(text, separators):
        if element and not expand(element, values):
            yield SwitchedOff(source, owner.path, element, why_dropped(element, values))


def why_dropped(element: str, values: TokenValues) -> str:
    """Why the loader drops an element: a token in it has no value, or is not trusted in secure execution."""
    if values.origin_only_if_trusted and expand(element, msgspec.structs.replace(values, origin_only_if_trusted=False)):
        return "secure execution does not trust its $ORIGIN"
    return "a token in it has no value here"

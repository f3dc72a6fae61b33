"""Dependencies that are met only by the order of loading: what answers to the name had been loaded for another."""

from __future__ import annotations

from linkscope.loader import preload, problems
from linkscope.loader.glibc import Glibc
from linkscope.loader.linkmap import LinkMap, Loaded, Rules
from linkscope.model.inspect import Problem

# Where every object finds what one of them has found: lists that do not depend on the object that asks.
_FOR_ALL = frozenset(("LD_LIBRARY_PATH", "ld.so.cache", "default"))
# What the kernel maps, before the loader loads anything.
_THERE_FIRST = frozenset(("main", "interpreter", "vdso"))


def by_luck(link_map: LinkMap, rules: Rules) -> list[Problem]:
    """One problem for each object and name that is met so, in the order in which the loader meets them."""
    return [
        problems.by_luck(
            name, asker.path or asker.requested, provider.path or provider.requested, _loaded_by(provider, rules)
        )
        for asker, dependencies in link_map.dependencies.items()
        for tag, name, provider in dependencies
        if provider.image is not None and is_lucky(name, tag, asker, provider, rules)
    ]


def _loaded_by(provider: Loaded, rules: Rules) -> str:
    """What brought an object: the object that first asked for it, or what names it to be preloaded."""
    if provider.role == "preload":
        listed = preload.split_file(rules.system.read_small(preload.FILE) or b"") if isinstance(rules, Glibc) else []
        return preload.FILE if provider.requested in listed else preload.VARIABLE
    parent = provider.parent
    return "something else" if parent is None else parent.path or parent.requested


def is_lucky(name: str, tag: int, asker: Loaded, provider: Loaded, rules: Rules) -> bool:
    """Whether ASKER's own search for NAME, which PROVIDER answers to, would have led to nothing.

    The program and its interpreter are there before every library, whatever the order.
    """
    if provider.role in _THERE_FIRST:
        return False
    if provider.requested == name:
        if provider.parent is asker:
            return False
        finding = provider.finding
        if finding is not None and finding.found_by in _FOR_ALL and not asker.shuns_defaults:
            return False
    expanded = rules.expand_name(name, tag, asker)
    return isinstance(expanded, str) and "/" not in expanded and rules.search(expanded, asker).candidate is None

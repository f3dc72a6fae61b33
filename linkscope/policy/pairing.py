"""Which file of a new release stands in the place of which one of the old."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

# What a release changes in the name of a file that is still the same one: the hash that auditwheel puts behind the name
# of a library that it copies into a wheel, and numbers.
_HASH = re.compile(r"-[0-9a-f]{8}(?=[./]|$)")
_DIGITS = re.compile(r"\d+")


def pairs(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> list[tuple[str | None, str | None]]:
    """The names that belong together, in the order of NEW, then what is only in OLD; None where the other has none.

    old, new: the name of each file inside its release, with its soname. Equal names belong together, without a folder
    that all files of one side are in; of the others those with the same soname, then those that differ in numbers and
    in auditwheel's hashes alone, if there is one such on each side.
    """
    tops = _top(old), _top(new)
    partner = {name: name for name in new if name in old}
    for key in (_by_name, _by_soname, _by_stem):
        taken = set(partner.values())
        left = [[name for name in old if name not in taken], [name for name in new if name not in partner]]
        keys = [
            {name: key(name.removeprefix(top), side[name]) for name in names}
            for names, side, top in zip(left, (old, new), tops, strict=True)
        ]
        partner |= _matched(*keys)
    taken = set(partner.values())
    gone = [name for name in old if name not in taken]
    return [(partner.get(name), name) for name in new] + [(name, None) for name in gone]


def _top(names: Mapping[str, str | None]) -> str:
    """The folder that all files are in, with its slash; "" where there is none. Archives of a release have one."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""


def _by_name(name: str, _: str | None) -> str | None:
    return name


def _by_soname(_: str, soname: str | None) -> str | None:
    return soname


def _by_stem(name: str, _: str | None) -> str | None:
    return _DIGITS.sub("#", _HASH.sub("", name))


def _matched(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> dict[str, str]:
    """From a new name to the old one with the same key, where that is the only one on either side."""
    times_old, times_new = Counter(old.values()), Counter(new.values())
    by_key = {key: name for name, key in old.items() if key is not None and times_old[key] == 1}
    return {name: by_key[key] for name, key in new.items() if key in by_key and times_new[key] == 1}

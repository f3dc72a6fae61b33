"""The names that a person may have meant by one that nothing asks for."""

from __future__ import annotations

from collections.abc import Iterable

from linkscope.model.meant import meant

_AT_MOST = 3


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """The names of KNOWN that resemble NAME, the most alike first: `ssl` and `libssl.so.1.1` are near `libssl.so.3`."""
    plain = {one.rpartition("/")[2]: None for one in known}
    stem = _stem(name)
    same = [one for one in plain if _stem(one) == stem]
    if same:
        return same[:_AT_MOST]
    stems = {_stem(one): one for one in plain}
    within = [one for other, one in stems.items() if len(stem) > 2 and stem in other]
    close = [stems[other] for other in meant(stem, stems, _AT_MOST)]
    return list(dict.fromkeys([*close, *within]))[:_AT_MOST]


def _stem(name: str) -> str:
    """What is left of a library's file name without `lib`, `.so` and version, in lower case."""
    return name.rpartition("/")[2].lower().removeprefix("lib").partition(".so")[0]

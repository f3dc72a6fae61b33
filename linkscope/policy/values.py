"""Whether a value that somebody wrote for a setting is a possible one, and what it should have been."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from linkscope.model.meant import asked, meant
from linkscope.policy.positions import Path

Objection = tuple[Path, str]
"""Where in a value, and what is wrong with it there."""

_PLAIN = {str: "text in quotes", bool: "true or false", int: "a whole number", float: "a number"}
_MANY = (list, tuple, set, frozenset)
_VERSION = re.compile(r"\d+(\.\d+)*")
# Any library may have a family of its own; one that is almost called like these is a slip, and would do nothing.
_FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]*")
_FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI", "GCC", "OPENSSL")
_SLIP = 0.85


def objections(key: str, value: object, wanted: object) -> Iterator[Objection]:
    """What is wrong with VALUE as that of the setting KEY (as the rules call it), whose type is WANTED.

    First the type; where that is right, what else is known of such values: versions, targets.
    """
    wrong = list(_of_type(value, wanted, ()))
    yield from wrong
    if wrong and isinstance(value, dict) and _is_table(wanted):  # of the other rows all is said at once too
        rows = {place[0] for place, _ in wrong if place}
        value = {name: one for name, one in value.items() if name not in rows}
    elif wrong:
        return
    if key in _CHECKS:
        yield from _CHECKS[key](value)


def near(word: object, known: Iterable[str]) -> str:
    """The end of a sentence that asks whether one of KNOWN was meant; "" where none is like WORD."""
    return asked(meant(word, known)) if isinstance(word, str) else ""


def shown(value: object) -> str:
    """VALUE as TOML would have it, roughly: for one line of a complaint."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value if len(value) < 60 else value[:57] + "..."}"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"


def _of_type(value: object, wanted: Any, place: Path) -> Iterator[Objection]:
    origin = get_origin(wanted)
    if _is_union(wanted):
        choices = [one for one in get_args(wanted) if one is not NoneType]
        if len(choices) == 1:
            yield from _of_type(value, choices[0], place)
            return
    elif origin in _MANY and isinstance(value, list):
        for i, one in enumerate(value):
            yield from _of_type(one, get_args(wanted)[0], (*place, i))
        return
    elif _is_table(wanted) and isinstance(value, dict):
        for name, one in value.items():
            yield from _of_type(one, get_args(wanted)[1], (*place, name))
        return
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        yield place, f"{shown(value)} is not {wish(wanted) or str(error)}{_advice(value, wanted)}"


def _is_union(wanted: Any) -> bool:
    return get_origin(wanted) in (Union, UnionType)


def _is_table(wanted: Any) -> bool:
    origin = get_origin(wanted)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def wish(wanted: Any) -> str:
    """What a value of the type WANTED is, in words; "" where that is better left to msgspec."""
    origin, inner = get_origin(wanted), [one for one in get_args(wanted) if one is not NoneType]
    if _is_union(wanted) and len(inner) == 1:
        return wish(inner[0])
    if wanted in _PLAIN:
        return _PLAIN[wanted]
    if origin is Literal:
        names = [shown(one) for one in inner if one != ""]  # which stands for what nobody asked for
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    if origin in _MANY:
        return "a list ([...])"
    return "a table ({ NAME = ... })" if _is_table(wanted) else ""


def _advice(value: object, wanted: Any) -> str:
    if get_origin(wanted) is Literal:
        return near(value, [one for one in get_args(wanted) if isinstance(one, str)])
    if wanted is str and isinstance(value, int | float) and not isinstance(value, bool):
        return f': write "{value}"' if abs(value) < 10**40 else ""
    if get_origin(wanted) in _MANY and isinstance(value, str):
        return f": write [{shown(value)}]"
    return ""


def _versions(value: Any) -> Iterator[Objection]:
    for family, number in value.items():
        if not _FAMILY.fullmatch(family):
            yield (family,), f"{shown(family)} is no family of versions; such are {', '.join(_FAMILIES)}"
        elif family not in _FAMILIES and meant(family.upper(), _FAMILIES, likeness=_SLIP):
            yield (family,), f"{shown(family)} is no family of versions{near(family.upper(), _FAMILIES)}"
        elif not _VERSION.fullmatch(number):
            yield (family,), _no_version(number, family)


def _no_version(number: str, family: str = "") -> str:
    prefix = f"{family}_"
    advice = f': write "{number.removeprefix(prefix)}"' if family and number.startswith(prefix) else ""
    return f"{shown(number)} is no version, which is numbers with dots between (2.28){advice}"


def _targets(value: Any) -> Iterator[Objection]:
    from linkscope.policy.targets.catalogue import UnknownTarget, target  # their tables are read only for this

    for i, name in enumerate([value] if isinstance(value, str) else value):
        try:
            target(name)
        except UnknownTarget as unknown:
            yield (i,) if not isinstance(value, str) else (), f"{shown(name)} {unknown.reason}"


def _allowed(value: Any) -> Iterator[Objection]:
    if not value:
        yield (), "an empty list asks for nothing; leave the key out, or name what is allowed"
    yield from _names(value)


def _names(value: Any) -> Iterator[Objection]:
    for i, name in enumerate(value):
        if not name.strip():
            yield (i,), "the name is empty"
        elif "," in name or name != name.strip():
            yield (i,), f"{shown(name)} is not one name"


def _embedded(value: Any) -> Iterator[Objection]:
    from linkscope.contents.upstream import key, semantic_key  # only this setting has versions of other projects

    for name, version in value.items():
        if key(version) is None and semantic_key(version) is None:
            yield (name,), f"{shown(version)} is no version that others can be compared with (1.2.13, 1.1.1t)"


_CHECKS: Mapping[str, Callable[[object], Iterator[Objection]]] = {
    "floors": _versions,
    "target": _targets,
    "allow": _allowed,
    "interpreters": _allowed,
    "forbid": _names,
    "embedded": _embedded,
}

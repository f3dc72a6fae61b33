"""`unresolved-symbol`: a symbol that nothing defines."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.model.inspect import Unresolved
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.targets.undefined import Undefined, undefined
from linkscope.policy.verdicts import TargetSettings, only_everywhere

_SHOWN = 10


def _check(subject: Subject, settings: TargetSettings) -> Iterator[Fault]:
    """For targets what they do not define either; the versions of all else are judged for each of them."""
    if only_everywhere(subject, settings):
        yield from _elsewhere(subject)
    else:
        yield from _here(subject)


def _elsewhere(subject: Subject) -> Iterator[Fault]:
    """A note where another release of a library may have what this machine's lacks."""
    by_symbol: dict[str, list[Undefined]] = {}
    for one in undefined(subject):
        by_symbol.setdefault(_name(one.reference), []).append(one)
    for name, found in by_symbol.items():
        fault = _fault(name, [one.reference for one in found], *dict.fromkeys(one.because for one in found))
        certain = any(one.everywhere for one in found)
        yield fault if certain else msgspec.structs.replace(fault, level="note")


def _here(subject: Subject) -> Iterator[Fault]:
    """Nothing where the start is over before symbols are bound: they may be in the very library that is missing."""
    over = any(problem.fatal and problem.code != "unresolved-symbol" for problem in subject.file.problems)
    if over or not subject.searched:
        return
    found = subject.file.unresolved or ()
    by_symbol: dict[str, list[Unresolved]] = {}
    left_to_the_program: dict[str, None] = {}
    for one in found:
        if subject.file.kind == "executable" or one.version is not None:
            by_symbol.setdefault(_name(one), []).append(one)
        else:
            left_to_the_program[one.symbol] = None
    for name, places in by_symbol.items():
        yield _fault(name, places)
    if left_to_the_program:
        names = list(left_to_the_program)
        more = (f"and {len(names) - _SHOWN} more",) if len(names) > _SHOWN else ()
        what = f"leaves {len(names)} symbol{'s' if len(names) > 1 else ''} to the program that loads it"
        yield Fault("", what, (*names[:_SHOWN], *more), level="note")


def _name(one: Unresolved) -> str:
    return f"{one.symbol}@{one.version}" if one.version else one.symbol


def _fault(name: str, places: list[Unresolved], *because: str) -> Fault:
    fatal = any(one.fails == "start" for one in places)
    when = "the program does not start" if fatal else "the program ends when it first calls it"
    evidence = tuple(dict.fromkeys(f"referred to by {one.needed_by}" for one in places))
    message = f"nothing that is loaded defines {name}: {when}"
    return Fault(name, message, (*evidence, *because), level=None if fatal else "warning")


RULE = Rule(
    id="unresolved-symbol",
    level="error",
    summary="A symbol is undefined in everything that would be loaded.",
    why=(
        "Data, and functions of a file that binds them at once, are looked up at the start, which ends there. Other "
        "functions are looked up at their first call. A library may leave symbols without a version to the program "
        "that loads it, as Python's extension modules do: that is a note. Where targets are named, what another "
        "release of a library of the system may define is a note too."
    ),
    remedy="Link with the library that defines it, or ship the build of the library that the file was linked with.",
    check=_check,
    settings=TargetSettings,
    needs=frozenset(("symbols",)),
)

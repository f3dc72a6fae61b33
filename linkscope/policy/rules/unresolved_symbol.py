"""`unresolved-symbol`: a symbol that nothing defines."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.model.inspect import Unresolved
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject

_SHOWN = 10


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """Nothing where the start is over before symbols are bound: they may be in the very library that is missing."""
    over = any(problem.fatal and problem.code != "unresolved-symbol" for problem in subject.file.problems)
    if over or not subject.searched:
        return
    found = subject.file.unresolved or ()
    by_symbol: dict[str, list[Unresolved]] = {}
    left_to_the_program: dict[str, None] = {}
    for one in found:
        if subject.file.kind == "executable" or one.version is not None:
            name = f"{one.symbol}@{one.version}" if one.version else one.symbol
            by_symbol.setdefault(name, []).append(one)
        else:
            left_to_the_program[one.symbol] = None
    for name, places in by_symbol.items():
        yield _fault(name, places)
    if left_to_the_program:
        names = list(left_to_the_program)
        more = (f"and {len(names) - _SHOWN} more",) if len(names) > _SHOWN else ()
        what = f"leaves {len(names)} symbol{'s' if len(names) > 1 else ''} to the program that loads it"
        yield Fault("", what, (*names[:_SHOWN], *more), level="note")


def _fault(name: str, places: list[Unresolved]) -> Fault:
    fatal = any(one.fails == "start" for one in places)
    when = "the program does not start" if fatal else "the program ends when it first calls it"
    evidence = tuple(dict.fromkeys(f"referred to by {one.needed_by}" for one in places))
    return Fault(name, f"nothing that is loaded defines {name}: {when}", evidence, level=None if fatal else "warning")


RULE = Rule(
    id="unresolved-symbol",
    level="error",
    summary="A symbol is undefined in everything that would be loaded.",
    why=(
        "Data, and functions of a file that binds them at once, are looked up at the start, which ends there. Other "
        "functions are looked up at their first call. A library may leave symbols without a version to the program "
        "that loads it, as Python's extension modules do: that is a note."
    ),
    remedy="Link with the library that defines it, or ship the build of the library that the file was linked with.",
    check=_check,
    needs=frozenset(("symbols",)),
    scope="started",
)

"""`undeclared-library`: a library whose symbols are used, and that is not needed."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject

_SHOWN = 5


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    sonames = {entry.path: entry for entry in subject.file.closure if entry.path is not None}
    for one in subject.borrowed or ():
        entry = sonames.get(one.library)
        name = entry.soname if entry else one.library
        more = (f"and {len(one.symbols) - _SHOWN} more",) if len(one.symbols) > _SHOWN else ()
        by_way = tuple(f"loaded for {asker}" for asker in entry.needed_by) if entry else ()
        yield Fault(name, f"uses {name} without needing it", (*one.symbols[:_SHOWN], *more, *by_way))


RULE = Rule(
    id="undeclared-library",
    level="warning",
    summary="Symbols of a library are used that the file does not name among its needs.",
    why=(
        "The library is loaded only because another one needs it. Once that one is built without it, the program "
        "does not start any more, or ends at the first call."
    ),
    remedy="Add the library to the link (`-lNAME`); `-Wl,--no-allow-shlib-undefined,-z,defs` shows where it lacks.",
    check=_check,
    needs=frozenset(("symbols",)),
    scope="started",
)

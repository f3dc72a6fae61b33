"""`unused-library`: a needed library that provides no symbol."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    names = {entry.path: entry.requested for entry in subject.file.closure if entry.path is not None}
    for path in subject.file.unused or ():
        name = names.get(path, path)
        yield Fault(name, f"needs {name} and uses none of its symbols", (f"{path} serves it with no symbol",))


RULE = Rule(
    id="unused-library",
    level="note",
    summary="A library is needed, and none of its symbols is used.",
    why=(
        "It is looked for, mapped and relocated at every start, and has to be on every target, for nothing. A library "
        "that acts by being loaded is needed all the same."
    ),
    remedy="Leave it out of the link, or link with `-Wl,--as-needed` before it.",
    check=_check,
    needs=frozenset(("symbols",)),
    scope="started",
)

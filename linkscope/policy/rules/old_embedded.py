"""`old-embedded`: a library that was linked into the file is older than asked for."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.ages import Settings, of_age
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    yield from of_age(subject, settings, "older")


RULE = Rule(
    id="old-embedded",
    level="error",
    summary="A library that was linked into the file is older than asked for.",
    why=(
        "What is linked in statically stays as it was when the file was built: no update of the system mends it, and "
        "no package manager lists it. What does not tell its version is told by `undated-embedded`."
    ),
    remedy="Build again with the newer library, module or crate; `linkscope inspect --contents FILE` shows all.",
    check=_check,
    settings=Settings,
    asked=("embedded",),
    needs=frozenset(("contents",)),
)

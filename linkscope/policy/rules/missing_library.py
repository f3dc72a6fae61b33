"""`missing-library`: a needed library is found nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    for problem in subject.file.problems:
        if problem.code == "missing-library":
            asker = f"needed by {problem.needed_by}"
            yield Fault(problem.subject, problem.message, (asker, *problem.remedies))


RULE = Rule(
    id="missing-library",
    level="error",
    summary="A needed library is found nowhere, so that the program does not start.",
    why="The loader ends a start as soon as one library of the closure is missing, whether or not it is ever used.",
    remedy=(
        "Install the library, ship it beside the program with RUNPATH $ORIGIN, or link without it; "
        "`linkscope why FILE LIBRARY` shows where the loader looks."
    ),
    check=_check,
    scope="started",
)

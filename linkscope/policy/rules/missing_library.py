"""`missing-library`: a needed library is found nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.loader.remedies.hints import nothing_near
from linkscope.policy.problems import faults
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject

_NOT_SEARCHED = (
    "is shipped with it, and no search path leads there: link the program with one that does; or, if all this is to be "
    "installed in /, check the package that is made of it, or name a system that has it (--root)"
)


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """A library may find by its program what it does not find by itself: where that is shipped too, it is a warning.

    No hint knows what is checked as a whole. It may hold what is neither searched nor near.
    """
    if subject.foreign:
        return
    for fault in faults(subject, "missing-library"):
        shipped = subject.within(fault.subject)
        other = tuple(line for line in fault.evidence if line != nothing_near(fault.subject))
        if shipped is None:
            yield fault
        elif subject.file.kind == "shared-library":
            hint = f"{shipped} is shipped with it: the program that loads both has to find that one first"
            yield msgspec.structs.replace(fault, evidence=(*other, hint), level="warning")
        elif other == fault.evidence:
            yield fault
        else:
            yield msgspec.structs.replace(fault, evidence=(*other, f"{shipped} {_NOT_SEARCHED}"))


RULE = Rule(
    id="missing-library",
    level="error",
    summary="A needed library is found nowhere, so that the program does not start.",
    why=(
        "The loader ends a start as soon as one library of the closure is missing, whether or not it is ever used. A "
        "library is judged as if it was loaded by itself; where the release holds what it lacks, its program may find "
        "that for it, and this is a warning."
    ),
    remedy=(
        "Install the library, ship it beside the program with RUNPATH $ORIGIN, or link without it; "
        "`linkscope why FILE LIBRARY` shows where the loader looks."
    ),
    check=_check,
    scope="started",
)

"""`missing-library`: a needed library is found nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.policy.problems import faults
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """A library may find by its program what it does not find by itself: where that is shipped too, it is a warning."""
    if subject.foreign:
        return
    for fault in faults(subject, "missing-library"):
        shipped = subject.within(fault.subject) if subject.file.kind == "shared-library" else None
        if shipped is None:
            yield fault
        else:
            hint = f"{shipped} is shipped with it: the program that loads both has to find that one first"
            yield msgspec.structs.replace(fault, evidence=(*fault.evidence, hint), level="warning")


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

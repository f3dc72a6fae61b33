"""`missing-library`: a needed library is found nowhere."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="missing-library",
    level="error",
    summary="A needed library is found nowhere, so that the program does not start.",
    why=("The loader ends a start as soon as one library of the closure is missing, whether or not it is ever used."),
    remedy=(
        "Install the library, ship it beside the program with RUNPATH $ORIGIN, or link without it; `linkscope "
        "why FILE LIBRARY` shows where the loader looks."
    ),
    check=of_start("missing-library"),
    scope="started",
)

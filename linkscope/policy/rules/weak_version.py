"""`weak-version`: a version that is absent and only warned about."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="weak-version",
    level="warning",
    summary="A symbol version that is marked weak is not defined; the loader warns at each start.",
    why=(
        "With VER_FLG_WEAK the program starts all the same, prints a warning, and has the weak symbols of "
        "that version undefined."
    ),
    remedy=(
        "Install a newer version of the library that should define it, or build on a system as old as the "
        "oldest target."
    ),
    check=of_start("weak-version"),
    scope="started",
)

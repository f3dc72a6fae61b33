"""`missing-version`: a symbol version that no library at hand defines."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="missing-version",
    level="error",
    summary="A symbol version that the file asks for is not defined, so that the program does not start.",
    why=(
        "glibc checks every version of DT_VERNEED at the start, whether or not a symbol with that version is "
        "ever used, also for weak references."
    ),
    remedy=(
        "Install a newer version of the library that should define it, or build on a system as old as the "
        "oldest target."
    ),
    check=of_start("missing-version"),
    scope="started",
)

"""`interpreter-not-in-target`: the target has another dynamic loader."""

from __future__ import annotations

from linkscope.policy.rule import Rule
from linkscope.policy.verdicts import TargetSettings, of_verdict

RULE = Rule(
    id="interpreter-not-in-target",
    level="error",
    summary="The program interpreter (PT_INTERP) is not where the target has its dynamic loader.",
    why=(
        "The kernel starts the interpreter in the program's place. Where it is absent, the program does not "
        "start, as one for glibc on Alpine."
    ),
    remedy="Build with the target's C library, or link statically.",
    check=of_verdict("interpreter"),
    settings=TargetSettings,
    asked=("target",),
)

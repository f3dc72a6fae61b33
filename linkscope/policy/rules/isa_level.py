"""`isa-level`: an object asks for a better CPU than the one at hand."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="isa-level",
    level="error",
    summary="The file or one of its libraries asks for a better CPU than the one that is assumed.",
    why=("glibc compares GNU_PROPERTY_X86_ISA_1_NEEDED with the CPU, and ends the start where the CPU has less."),
    remedy=(
        "Build without `-z x86-64-v3` and the like, or put such a build below glibc-hwcaps with a baseline "
        "build beside it."
    ),
    check=of_start("isa-level"),
    scope="started",
)

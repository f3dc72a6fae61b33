"""`bad-interpreter`: the kernel refuses the program interpreter."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="bad-interpreter",
    level="error",
    summary="The program interpreter is there, and the kernel refuses it.",
    why=(
        "PT_INTERP must name an executable ELF file for the same machine: the kernel maps it beside the "
        "program and starts it in the program's place."
    ),
    remedy=(
        "Link with `-Wl,--dynamic-linker=` and the loader's path on the target, or install the loader for this machine."
    ),
    check=of_start("bad-interpreter"),
    scope="started",
)

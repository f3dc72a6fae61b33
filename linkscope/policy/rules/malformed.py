"""`malformed`: headers that contradict themselves."""

from __future__ import annotations

from linkscope.policy.problems import of_file
from linkscope.policy.rule import Rule

RULE = Rule(
    id="malformed",
    level="error",
    summary="The headers or tables of the file contradict themselves or the file.",
    why="Kernel, loader and tools then read different things out of one file; some of them refuse it.",
    remedy=("Build the file anew; if a tool has changed it afterwards (strip, patchelf, a packer), look there first."),
    check=of_file("malformed"),
)

"""`cpu-above-target`: the target runs on lesser CPUs too."""

from __future__ import annotations

from linkscope.policy.rule import Rule
from linkscope.policy.verdicts import TargetSettings, of_verdict

RULE = Rule(
    id="cpu-above-target",
    level="error",
    summary="The file asks for a better CPU than every computer of the target has.",
    why="glibc refuses to start it on a CPU of a lower x86-64 level.",
    remedy="Build for the target's own baseline, without `-march=x86-64-v3` and `-z x86-64-v3`.",
    check=of_verdict("cpu"),
    settings=TargetSettings,
    asked=("target",),
)

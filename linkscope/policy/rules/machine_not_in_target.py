"""`machine-not-in-target`: the target has no such architecture."""

from __future__ import annotations

from linkscope.policy.rule import Rule
from linkscope.policy.verdicts import TargetSettings, of_verdict

RULE = Rule(
    id="machine-not-in-target",
    level="error",
    summary="The file is for a machine that the target does not have.",
    why="A program for another architecture, class or byte order does not start there.",
    remedy="Build for the target's architecture, or name the target that is meant.",
    check=of_verdict("machine"),
    settings=TargetSettings,
    asked=("target",),
)

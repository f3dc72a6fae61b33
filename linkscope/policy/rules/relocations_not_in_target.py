"""`relocations-not-in-target`: compact relocations that the target's loader does not know."""

from __future__ import annotations

from linkscope.policy.rule import Rule
from linkscope.policy.verdicts import TargetSettings, of_verdict

RULE = Rule(
    id="relocations-not-in-target",
    level="error",
    summary="The file has compact relocations (DT_RELR) that the target's loader does not know.",
    why="A loader that does not know them leaves them out, and the program crashes.",
    remedy="Link with `-z nopack-relative-relocs`.",
    check=of_verdict("relocations"),
    settings=TargetSettings,
    asked=("target",),
)

"""`missing-auxiliary`: an auxiliary filtee that is not there."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="missing-auxiliary",
    level="note",
    summary="An auxiliary library (DT_AUXILIARY) is not found, and the loader goes on without a word.",
    why="The better variant for which the filter stands is never used.",
    remedy="Ship the auxiliary library, or link without `-Wl,--auxiliary`.",
    check=of_start("missing-auxiliary", otherwise="note"),
    scope="started",
)

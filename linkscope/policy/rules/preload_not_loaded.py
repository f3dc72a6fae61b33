"""`preload-not-loaded`: a preload that is not loaded."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="preload-not-loaded",
    level="warning",
    summary="A library that should be preloaded is not found or is refused; the program starts without it.",
    why="What the preload should have replaced is not replaced, and only a line on standard error says so.",
    remedy="Give the preload by its full path, and for the program's own machine.",
    check=of_start("missing-preload", "bad-preload"),
    scope="started",
)

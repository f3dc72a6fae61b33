"""`symbol-not-in-target`: a symbol that the target's C library does not have."""

from __future__ import annotations

from linkscope.policy.rule import Rule
from linkscope.policy.verdicts import TargetSettings, of_verdict

RULE = Rule(
    id="symbol-not-in-target",
    level="error",
    summary="A symbol is used that the target does not have.",
    why=(
        "musl has no symbol versions: what a release of it lacks shows only when the symbol is looked up, at the "
        "start with musl."
    ),
    remedy="Build with the target's own release of musl, or avoid the symbol.",
    check=of_verdict("symbol"),
    settings=TargetSettings,
    asked=("target",),
)

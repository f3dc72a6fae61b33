"""`library-not-in-target`: a library that is absent from the target's minimal install."""

from __future__ import annotations

from linkscope.policy.rule import Rule
from linkscope.policy.verdicts import TargetSettings, of_verdict

RULE = Rule(
    id="library-not-in-target",
    level="error",
    summary="A needed library is not part of a minimal install of the target.",
    why=(
        "On a system as it is first installed, or in a container of it, the library is missing and the program "
        "does not start."
    ),
    remedy=(
        "Declare the package as a dependency and waive this, ship the library beside the program, or link it "
        "statically."
    ),
    check=of_verdict("library"),
    settings=TargetSettings,
    asked=("target",),
)

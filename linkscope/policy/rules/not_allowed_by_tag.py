"""`not-allowed-by-tag`: what a wheel's platform tag does not allow."""

from __future__ import annotations

from linkscope.policy.rule import Rule
from linkscope.policy.verdicts import TargetSettings, of_verdict

RULE = Rule(
    id="not-allowed-by-tag",
    level="error",
    summary="The file does what the platform tag of a wheel does not allow.",
    why=(
        "Installers trust the tag: a wheel that asks for more than the tag allows fails on systems for which it "
        "was chosen."
    ),
    remedy="Give the wheel a tag that fits (`auditwheel repair` chooses one), or build in the image of the tag.",
    check=of_verdict("tag"),
    settings=TargetSettings,
    asked=("target",),
)

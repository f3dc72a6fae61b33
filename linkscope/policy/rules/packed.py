"""`packed`: a program that unpacks itself."""

from __future__ import annotations

from linkscope.policy.problems import of_file
from linkscope.policy.rule import Rule

RULE = Rule(
    id="packed",
    level="warning",
    summary="The program is packed, so that nothing can be said of what is inside.",
    why=(
        "What is checked is the unpacking stub: linkage, libraries, versions and hardening of the real "
        "program show only when it runs."
    ),
    remedy=(
        "Check the program before it is packed, or ship it unpacked; `upx -d` unpacks a copy. With --unpack, what is "
        "forbidden or too old is looked for in what was packed."
    ),
    check=of_file("packed"),
)

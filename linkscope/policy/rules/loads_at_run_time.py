"""`loads-at-run-time`: a static program that still opens libraries."""

from __future__ import annotations

from linkscope.policy.problems import of_file
from linkscope.policy.rule import Rule

RULE = Rule(
    id="loads-at-run-time",
    level="warning",
    summary="The program is static, and still opens shared libraries of the system when it runs.",
    why=(
        "glibc's name services, iconv and dlopen load libraries of exactly the glibc that the program was "
        "linked with; with another one they fail or crash."
    ),
    remedy="Link with musl, leave out the name services, iconv and dlopen, or link dynamically.",
    check=of_file("loads-at-run-time"),
)

"""`filter-ring`: filters that filter one another."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="filter-ring",
    level="error",
    summary="Libraries filter one another in a ring, so that the loader never comes to an end.",
    why=(
        "Each filtee is put before its filter; with a ring of them glibc goes on until it runs out of memory "
        "or crashes."
    ),
    remedy="Break the ring: link one of the libraries without `-Wl,--filter` or `-Wl,--auxiliary`.",
    check=of_start("filter-ring"),
    scope="started",
)

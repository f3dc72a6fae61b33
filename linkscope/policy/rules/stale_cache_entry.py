"""`stale-cache-entry`: the loader's cache names a file that is gone."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="stale-cache-entry",
    level="warning",
    summary="The loader's cache names a file that is gone.",
    why=(
        "The loader tries only the best entry of a name: where its file is gone, no other entry is tried, and "
        "only the default folders are left."
    ),
    remedy="Run `ldconfig` in the root in which the program is started.",
    check=of_start("stale-cache-entry"),
    scope="started",
)

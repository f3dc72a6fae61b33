"""`bad-candidate`: the search for a library ends at a file that the loader refuses."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="bad-candidate",
    level="error",
    summary="The search for a library ends at a file that the loader refuses, so that the program does not start.",
    why=(
        "Some files end the search instead of being passed over: a text file, an empty file, a folder, a "
        "library of the other byte order, a program."
    ),
    remedy=(
        "Remove the file, or put the right library in its place; `linkscope why FILE LIBRARY` shows what the "
        "loader meets on its way."
    ),
    check=of_start("bad-candidate"),
    scope="started",
)

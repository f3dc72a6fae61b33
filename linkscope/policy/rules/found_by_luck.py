"""`found-by-luck`: a library that is found only because something else had loaded it."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="found-by-luck",
    level="warning",
    summary="A library is found only because another object had loaded it before.",
    why=(
        "The object that needs it has no search path to it. Any change of the order, or a start of that "
        "object by itself, and the library is missing."
    ),
    remedy="Give the object that needs the library a RUNPATH of its own, such as `$ORIGIN`.",
    check=of_start("by-luck"),
    scope="started",
)

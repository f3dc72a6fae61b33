"""`version-floor`: a version of another library is needed that a target, or the policy's floor, does not have."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.floors import FloorSettings, floor_faults
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, settings: FloorSettings) -> Iterator[Fault]:
    yield from floor_faults(subject, settings, lambda family: family != "GLIBC")


RULE = Rule(
    id="version-floor",
    level="error",
    summary="A newer version of a library's symbols is needed (GLIBCXX, CXXABI, GCC …) than a target has.",
    why=(
        "Symbols of libstdc++, libgcc, OpenSSL and others carry versions as glibc's do, and the program does not start "
        "where one of them is absent."
    ),
    remedy=(
        "Build with the compiler of the oldest system that is to be served, link the library statically "
        "(`-static-libstdc++ -static-libgcc`), or ship it beside the program."
    ),
    check=_check,
    settings=FloorSettings,
    asked=("floors", "target"),
)

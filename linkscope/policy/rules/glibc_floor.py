"""`glibc-floor`: a version of glibc is needed that a target, or the policy's floor, does not have."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.floors import FloorSettings, floor_faults
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, settings: FloorSettings) -> Iterator[Fault]:
    yield from floor_faults(subject, settings, lambda family: family == "GLIBC")


RULE = Rule(
    id="glibc-floor",
    level="error",
    summary="A newer glibc is needed than a target has, or than the policy allows.",
    why=(
        "The highest version among all that the file and its own libraries ask for decides on which systems they "
        "start. It comes from the system on which they were linked, not from what the program does."
    ),
    remedy=(
        "Build on the oldest system that is to be served (a container of it, or manylinux; `zig cc -target "
        "x86_64-linux-gnu.2.28`), avoid the symbols that are named, or link statically with musl. For "
        "GLIBC_ABI_DT_RELR link with `-z nopack-relative-relocs`."
    ),
    check=_check,
    settings=FloorSettings,
    asked=("floors", "target"),
)

"""`cpu-level`: the file asks for an x86-64 level above the baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject

_LEVELS = {"": 0, "baseline": 1, "x86-64": 1, "x86-64-v1": 1, "x86-64-v2": 2, "x86-64-v3": 3, "x86-64-v4": 4}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """cpu: the least CPU on which the release has to start, "" for none that was named."""

    cpu: Literal["", "baseline", "x86-64", "x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"] = ""


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    level = subject.cpu_level
    allowed = _LEVELS[settings.cpu]
    if level <= max(allowed, 1):
        return
    name = f"x86-64-v{level}"
    evidence = (f"GNU_PROPERTY_X86_ISA_1_NEEDED: {name}",)
    if allowed:
        yield Fault(name, f"needs a CPU of level {name}, and {settings.cpu} has to do", evidence, level="error")
    else:
        yield Fault(name, f"needs a CPU of level {name}; glibc refuses to start it on a lesser one", evidence)


RULE = Rule(
    id="cpu-level",
    level="note",
    summary="The file asks for a CPU of level x86-64-v2, v3 or v4.",
    why=(
        "glibc refuses such a file on a lesser CPU. A file can use such instructions without saying so; only what it "
        "says (`-z x86-64-v3`) is seen here."
    ),
    remedy="Build for the level of the oldest computers that are to run it; the setting `cpu` says which that is.",
    check=_check,
    settings=Settings,
)

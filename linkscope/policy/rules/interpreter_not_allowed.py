"""`interpreter-not-allowed`: PT_INTERP is none of those that the policy names."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.policy.globs import matches
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """interpreters: paths or globs; () allows every one."""

    interpreters: tuple[str, ...] = ()


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    interpreter = subject.file.interpreter
    if interpreter is None or subject.file.kind != "executable":
        return
    if not any(matches(interpreter, glob) for glob in settings.interpreters):
        allowed = ", ".join(settings.interpreters)
        yield Fault(interpreter, f"is started through {interpreter}, and the policy allows {allowed}")


RULE = Rule(
    id="interpreter-not-allowed",
    level="error",
    summary="The program is started through an interpreter (PT_INTERP) that the policy does not allow.",
    why=(
        "The interpreter decides which C library the program has and on which systems it starts: a program for musl "
        "starts where musl's loader is, one from Nix where that very store path is."
    ),
    remedy="Link with `-Wl,--dynamic-linker=PATH` and the compiler of the C library that is meant.",
    check=_check,
    settings=Settings,
    asked=("interpreters",),
)

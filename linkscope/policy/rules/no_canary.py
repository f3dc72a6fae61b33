"""`no-canary`: nothing notices that the stack was overrun."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.model.inspect import File
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped, language_without_canaries, packer_of, untold, untold_of_packed, without_c

_WHAT = "whether it has a stack canary"


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    file = subject.file
    if not is_mapped(file) or without_c(file):
        return
    packer = packer_of(file)
    if packer:
        yield untold_of_packed(_WHAT, packer)
    elif file.hardening.canary is None and ".symtab" in subject.sections:
        because = "the C library inside may have brought the one that is seen"
        yield untold(_WHAT + " of its own", because, ("__stack_chk_fail is among its symbols",))
    elif file.hardening.canary is None:
        yield untold(_WHAT, "its symbols are stripped, and all its code is its own, so that no name is left to show it")
    elif not file.hardening.canary:
        yield _without(file)


def _without(file: File) -> Fault:
    shown = ("no symbol __stack_chk_fail",)
    language = language_without_canaries(file)
    if language:
        told = f"has no stack canary: {language}'s compiler makes none, and C code inside, if there is any, has none"
        return Fault("", told, shown, level="note")
    return Fault("", "has no stack canary: not compiled with one, or no function needs it", shown)


RULE = Rule(
    id="no-canary",
    level="note",
    summary="No function checks a canary on the stack before it returns.",
    why=(
        "Data that overruns a buffer on the stack can replace the return address unnoticed. The symbol that a failed "
        "check calls is what shows the check: a stripped static file cannot tell, a static one shows its C library's, "
        "and code of Go and Rust has none by design."
    ),
    remedy="Compile with `-fstack-protector-strong`.",
    check=_check,
)

"""`partial-relro`: the slots of functions stay writable."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.elf.protections import has_slots
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped, untold


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    file = subject.file
    if not is_mapped(file) or (file.linkage == "static" and file.libc.family == "musl"):
        return
    if file.hardening.relro is None:
        told = "a static file without section headers does not show where the slots of its indirect functions lie"
        yield untold("whether RELRO covers everything", told)
    elif file.hardening.relro == "partial":
        static = "indirect functions" if file.linkage == "static" else "functions"
        message = f"its RELRO leaves out the slots of {static}, which stay writable"
        if file.hardening.bind_now is None:
            yield Fault("", message, (".got.plt is not inside PT_GNU_RELRO",))
        elif has_slots(subject.image):
            yield Fault("", message, ("BIND_NOW is absent",))


RULE = Rule(
    id="partial-relro",
    level="note",
    summary="RELRO leaves out the slots through which functions are called.",
    why=(
        "Slots that are filled at the first call of a function have to stay writable, and what overwrites one of them "
        "decides what is called. In static programs these are the functions that are chosen by the CPU (IFUNC); musl "
        "has none, and protects nothing of a static program."
    ),
    remedy="Link with `-z now` beside `-z relro`; the loader then fills all slots at the start.",
    check=_check,
)

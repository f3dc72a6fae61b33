"""`lazy-binding`: functions are looked up at their first call."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.elf.protections import has_slots
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    file = subject.file
    # A static program binds nothing, a loader itself all that it has, and musl's loader everything at the start
    # (musl wiki, Functional differences from glibc).
    if file.hardening.bind_now is not False or file.linkage == "static" or file.kind == "interpreter":
        return
    if file.libc.family != "musl" and has_slots(subject.image):
        yield Fault("", "looks its functions up when they are first called", ("BIND_NOW is absent",))


RULE = Rule(
    id="lazy-binding",
    level="note",
    summary="Functions are looked up when they are first called, and not at the start.",
    why=(
        "A function that no library has then ends the program at some later time, and the slots of all of them have "
        "to stay writable while it runs (see partial-relro)."
    ),
    remedy="Link with `-z now`; setting LD_BIND_NOW when the program is started does the same for once.",
    check=_check,
)

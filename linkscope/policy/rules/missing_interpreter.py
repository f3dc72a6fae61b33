"""`missing-interpreter`: PT_INTERP names a file that is not there."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.policy.problems import faults
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """Nothing of a library that names none, and is used where there is a loader for it (`not-judged`)."""
    if not subject.foreign and subject.file.interpreter is not None:
        for fault in faults(subject, "missing-interpreter"):
            yield msgspec.structs.replace(fault, evidence=(f"PT_INTERP {subject.file.interpreter}",))


RULE = Rule(
    id="missing-interpreter",
    level="error",
    summary="The program interpreter (PT_INTERP) does not exist, so that the program does not start.",
    why=(
        "The kernel starts the interpreter in the program's place. Where it is absent, the shell says `No such file or "
        "directory` of the program itself, as on Alpine of a program for glibc, and on other systems of one from Nix."
    ),
    remedy=(
        "Install the C library that the program was linked for, link with `-Wl,--dynamic-linker=` and the target's own "
        "loader, or link statically."
    ),
    check=_check,
    scope="started",
)

"""`not-pie`: a program at the same address in every run."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    if subject.file.pie is False:
        yield Fault("", "is no PIE: its code is at the same address in every run", ("the ELF type is EXEC",))


RULE = Rule(
    id="not-pie",
    level="warning",
    summary="The program is not position-independent, so that its code is at the same address in every run.",
    why=(
        "Address space randomisation (ASLR) leaves it where it is, and an attacker knows where its code lies. Static "
        "programs can be position-independent too (static-pie); libraries always are, and are not asked."
    ),
    remedy=(
        "Compile with `-fPIE` and link with `-pie` (static: `-static-pie`); in Go build with `-buildmode=pie`, in Rust "
        "leave `relocation-model` at its default."
    ),
    check=_check,
)

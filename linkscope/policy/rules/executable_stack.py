"""`executable-stack`: the file asks for a stack that can be executed."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    if subject.file.hardening.nx is False:
        yield Fault("", "asks for an executable stack", ("PT_GNU_STACK is absent, or has PF_X",))


RULE = Rule(
    id="executable-stack",
    level="warning",
    summary="The file asks for a stack that can be executed.",
    why="What is written to the stack can then be run as code. From glibc 2.41 dlopen refuses such a library.",
    remedy='Add `.section .note.GNU-stack,"",@progbits` to assembly sources, or link with `-z noexecstack`.',
    check=_check,
)

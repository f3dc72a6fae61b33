"""`executable-stack`: the file asks for a stack that can be executed."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.elf import constants as c
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    if subject.file.hardening.nx is not False:
        return
    if subject.image.segment(c.PT_GNU_STACK) is None:
        told = "PT_GNU_STACK is absent, which stands for an executable stack on this machine"
        yield Fault("", "does not say that its stack need not be executable, and so gets one that is", (told,))
    else:
        yield Fault("", "asks for an executable stack", ("PT_GNU_STACK has PF_X",))


RULE = Rule(
    id="executable-stack",
    level="warning",
    summary="The file asks for a stack that can be executed.",
    why=(
        "What is written to the stack can then be run as code; a library with this makes the stacks of every program "
        "that loads it executable, and from glibc 2.41 on dlopen refuses it."
    ),
    remedy=(
        'Add `.section .note.GNU-stack,"",@progbits` to assembly sources (one object without it is enough to cause '
        "this), avoid nested functions in C, or link with `-z noexecstack`."
    ),
    check=_check,
)

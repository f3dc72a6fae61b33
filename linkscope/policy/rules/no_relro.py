"""`no-relro`: what the loader has relocated stays writable."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.model.inspect import File
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import packer_of, untold_of_packed

# The C libraries whose start code protects the area in a static program as well: glibc csu/libc-start.c and
# elf/dl-support.c, _dl_non_dynamic_init. Under others nobody reads PT_GNU_RELRO of a static program: musl protects it
# in ldso/dynlink.c alone, and the kernel never does.
_ACT_ON_IT = frozenset(("glibc", "bionic", "unknown"))


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    file = subject.file
    if file.hardening.relro != "none" or not _somebody_acts_on_it(file):
        return
    packer = packer_of(file)
    if packer:
        yield untold_of_packed("whether it has RELRO", packer)
    else:
        yield Fault("", "has no RELRO: what is relocated at its start stays writable", ("PT_GNU_RELRO is absent",))


def _somebody_acts_on_it(file: File) -> bool:
    return file.linkage != "static" or file.libc.family in _ACT_ON_IT


RULE = Rule(
    id="no-relro",
    level="note",
    summary="What is relocated at the start (RELRO) stays writable.",
    why=(
        "The tables through which the program calls functions can then be overwritten when it runs. A static program "
        "is asked only if its C library protects that area (glibc does, musl and Go do not)."
    ),
    remedy="Link with `-z relro -z now`.",
    check=_check,
)

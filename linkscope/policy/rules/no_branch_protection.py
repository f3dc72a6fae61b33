"""`no-branch-protection`: the CPU does not check where jumps and returns lead."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.elf import constants as c
from linkscope.model.inspect import Hardening
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import packer_of, untold_of_packed


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    # Linux has shadow stacks for 64-bit programs alone (arch/x86/Kconfig, X86_USER_SHADOW_STACK).
    if subject.image.machine == c.EM_386:
        return
    absent = list(_absent(subject.file.hardening))
    if not absent:
        return
    packer = packer_of(subject.file)
    if packer:
        yield untold_of_packed("whether its branches are protected", packer)
    else:
        yield Fault("", f"is not marked for {' and '.join(absent)}", ("its GNU property note does not say so",))


def _absent(hardening: Hardening) -> Iterator[str]:
    if hardening.cet is False:
        yield "CET (IBT and shadow stack)"
    if hardening.bti is False:
        yield "BTI"
    if hardening.pac is False:
        yield "PAC"


RULE = Rule(
    id="no-branch-protection",
    level="note",
    summary="The file is not marked for the CPU's checks of jumps and returns (CET on x86-64, BTI and PAC on arm64).",
    why=(
        "One object without the mark, in the file or among its libraries, switches the check off for all of them. "
        "Distributions differ in whether their compilers set it: Ubuntu, Fedora and Debian 13 on arm64 do."
    ),
    remedy=(
        "Compile everything, assembly too, with `-fcf-protection=full` (x86-64) or `-mbranch-protection=standard` "
        "(arm64); `ld -z cet-report=warning`, or `-z bti-report=warning`, names the objects that lack it."
    ),
    check=_check,
)

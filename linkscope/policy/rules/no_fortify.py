"""`no-fortify`: functions of the C library are called without the variants that check the size of buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped, language_without_canaries, packer_of, untold, untold_of_packed, without_c

_NAMED = 8
_WHAT = "whether it was compiled with _FORTIFY_SOURCE"
# Others have no variants that check (musl, dietlibc): what is compiled for them calls the plain ones in any case.
_HAVE_VARIANTS = frozenset(("glibc", "bionic", "unknown"))


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    file, fortified = subject.file, subject.file.hardening.fortify
    if not is_mapped(file) or file.kind == "interpreter" or without_c(file) or fortified:
        return
    if file.libc.family not in _HAVE_VARIANTS:
        return
    packer = packer_of(file)
    language = language_without_canaries(file)
    if packer:
        yield untold_of_packed(_WHAT, packer)
    elif file.linkage == "static":
        stripped = "its symbols are stripped, and no name is left to show it"
        its_own = "its own calls look like those of the C library inside"
        yield untold(_WHAT, its_own if ".symtab" in subject.sections else stripped)
    elif fortified is False and language:
        yield untold(_WHAT, f"{language}'s own code calls the plain functions in any case, and C code inside may too")
    elif fortified is False:
        told = "is not fortified: it calls functions that have a checking variant, and no such variant"
        yield Fault("", told, _named(subject.unchecked))


def _named(functions: Sequence[str]) -> tuple[str, ...]:
    more = len(functions) - _NAMED
    return (", ".join(functions[:_NAMED]) + (f" and {more} more" if more > 0 else ""),) if functions else ()


RULE = Rule(
    id="no-fortify",
    level="note",
    summary="Functions of the C library are called without checks of the buffers that they write to.",
    why=(
        "With _FORTIFY_SOURCE the compiler calls `__memcpy_chk` and the like wherever it knows the size of a buffer, "
        "and an overrun ends the program. A file that uses no function with such a variant has nothing to fortify; "
        "musl has no such variants."
    ),
    remedy="Compile with `-O2 -D_FORTIFY_SOURCE=2` (or 3), of which the optimisation is needed.",
    check=_check,
)

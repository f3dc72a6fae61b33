"""Symbols that nothing at hand defines, and whether any system may: what a release lacks it lacks wherever it starts.

Symbols are bound over the libraries of the machine at hand. What is undefined there may be defined elsewhere only by a
library of the system: one of another release of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.elf.versions import number_of
from linkscope.model.document import text
from linkscope.model.inspect import Unresolved
from linkscope.policy.subject import Subject
from linkscope.policy.targets.musl_symbols import is_known

# Versions that have the same symbols in every release which has them, and the libraries that define them: glibc's
# (elf/Versions, held to sysdeps/**/*.abilist by `make check-abi`) and GCC's ("ABI Policy and Guidelines" of libstdc++).
_FROZEN = {
    "GLIBC": ("libc.so.", "libm.so.", "libpthread.so.", "libdl.so.", "librt.so.", "libresolv.so.", "ld-", "ld64."),
    "GLIBCXX": ("libstdc++.so.",),
    "CXXABI": ("libstdc++.so.",),
    "GCC": ("libgcc_s.so.",),
}


class Undefined(msgspec.Struct, frozen=True):
    """A strong reference of a part that nothing at hand defines. everywhere: nor does any system; because: why so.

    Otherwise a library of the system may define it in another release, and `because` says which.
    """

    reference: Unresolved
    everywhere: bool
    because: str


def undefined(subject: Subject) -> Iterator[Undefined]:
    """What the parts of a release refer to and nothing at hand defines, but for what is left to another program.

    Nothing where symbols were not bound, or not over all libraries: one is missing, or cannot be read. What musl has in
    a later release than the first that is listed is left out, as it is judged for each target.
    """
    file = subject.file
    stands_in_the_way = any(
        problem.code == "malformed" or (problem.fatal and problem.code != "unresolved-symbol")
        for problem in file.problems
    )
    if not subject.searched or stands_in_the_way:
        return
    parts = {text(part.path) for part in subject.parts}
    musl = file.libc.family == "musl"
    for one in file.unresolved or ():
        versioned = one.version is not None and not musl
        if one.needed_by not in parts or not (versioned or file.kind == "executable"):
            continue
        if versioned:
            yield _of_version(subject, one)
        elif not musl or not is_known(one.symbol):
            yield _without_version(subject, one, musl)


def _of_version(subject: Subject, one: Unresolved) -> Undefined:
    providers = _providers(subject, one)
    told = " and ".join(sorted(providers))
    if not providers:
        return Undefined(one, False, "no library is named that should define it")
    if providers <= subject.brought:
        return Undefined(one, True, f"{told}, which should define it, is brought along")
    family, _ = number_of(one.version or "")
    if all(provider.startswith(_FROZEN.get(family or "", ())) for provider in providers):
        return Undefined(one, True, f"{one.version} has the same symbols wherever it is")
    return Undefined(one, False, f"another release of {told} may define it")


def _without_version(subject: Subject, one: Unresolved, musl: bool) -> Undefined:
    """A linker gives a reference the version of the library that serves it, where that has versions."""
    others = [name for name in subject.unversioned if not (musl and name.startswith(("libc.", "ld-musl-")))]
    if others:
        return Undefined(one, False, f"another release of {' or '.join(others)} may define it")
    if musl:
        return Undefined(one, True, "no release of musl is known to have it")
    return Undefined(one, True, "no library of the system is meant: all have versions, and it was linked without one")


def _providers(subject: Subject, one: Unresolved) -> frozenset[str]:
    """The names of the libraries that should define the version of a reference, as its file has them."""
    return frozenset(
        need.file
        for part in subject.parts
        if text(part.path) == one.needed_by
        for need in part.image.verneed
        if any(text(version.name) == one.version for version in need.versions)
    )

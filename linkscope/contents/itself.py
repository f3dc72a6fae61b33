"""Which of a file's contents the file itself is: a program of its own project, and no library inside of it.

That has to be written down somewhere: by the build (Go's main module, Rust's root package, `.note.package`), or by the
database of the package manager that installed the file. What a file is called says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from linkscope.contents.libraries import library_of
from linkscope.model.inspect import Content

_PLAIN = "generic"
_LANGUAGES = frozenset(("go", "cargo"))


def marked(contents: Sequence[Content], source: str | None = None) -> list[Content]:
    """CONTENTS with `itself` set of those that the file is, by what they say themselves, and by its package.

    source: the source package of the installed package that owns the file; None where nobody knows of one. Its project
    is called as that of an archive is.
    """
    noted = [one.name for one in contents if _is_noted(one)]
    own = noted if len(set(noted)) == 1 else []  # of two packages, one is of somebody whose files were linked in
    projects = {library_of("", name) for name in (source, *own[:1]) if name}
    return [msgspec.structs.replace(one, itself=True) if _is_itself(one, own, projects) else one for one in contents]


def _is_itself(one: Content, noted: Iterable[str], projects: Iterable[str]) -> bool:
    if one.ecosystem == _PLAIN:
        return one.itself or one.name in projects
    return one.itself or _is_main(one) or (_is_noted(one) and one.name in noted)


def _is_noted(one: Content) -> bool:
    """Whether a package note names it (contents.packagenote)."""
    return one.ecosystem not in (_PLAIN, *_LANGUAGES) and any(proof.kind == "note" for proof in one.evidence)


def _is_main(one: Content) -> bool:
    """Source: Go runtime/debug/mod.go (the line `mod` is the main module's); contents.rust has cargo-auditable's."""
    return any(
        (proof.kind == "go-buildinfo" and (proof.text or "").startswith("mod "))
        or (proof.kind == "rust-audit" and (proof.text or "").endswith(" (the program itself)"))
        for proof in one.evidence
    )

"""`library-forbidden`: a library that the policy forbids, loaded or linked in."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

import msgspec

from linkscope.policy.contained import names_of
from linkscope.policy.globs import matches
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """forbid: sonames, globs, or names of what is linked in; () forbids nothing.

    A plain library is named as `contents` has it, a Go module by its path, a crate or anything else with its ecosystem:
    `openssl` is the library, and `cargo:openssl` the crate that binds it.
    """

    forbid: tuple[str, ...] = ()


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    yield from _loaded(subject, settings.forbid)
    for content in subject.file.contents or ():
        names = names_of(content)
        if any(fnmatch.fnmatchcase(name.lower(), glob.lower()) for name in names for glob in settings.forbid):
            version = f" {content.version}" if content.version else ""
            evidence = tuple(found.text or found.archive or found.kind for found in content.evidence)
            yield Fault(names[0], f"holds {names[0]}{version}, which the policy forbids", evidence)


def _loaded(subject: Subject, forbidden: tuple[str, ...]) -> Iterator[Fault]:
    """Over the whole closure; where there is none (a file of another machine), over what the file itself needs."""
    known = {entry.requested for entry in subject.file.closure}
    for entry in {entry.soname: entry for entry in subject.file.closure}.values():
        if any(_names(glob, name) for glob in forbidden for name in {entry.soname, entry.requested}):
            evidence = tuple(f"needed by {asker}" for asker in entry.needed_by)
            yield Fault(entry.soname, f"loads {entry.soname}, which the policy forbids", evidence)
    for name in subject.file.needed:
        if name not in known and any(_names(glob, name) for glob in forbidden):
            yield Fault(name, f"needs {name}, which the policy forbids")
    for name in dict.fromkeys(name for entry in subject.file.dlopen for name in entry.soname):
        if any(_names(glob, name) for glob in forbidden):
            evidence = ("it stands in .note.dlopen",)
            yield Fault(name, f"may open {name} when it runs, which the policy forbids", evidence, level="warning")


def _names(glob: str, soname: str) -> bool:
    """Whether GLOB means the library. A plain name such as `readline` stands for libreadline.so and its versions."""
    if matches(soname, glob):
        return True
    plain = not any(character in glob for character in "*?[/.")
    return plain and matches(soname, f"lib{glob}.so*")


RULE = Rule(
    id="library-forbidden",
    level="error",
    summary="A library is loaded or linked in that the policy forbids.",
    why=(
        "A library may be forbidden for its licence, its faults, or because another one has taken its place. It comes "
        "in by way of other libraries as well, and a static copy is in no list of dependencies."
    ),
    remedy="`linkscope why FILE LIBRARY` shows who asks for it; link that without it, or replace it.",
    check=_check,
    settings=Settings,
    asked=("forbid",),
    needs=frozenset(("contents",)),
)

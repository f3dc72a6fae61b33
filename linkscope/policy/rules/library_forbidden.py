"""`library-forbidden`: a library that the policy forbids, loaded or linked in."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

import msgspec

from linkscope.policy.contained import names_of
from linkscope.policy.globs import matches
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject, Use


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """forbid: libraries by their projects, sonames, or globs; () forbids nothing.

    The name of a project (`zlib`, `openssl`) is about all that is called after its sonames (libz.so.1, libssl.so.3) and
    about what is linked in, as `linkscope who` takes it. A Go module is named by its path, a crate or anything else
    that is no plain library with its ecosystem: `openssl` is the library, and `cargo:openssl` the crate that binds it.
    """

    forbid: tuple[str, ...] = ()


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    uses = subject.uses(settings.forbid)
    told: set[tuple[str, str | None]] = set()
    for fault in (*_by_soname(subject, settings.forbid), *[_of_use(use) for use in uses if use.way != "is"]):
        if (fault.subject, fault.level) not in told:
            told.add((fault.subject, fault.level))
            yield fault
    held: set[str | None] = set()
    for content in subject.file.contents or ():
        names = names_of(content)
        if any(fnmatch.fnmatchcase(name.lower(), glob.lower()) for name in names for glob in settings.forbid):
            held.add(names[0])
            version = f" {content.version}" if content.version else ""
            evidence = tuple(found.text or found.archive or found.kind for found in content.evidence)
            yield Fault(names[0], f"holds {names[0]}{version}, which the policy forbids", evidence)
    for use in {use.project: use for use in uses if use.way == "is"}.values():
        if use.project not in held:  # most libraries are known by what is inside of their own files, too
            yield _of_use(use)


def _by_soname(subject: Subject, forbidden: tuple[str, ...]) -> Iterator[Fault]:
    """Over the whole closure; where there is none (a file of another machine), over what the file itself needs."""
    known = {entry.requested for entry in subject.file.closure}
    for entry in {entry.soname: entry for entry in subject.file.closure}.values():
        if any(_names(glob, name) for glob in forbidden for name in {entry.soname, entry.requested}):
            yield _of_use(Use(soname=entry.soname, project=None, way="loads", askers=tuple(entry.needed_by)))
    for name in subject.file.needed:
        if name not in known and any(_names(glob, name) for glob in forbidden):
            yield _of_use(Use(soname=name, project=None, way="needs"))
    for name in dict.fromkeys(name for entry in subject.file.dlopen for name in entry.soname):
        if any(_names(glob, name) for glob in forbidden):
            yield _of_use(Use(soname=name, project=None, way="may open"))


def _of_use(use: Use) -> Fault:
    called = use.soname if use.project is None else f"{use.soname} ({use.project})"
    if use.way == "may open":
        message = f"may open {called} when it runs, which the policy forbids"
        return Fault(use.soname, message, ("it stands in .note.dlopen",), level="warning")
    evidence = tuple(f"needed by {asker}" for asker in use.askers)
    return Fault(use.soname, f"{use.way} {called}, which the policy forbids", evidence)


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

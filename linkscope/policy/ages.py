"""How old what is linked into a file is, held against the oldest versions that a policy allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from linkscope.contents.upstream import key, semantic_key
from linkscope.model.inspect import Content
from linkscope.policy.contained import names_of
from linkscope.policy.rule import Fault
from linkscope.policy.subject import Subject

_SEMANTIC = frozenset(("go", "cargo"))
_GO_ITSELF = "stdlib"  # its releases are 1.22rc1, 1.22.0, and not after semver.org
_SHOWN = 3

Age = Literal["older", "may be older"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """embedded: the oldest version that may be linked in, by name: `{zlib = "1.2.12"}`.

    A Go module is named by its path, Go itself is `stdlib`; a crate, or anything else that is no plain library, is
    named with its ecosystem: `{"golang.org/x/crypto" = "0.17.0", "cargo:rustls" = "0.23.5"}`.
    """

    embedded: dict[str, str] = {}


def of_age(subject: Subject, settings: Settings, wanted: Age) -> Iterator[Fault]:
    """What in the file is of the age WANTED: older than asked for, or of a version that does not tell whether it is."""
    for content in subject.file.contents or ():
        asked = (settings.embedded.get(name) for name in reversed(names_of(content)))
        least = next((version for version in asked if version is not None), None)
        if least is not None:
            age, message = _judged(content, least)
            if age == wanted:
                yield Fault(content.name, message, tuple(_evidence(content)))


def _judged(content: Content, least: str) -> tuple[Age | None, str]:
    """The age, None where it is new enough, and what is said of it. As `linkscope who --older-than` has it."""
    order = semantic_key if content.ecosystem in _SEMANTIC and content.name != _GO_ITSELF else key
    oldest, found = order(least), order(content.version or "")
    if content.version is None:
        return "may be older", f"holds {content.name} of an unknown version, which may be older than {least}"
    called = f"holds {content.name} {content.version}"
    if oldest is None:
        return "may be older", f"{called}, which cannot be compared with {least}: that is no version of its kind"
    if found is None:
        return "may be older", f"{called}, a version that does not tell whether it is older than {least}"
    return ("older", f"{called}, which is older than {least}") if found < oldest else (None, "")


def _evidence(content: Content) -> Iterator[str]:
    for one in content.evidence[:_SHOWN]:
        parts = (one.kind, one.text, one.archive and f"as in {one.archive}", one.package and f"of {one.package}")
        yield " ".join(part for part in parts if part)

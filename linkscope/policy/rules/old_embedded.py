"""`old-embedded`: a library that was linked into the file is older than asked for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.contents.upstream import key, semantic_key
from linkscope.model.inspect import Content
from linkscope.policy.contained import names_of
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject

_SEMANTIC = frozenset(("go", "cargo"))
_GO_ITSELF = "stdlib"  # its releases are 1.22rc1, 1.22.0, and not after semver.org
_SHOWN = 3


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """embedded: the oldest version that may be linked in, by name: `{zlib = "1.2.12"}`.

    A Go module is named by its path, Go itself is `stdlib`; a crate, or anything else that is no plain library, is
    named with its ecosystem: `{"golang.org/x/crypto" = "0.17.0", "cargo:rustls" = "0.23.5"}`.
    """

    embedded: dict[str, str] = {}


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    if subject.file.contents is None:
        yield Fault("", "what is linked into it cannot be told: nothing has looked for it", level="note")
    for content in subject.file.contents or ():
        asked = (settings.embedded.get(name) for name in reversed(names_of(content)))
        least = next((version for version in asked if version is not None), None)
        if least is not None:
            yield from _faults(content, least)


def _faults(content: Content, least: str) -> Iterator[Fault]:
    order = semantic_key if content.ecosystem in _SEMANTIC and content.name != _GO_ITSELF else key
    oldest, found = order(least), order(content.version or "")
    if oldest is None:
        yield _untold(content, f'"{least}", which was asked for, is no version')
    elif content.version is None:
        yield _untold(content, f"holds {content.name}, and nothing in it names the version")
    elif found is None:
        yield _untold(content, f"holds {content.name} {content.version}, which does not tell how old it is")
    elif found < oldest:
        message = f"holds {content.name} {content.version}, which is older than {least}"
        yield Fault(content.name, message, tuple(_evidence(content)))


def _untold(content: Content, message: str) -> Fault:
    return Fault(content.name, message, tuple(_evidence(content)), level="note")


def _evidence(content: Content) -> Iterator[str]:
    for one in content.evidence[:_SHOWN]:
        parts = (one.kind, one.text, one.archive and f"as in {one.archive}", one.package and f"of {one.package}")
        yield " ".join(part for part in parts if part)


RULE = Rule(
    id="old-embedded",
    level="error",
    summary="A library that was linked into the file is older than asked for.",
    why=(
        "What is linked in statically stays as it was when the file was built: no update of the system mends it, and "
        "no package manager lists it."
    ),
    remedy="Build again with the newer library, module or crate; `linkscope inspect --contents FILE` shows all.",
    check=_check,
    settings=Settings,
    asked=("embedded",),
    needs=frozenset(("contents",)),
)

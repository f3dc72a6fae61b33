"""`library-not-allowed`: a needed library that is not on the policy's list."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.policy.globs import matches
from linkscope.policy.needs import is_loader, outside
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """allow: sonames or globs of what the system may be asked for; () allows everything."""

    allow: tuple[str, ...] = ()


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    for need in outside(subject):
        if not is_loader(need.name) and not any(matches(need.name, glob) for glob in settings.allow):
            evidence = tuple(f"needed by {asker}" for asker in need.askers)
            yield Fault(need.name, f"needs {need.name}, which the policy does not allow", evidence)


RULE = Rule(
    id="library-not-allowed",
    level="error",
    summary="A library is needed that the policy does not allow.",
    why=(
        "Whatever is needed has to be on every system on which the release is to start. The list is about the file "
        "and the libraries that it brings along; what these are called is free, and so is the dynamic loader, which "
        "is there wherever the file starts."
    ),
    remedy="Link without the library or statically, ship it beside the file with RUNPATH $ORIGIN, or allow it.",
    check=_check,
    settings=Settings,
    asked=("allow",),
)

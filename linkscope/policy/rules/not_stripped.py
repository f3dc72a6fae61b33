"""`not-stripped`: the file still has the symbols and debug sections that were to be stripped."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped

_WITH_SYMBOLS = (".symtab", ".debug_info", ".zdebug_info")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """stripped: whether symbols and debug sections have to be gone (true), or to be there (false)."""

    stripped: bool | None = None


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    if not settings.stripped or not is_mapped(subject.file):
        return
    there = tuple(name for name in _WITH_SYMBOLS if name in subject.sections)
    if there:
        yield Fault("", "is not stripped", there)


RULE = Rule(
    id="not-stripped",
    level="error",
    summary="The file still has symbols or debug sections, and was to be stripped.",
    why="They take room, name every function and source file to whoever looks, and no loader reads them.",
    remedy=(
        "Run `strip FILE`, link with `-s`, in Go build with `-ldflags=-s`, in Rust set `strip = true` in the profile; "
        "keep a debug file first (see no-debug-file)."
    ),
    check=_check,
    settings=Settings,
    asked=("stripped",),
)

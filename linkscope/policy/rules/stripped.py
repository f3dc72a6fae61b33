"""`stripped`: the file has lost the symbols that it was to keep."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """stripped: whether symbols and debug sections have to be gone (true), or to be there (false)."""

    stripped: bool | None = None


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    if settings.stripped is not False or not is_mapped(subject.file) or ".symtab" in subject.sections:
        return
    smaller = (".gnu_debugdata has the names of its functions alone",) if ".gnu_debugdata" in subject.sections else ()
    yield Fault("", "is stripped of its symbols", (".symtab is absent", *smaller))


RULE = Rule(
    id="stripped",
    level="error",
    summary="The file is stripped, and was to keep its symbols.",
    why="Without them a backtrace or a profile has addresses in the place of names, unless there is a debug file.",
    remedy="Link without `-s`, in Go without `-ldflags=-s`, and do not run strip; or split them off and ship both.",
    check=_check,
    settings=Settings,
    asked=("stripped",),
)

"""`no-debug-file`: the debug information that was split off the file is not where debuggers look for it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped

_INSIDE = (".debug_info", ".zdebug_info")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """debug_file: whether the file has to have a separate debug file."""

    debug_file: bool = False


def _check(subject: Subject, _: Settings) -> Iterator[Fault]:
    if is_mapped(subject.file) and subject.debug_file is None:
        yield Fault("", _message(subject), tuple(_evidence(subject)))


def _message(subject: Subject) -> str:
    if any(name in subject.sections for name in _INSIDE):
        return "has its debug information inside, and no separate debug file"
    if subject.file.build_id is None and ".gnu_debuglink" not in subject.sections:
        return "has no separate debug file, and neither a build id nor a debug link to find one by"
    return "has no separate debug file where debuggers look for it"


def _evidence(subject: Subject) -> Iterator[str]:
    build_id = subject.file.build_id
    if build_id:
        yield f"none of this build at /usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
    if ".gnu_debuglink" in subject.sections:
        yield "none of this build beside it, in .debug or below /usr/lib/debug under the name in its .gnu_debuglink"


RULE = Rule(
    id="no-debug-file",
    level="error",
    summary="There is no separate debug file for the file.",
    why="What was stripped is needed again when the program crashes, and not every build can be repeated to the byte.",
    remedy=(
        "Run `objcopy --only-keep-debug FILE FILE.debug`, `strip FILE`, `objcopy --add-gnu-debuglink=FILE.debug FILE`, "
        "and ship FILE.debug beside it, in `.debug/`, or by its build id below /usr/lib/debug/.build-id."
    ),
    check=_check,
    settings=Settings,
    asked=("debug_file",),
)

"""`no-build-id`: nothing tells this build of the file from another."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    if is_mapped(subject.file) and subject.file.build_id is None:
        yield Fault("", "has no build id", ("there is no note NT_GNU_BUILD_ID",))


RULE = Rule(
    id="no-build-id",
    level="note",
    summary="The file has no build id.",
    why=(
        "Debuggers, core dumps, crash reports and debuginfod find the debug file that belongs to a build by this id. "
        "Go's own build id is another one, which they do not know."
    ),
    remedy="Link with `-Wl,--build-id`, and in Go with `-ldflags=-B=gobuildid`; packers such as UPX drop it.",
    check=_check,
)

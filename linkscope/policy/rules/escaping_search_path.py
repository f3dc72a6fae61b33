"""`escaping-search-path`: `$ORIGIN` and so many `..` that the path leads out of the release."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.searchpaths import from_origin, search_fault
from linkscope.policy.subject import SearchElement, Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    for element in subject.search_path:
        beyond = _beyond(element, subject.top) if from_origin(element) else None
        if beyond is not None:
            yield search_fault(subject, element, f"searches {element.element}, which leads {beyond}")


def _beyond(element: SearchElement, top: str | None) -> str | None:
    """Where the element leads that it should not; None where that is right, or cannot be told.

    Symlinks are not followed: what counts is where the release itself says that its libraries are.
    """
    if element.folder is None:
        return None
    if _climbs_past_root(element.folder):
        return "above the root of the file system"
    folder = posixpath.normpath(element.folder)
    if top is None or folder == top or folder.startswith(top.rstrip("/") + "/"):
        return None
    return "out of the folder or package that is checked"


def _climbs_past_root(folder: str) -> bool:
    depth = 0
    for part in folder.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return True
    return False


RULE = Rule(
    id="escaping-search-path",
    level="warning",
    summary="RPATH or RUNPATH leads by `$ORIGIN/..` out of the folder or package that is checked.",
    why=(
        "Which libraries lie there depends on where the release is unpacked, and on who can write to the folders above "
        "it. Where a file is named by itself, only a path that climbs past the root of the file system is one too far: "
        "`$ORIGIN/../lib` is usual."
    ),
    remedy="Count the folders between the file and its libraries anew, and check the release as one folder or package.",
    check=_check,
)

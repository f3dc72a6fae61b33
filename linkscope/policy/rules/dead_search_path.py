"""`dead-search-path`: an element of RPATH or RUNPATH that serves nothing."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.searchpaths import build_folder, search_fault
from linkscope.policy.subject import SearchElement, Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """Only where the loader at hand has searched; relative folders and those of builds are other rules' matter."""
    if not subject.searched:
        return
    for element in subject.search_path:
        what = _fault(element)
        if what is not None:
            yield search_fault(subject, element, what, grave=False)


def _fault(element: SearchElement) -> str | None:
    if element.folder is None:
        return f"has {element.element}, which the loader passes over"
    if not element.folder.startswith("/") or build_folder(element.element) is not None or element.finds:
        return None
    if not element.mode:
        return f"searches {element.element}, and there is no such folder"
    return f"searches {element.element}, and nothing that is loaded at the start is found there"


RULE = Rule(
    id="dead-search-path",
    level="note",
    summary="RPATH or RUNPATH names a folder that is absent, or in which nothing is found.",
    why=(
        "The loader tries the folder for every library at every start, and a folder that is absent may be made by "
        "somebody else. What is opened later (dlopen) may still be found there."
    ),
    remedy="Take the folder out of the search path: `patchelf --shrink-rpath` removes what serves no needed library.",
    check=_check,
    scope="started",
)

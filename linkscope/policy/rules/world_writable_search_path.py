"""`world-writable-search-path`: anybody can put a library where RPATH or RUNPATH looks."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.searchpaths import from_origin, search_fault
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """What the loader's room says of the file's own path.

    What is taken from the file's folder counts only where the file lies in its final place: in a root that was named,
    or with rights that it would not have elsewhere.
    """
    unsafe = {
        problem.subject: problem.message
        for problem in subject.file.problems
        if problem.code == "unsafe-search-path" and problem.needed_by == subject.file.path
    }
    in_place = subject.rooted or subject.privileges
    for element in subject.search_path:
        if element.element not in unsafe or element.folder is None or not element.folder.startswith("/"):
            continue
        if in_place or not from_origin(element):
            what = f"searches {element.element}, where anybody can put a library"
            yield search_fault(subject, element, what, unsafe[element.element])


RULE = Rule(
    id="world-writable-search-path",
    level="warning",
    summary="RPATH or RUNPATH names a folder that anybody can write to, or can make.",
    why="Whoever puts a library there decides what the program runs, with the rights of all who start it.",
    remedy="Take the folder out of the search path, or make it one that only its owner can write to.",
    check=_check,
)

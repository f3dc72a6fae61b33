"""`empty-search-path`: an empty element of RPATH or RUNPATH."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.searchpaths import search_fault
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    empty = [element for element in subject.search_path if not element.element]
    if empty:
        places = " and ".join(str(n) for n, one in enumerate(subject.search_path, 1) if not one.element)
        written = ":".join(one.element for one in subject.search_path)
        yield search_fault(subject, empty[0], f"has an empty element (number {places}): the working directory", written)


RULE = Rule(
    id="empty-search-path",
    level="warning",
    summary="RPATH or RUNPATH has an empty element, which glibc takes for the working directory.",
    why=(
        "Whoever makes the program start in a folder of theirs decides which libraries it loads, in a setuid program "
        "too. It comes from a colon too many, as of a variable that was empty in the build."
    ),
    remedy="Remove the empty element: look for `::` and for a colon at either end of what is given to `-rpath`.",
    check=_check,
)

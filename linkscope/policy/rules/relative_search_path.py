"""`relative-search-path`: RPATH or RUNPATH is taken from the working directory."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.searchpaths import search_fault
from linkscope.policy.subject import SearchElement, Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    for element in subject.search_path:
        if _is_relative(element):
            what = f"searches {element.element}, which is taken from the working directory"
            yield search_fault(subject, element, what)


def _is_relative(element: SearchElement) -> bool:
    """As the loader at hand reads it; where it reads nothing, as it is written."""
    if not element.element:
        return False
    if element.folder is not None:
        return not element.folder.startswith("/")
    return not element.element.startswith(("/", "$"))


RULE = Rule(
    id="relative-search-path",
    level="warning",
    summary="RPATH or RUNPATH names a folder that is taken from the working directory.",
    why=(
        "Whoever makes the program start in a folder of theirs decides which libraries it loads, in a setuid program "
        "too; and started from elsewhere it does not find its own. `$ORIGIN` is meant mostly, or was eaten by a shell "
        "or by make."
    ),
    remedy="Write `$ORIGIN/…`, quoted so that it reaches the linker: `-Wl,-rpath,'$ORIGIN/lib'`, in make `$$ORIGIN`.",
    check=_check,
)

"""`absolute-search-path`: RPATH or RUNPATH names a fixed folder."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.searchpaths import build_folder, is_absolute, search_fault, store
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """Folders of builds, homes and stores are other rules' matter."""
    for element in subject.search_path:
        if is_absolute(element) and not build_folder(element.element) and not store(element.element):
            yield search_fault(subject, element, f"searches {element.element}, wherever the file lies", grave=False)


RULE = Rule(
    id="absolute-search-path",
    level="note",
    summary="RPATH or RUNPATH names a folder by its absolute path.",
    why=(
        "The file finds its libraries only where they are installed in that very folder. That is right for a package "
        "of a distribution, and wrong for a release that is unpacked anywhere."
    ),
    remedy="Link with `-Wl,-rpath,'$ORIGIN/../lib'`, or change the file with `patchelf --set-rpath`.",
    check=_check,
)

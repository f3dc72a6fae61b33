"""`bad-candidate`: the search for a library ends at a file that the loader refuses."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.verdicts import TargetSettings, only_everywhere

_here = of_start("bad-candidate")


def _check(subject: Subject, settings: TargetSettings) -> Iterator[Fault]:
    """For targets only files of the release: what else is refused here lies on this machine."""
    elsewhere = only_everywhere(subject, settings)
    return (fault for fault in _here(subject, NoSettings()) if not elsewhere or fault.subject in subject.refused)


RULE = Rule(
    id="bad-candidate",
    level="error",
    summary="The search for a library ends at a file that the loader refuses, so that the program does not start.",
    why=(
        "Some files end the search instead of being passed over: a text file, an empty file, a folder, a "
        "library of the other byte order, a program."
    ),
    remedy=(
        "Remove the file, or put the right library in its place; `linkscope why FILE LIBRARY` shows what the "
        "loader meets on its way."
    ),
    check=_check,
    settings=TargetSettings,
)

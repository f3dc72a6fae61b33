"""`not-judged`: whether the file starts cannot be told here."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    file = subject.file
    if subject.foreign:
        machine = f"{file.elf.machine} ({file.elf.class_} bits)"
        yield Fault("", f"is for {machine}, which this machine does not run: its libraries were not looked up")
        return
    for problem in file.problems:
        without_loader = problem.code == "missing-interpreter" and file.interpreter is None
        if without_loader or problem.code == "unknown-loader":
            yield Fault("", f"its libraries were not looked up: {problem.message}")


RULE = Rule(
    id="not-judged",
    level="note",
    summary="Whether the file finds its libraries was not judged, for nothing here can load it.",
    why=(
        "What is missing on this machine says nothing of a file that is for other machines, or for a loader whose "
        "rules are not known."
    ),
    remedy="Name a root in which it is to start (`--root DIR`), or a system (`--target debian:12`).",
    check=_check,
    scope="started",
)

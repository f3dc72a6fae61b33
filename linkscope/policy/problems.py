"""Problems of a file's document as faults: one rule tells of one kind of problem, or of a few that are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from linkscope.model.check import Level
from linkscope.model.inspect import Problem, ProblemCode
from linkscope.policy.rule import Fault, NoSettings
from linkscope.policy.subject import Subject


def of_start(*codes: ProblemCode, otherwise: Level = "warning") -> Callable[[Subject, NoSettings], Iterator[Fault]]:
    """The check of a rule about problems of a start, of these CODES.

    Nothing is said of a foreign file: nothing here can load it, and so nothing is known to be missing (`not-judged`).
    otherwise: the level of problems that do not keep the program from starting, where the rule's own is `error`.
    """

    def check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
        if not subject.foreign:
            yield from faults(subject, *codes, otherwise=otherwise)

    return check


def of_file(*codes: ProblemCode, otherwise: Level = "warning") -> Callable[[Subject, NoSettings], Iterator[Fault]]:
    """The check of a rule about problems of these CODES that the file has wherever it is started."""

    def check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
        yield from faults(subject, *codes, otherwise=otherwise)

    return check


def faults(subject: Subject, *codes: ProblemCode, otherwise: Level = "warning") -> Iterator[Fault]:
    """One fault for each thing that a problem of CODES is about, whoever asks for it, with all who do as evidence."""
    by_subject: dict[str, list[Problem]] = {}
    for problem in subject.file.problems:
        if problem.code in codes:
            by_subject.setdefault(problem.subject, []).append(problem)
    for name, found in by_subject.items():
        askers = dict.fromkeys(problem.needed_by for problem in found)
        evidence = [f"needed by {asker}" for asker in askers if asker not in (None, name)]
        remedies = dict.fromkeys(remedy for problem in found for remedy in problem.remedies)
        level: Level | None = None if any(problem.fatal for problem in found) else otherwise
        yield Fault(name, found[0].message, (*evidence, *remedies), level=level)

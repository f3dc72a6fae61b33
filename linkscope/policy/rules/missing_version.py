"""`missing-version`: a symbol version that no library at hand defines."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.elf.versions import number_of
from linkscope.model.inspect import Problem
from linkscope.policy.floors import forced_by, highest_of
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject, Wanted


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """One fault for each family, about its highest version, with the symbols that ask for it and for the others.

    What no part of the release asks for by its versions (libraries of the system that do not fit one another) speaks
    for itself.
    """
    if subject.foreign:
        return
    asked = {(one.name, one.asker): one for one in _asked(subject)}
    families: dict[str, dict[Wanted, Problem]] = {}
    others: dict[str, list[Problem]] = {}
    for problem in subject.file.problems:
        if problem.code != "missing-version":
            continue
        wanted = asked.get((problem.subject, problem.needed_by or ""))
        if wanted is None:
            others.setdefault(problem.subject, []).append(problem)
        else:
            families.setdefault(wanted.family or wanted.name, {})[wanted] = problem
    for found in families.values():
        yield _of_family(subject, found)
    for name, problems in others.items():
        yield Fault(name, problems[0].message, tuple(dict.fromkeys(problem.message for problem in problems[1:])))


def _asked(subject: Subject) -> Iterator[Wanted]:
    """Every version that the parts ask for, also from libraries that are brought along."""
    for part in subject.parts:
        for need in part.image.verneed:
            for version in need.versions:
                yield Wanted(version.name, *number_of(version.name), need.file, part.path, version.weak)


def _of_family(subject: Subject, found: dict[Wanted, Problem]) -> Fault:
    """The highest version speaks; of each other library that lacks some, one message is evidence."""
    highest = highest_of(found)
    others: dict[str, str] = {}
    for wanted, problem in found.items():
        if wanted.provider != highest.provider:
            others.setdefault(wanted.provider, problem.message)
    symbols = forced_by(subject, tuple(found), highest)
    return Fault(highest.name, found[highest].message, (*symbols, *others.values()))


RULE = Rule(
    id="missing-version",
    level="error",
    summary="A symbol version that the file asks for is not defined, so that the program does not start.",
    why=(
        "glibc checks every version of DT_VERNEED at the start, whether or not a symbol with that version is "
        "ever used, also for weak references."
    ),
    remedy=(
        "Install a newer version of the library that should define it, or build on a system as old as the "
        "oldest target."
    ),
    check=_check,
    scope="started",
)

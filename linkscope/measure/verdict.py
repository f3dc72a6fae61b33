"""Which of the compared programs is better, criterion by criterion, by how much, and why."""

from __future__ import annotations

import binascii
import os
from collections import Counter
from collections.abc import Sequence

from linkscope.measure.criteria import Apart, Criterion, criteria, listed
from linkscope.model.compare import Program, Value, Verdict
from linkscope.model.quantities import times


def verdict(programs: Sequence[Program], slower: Apart | None = None) -> list[Verdict]:
    """One verdict for each criterion for which two of PROGRAMS have figures. slower: see `criteria`."""
    names = short_names(programs)
    return [_by(criterion, programs, names) for criterion in criteria(programs, slower)]


def short_names(programs: Sequence[Program]) -> dict[str, str]:
    """What each is called in a sentence, by its path: the last part of it, where no other has the same.

    Bytes that are no UTF-8 are told as such (`\\xe9`), since a sentence is text.
    """
    whole = {program.path: _exact(program) for program in programs}
    last = Counter(os.path.basename(whole[program.path]) for program in programs)
    return {path: name if last[name := os.path.basename(shown)] == 1 else shown for path, shown in whole.items()}


def _exact(program: Program) -> str:
    if program.path_bytes is None:
        return program.path
    return binascii.a2b_base64(program.path_bytes).decode("utf-8", "backslashreplace")


def _by(criterion: Criterion, programs: Sequence[Program], names: dict[str, str]) -> Verdict:
    figures = [(value, program) for program in programs if (value := criterion.figure(program)) is not None]
    figures.sort(key=lambda pair: pair[0], reverse=criterion.more)
    (first, best), others = figures[0], figures[1:]
    behind = [(value, program) for value, program in others if criterion.apart(best, program)]
    alike = [program for _, program in others if not criterion.apart(best, program)]
    lead = _tied(criterion, [best, *alike], names) if alike else f"{names[best.path]} {criterion.says}"
    return Verdict(
        criterion=criterion.name,
        better=None if alike else best.path,
        ratio=first / behind[0][0] if behind and behind[0][0] else None,
        message=lead + _figures(criterion, figures[0], alike, behind, names),
        unit=criterion.unit,
        values=[Value(path=program.path, value=criterion.figure(program)) for program in programs],
        tied=[program.path for program in (best, *alike)] if alike else [],
        more=criterion.more,
    )


_Figures = list[tuple[float, Program]]


def _tied(criterion: Criterion, alike: list[Program], names: dict[str, str]) -> str:
    called = listed([names[program.path] for program in alike], len(alike))
    return f"{called} tie" if criterion.exact else f"{called} tie, for they differ by no more than the noise"


def _figures(
    criterion: Criterion,
    best: tuple[float, Program],
    alike: list[Program],
    behind: _Figures,
    names: dict[str, str],
) -> str:
    """`: 312 µs against 600 µs of hello-dynamic (0.52 x), which has …; the last is hello-cpp with 900 µs`."""
    value, leader = best
    farthest = [criterion.figure(program) or 0 for program in alike][-1:] or [value]
    low, high = criterion.amount(value), criterion.amount(farthest[0])
    said = f": {low if low == high else f'{low} to {high}'}"
    if not behind:
        return said
    following, next_one = behind[0]
    ratio = f" ({times(value / following)})" if value and following else ""
    reason = criterion.because(leader, next_one)
    said += f" against {criterion.amount(following)} of {names[next_one.path]}{ratio}{f', {reason}' if reason else ''}"
    if len(behind) > 1:
        farthest_value, last = behind[-1]
        said += f"; the last is {names[last.path]} with {criterion.amount(farthest_value)}"
    return said

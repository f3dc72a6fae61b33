"""Which of the compared programs is better, criterion by criterion, by how much, and why."""

from __future__ import annotations

import binascii
import os
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from linkscope.analysis.comparing.criteria import Apart, Criterion, criteria
from linkscope.analysis.comparing.reasons import listed, together
from linkscope.model.compare import Program, Value, Verdict
from linkscope.model.quantities import times


def verdict(programs: Sequence[Program], slower: Apart | None = None, run: bool = False) -> list[Verdict]:
    """One verdict for each criterion for which two of PROGRAMS have figures; slower, run: see `criteria`.

    A program that does not start here has no say: what it would need is missing among its figures.
    """
    names = short_names(programs)
    fit = [program for program in programs if not program.problems]
    return [_by(criterion, fit, names) for criterion in criteria(fit, slower, run)]


def short_names(programs: Sequence[Program]) -> dict[str, str]:
    """What each is called in a sentence, by its path: the last part of it, where no other has the same.

    Bytes that are no UTF-8 are told as such (`\\xe9`), since a sentence is text.
    """
    whole = {program.path: _exact(program) for program in programs}
    last = Counter(os.path.basename(shown) for shown in whole.values())
    return {path: name if last[name := os.path.basename(shown)] == 1 else shown for path, shown in whole.items()}


def _exact(program: Program) -> str:
    if program.path_bytes is None:
        return program.path
    return binascii.a2b_base64(program.path_bytes).decode("utf-8", "backslashreplace")


def _by(criterion: Criterion, programs: Sequence[Program], names: dict[str, str]) -> Verdict:
    ranked = sorted(
        (program for program in programs if criterion.figure(program) is not None),
        key=lambda program: criterion.figure(program) or 0,
        reverse=criterion.more,
    )
    best = ranked[0]
    # A tie ends at the first that is apart: who is behind that one is so too, however noisy its own figure is.
    alike = list(takewhile(lambda program: not criterion.apart(best, program), ranked[1:]))
    behind = ranked[1 + len(alike) :]
    first, following = (criterion.figure(one) if one else None for one in (best, behind[0] if behind else None))
    return Verdict(
        criterion=criterion.name,
        better=None if alike else best.path,
        ratio=first / following if first is not None and following else None,
        message=_message(criterion, [best, *alike], behind, names),
        unit=criterion.unit,
        values=[Value(path=program.path, value=criterion.figure(program)) for program in programs],
        tied=[program.path for program in (best, *alike)] if alike else [],
        more=criterion.more,
    )


def _message(criterion: Criterion, ahead: list[Program], behind: list[Program], names: dict[str, str]) -> str:
    """`hello-static is done first: 312 µs against 600 µs of hello-dynamic (0.52 x), which has …; the last is …`."""
    lead = _tie(criterion, ahead, names) if len(ahead) > 1 else _lead(criterion, ahead[0], behind, names)
    return lead + _against(criterion, ahead, behind, names)


def _lead(criterion: Criterion, best: Program, behind: list[Program], names: dict[str, str]) -> str:
    if criterion.nothing and not criterion.figure(best):
        return f"{names[best.path]} {criterion.nothing}"
    copies = together(best)
    says = criterion.says.format(count=copies.count if copies else 1)
    amount = criterion.amounts(best, behind[0])[0] if behind else criterion.amount(best)
    return f"{names[best.path]} {says}: {amount}"


def _tie(criterion: Criterion, ahead: list[Program], names: dict[str, str]) -> str:
    called = listed([names[program.path] for program in ahead], len(ahead))
    low, high = criterion.amount(ahead[0]), criterion.amount(ahead[-1])
    figures = low if low == high else f"{low} to {high}"
    return (
        f"{called} tie, for they differ by no more than the noise: {figures}"
        if criterion.measured
        else (f"{called} tie: {figures}")
    )


def _against(criterion: Criterion, ahead: list[Program], behind: list[Program], names: dict[str, str]) -> str:
    """The next one with its figure and the reason, and the last one where it is farther behind."""
    if not behind:
        return ""
    best, following, last = ahead[0], behind[0], behind[-1]
    value, next_value = criterion.figure(best), criterion.figure(following)
    ratio = f" ({times(value / next_value)})" if value and next_value else ""
    reason = criterion.because(best, following)
    amount = criterion.amounts(best, following)[1] if len(ahead) == 1 else criterion.amount(following)
    said = f" against {amount} of {names[following.path]}{ratio}{f', {reason}' if reason else ''}"
    if criterion.nothing and not value:
        said = f",{said}"
    if criterion.amount(last) != criterion.amount(following):
        said += f"; the last is {names[last.path]} with {criterion.amount(last)}"
    return said + (criterion.but(best, behind, names) if criterion.but else "")

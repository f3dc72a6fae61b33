"""Which of the compared programs is better, criterion by criterion, by how much, and why."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from linkscope.analysis.comparing.criteria import Criterion, Sampled, Tie, criteria
from linkscope.analysis.comparing.entrants import Entrant, entrants
from linkscope.analysis.comparing.reasons import listed
from linkscope.model.compare import Program, Value, Verdict
from linkscope.model.quantities import times


def verdict(programs: Sequence[Program], sampled: Sampled | None) -> list[Verdict]:
    """One verdict for each criterion for which two of PROGRAMS have figures.

    sampled: what was measured of them in turn; None where they were not run. A program that does not start here has no
    say.
    """
    return _among([one for one in entrants(programs) if one.is_fit], sampled)


def verdict_of_measured(programs: Sequence[Program], sampled: Sampled) -> list[Verdict]:
    """As `verdict`, of those alone that could be measured: by these is chosen who is to be taken.

    One that failed, or hung, may be the smallest file, and is nothing to be recommended.
    """
    return _among([one for one in entrants(programs) if one.is_fit and one.program.run is not None], sampled)


def _among(some: Sequence[Entrant], sampled: Sampled | None) -> list[Verdict]:
    return [_by(criterion, some) for criterion in criteria([one.program for one in some], sampled)]


def _by(criterion: Criterion, fit: Sequence[Entrant]) -> Verdict:
    ranked = sorted(
        (one for one in fit if criterion.figure(one.program) is not None),
        key=lambda one: criterion.figure(one.program) or 0,
        reverse=criterion.more,
    )
    best = ranked[0]
    # A tie ends at the first that is apart: who is behind that one is so too, however noisy its own figure is.
    alike = list(takewhile(lambda one: criterion.tie(best, one) is not None, ranked[1:]))
    behind = ranked[1 + len(alike) :]
    first, following = (criterion.figure(one.program) if one else None for one in (best, behind[0] if behind else None))
    is_told = not any(_is_untold(criterion, best, one) for one in alike)
    tied = [best, *alike] if alike and is_told else []
    return Verdict(
        criterion=criterion.name,
        better=None if alike else best.program.path,
        ratio=first / following if first is not None and following else None,
        message=_message(criterion, [best, *alike], behind),
        unit=criterion.unit,
        values=[Value(path=one.program.path, value=criterion.figure(one.program), program=one.place) for one in fit],
        tied=[one.program.path for one in tied],
        more=criterion.more,
        best=None if alike else best.place,
        tied_places=[one.place for one in tied],
    )


def _is_untold(criterion: Criterion, one: Entrant, other: Entrant) -> bool:
    """Whether nobody knows which of the two is better: that is no first place for either."""
    tie = criterion.tie(one, other)
    return tie is not None and tie.kind == "untold"


def _message(criterion: Criterion, ahead: list[Entrant], behind: list[Entrant]) -> str:
    """`hello-static is done first: 312 µs against 600 µs of hello-dynamic (0.52 x), which has …; the last is …`."""
    lead = _tie(criterion, ahead) if len(ahead) > 1 else _lead(criterion, ahead[0], behind)
    return lead + _against(criterion, ahead, behind)


def _lead(criterion: Criterion, best: Entrant, behind: list[Entrant]) -> str:
    if criterion.nothing and not criterion.figure(best.program):
        return f"{best.name} {criterion.nothing}"
    amount = criterion.amounts(best.program, behind[0].program)[0] if behind else criterion.amount(best.program)
    return f"{best.name} {criterion.says}: {amount}"


def _tie(criterion: Criterion, ahead: list[Entrant]) -> str:
    called = listed([one.name for one in ahead], len(ahead))
    found = [tie for one in ahead[1:] if (tie := criterion.tie(ahead[0], one))]
    low, high = (criterion.amount(one.program) for one in (ahead[0], ahead[-1]))
    if any(tie.kind == "untold" for tie in found):
        return f"which of {called} is better cannot be told, for of some systems it is not known: {low} and {high}"
    figures = low if low == high else f"{low} to {high}"
    reason = _why_alike(found)
    return f"{called} tie{f', for {reason}' if reason else ''}: {figures}"


def _why_alike(found: Sequence[Tie]) -> str:
    """Why those behind the first are not told apart from it, by the weakest reason; nothing where all are equal."""
    kinds = {tie.kind for tie in found}
    if "few" in kinds:
        return "too few rounds were measured to tell them apart"
    if "noise" in kinds:
        return "they differ by no more than the noise"
    small = [tie for tie in found if tie.kind == "small"]
    if not small:
        return ""
    most = max(small, key=lambda tie: tie.share)
    return f"they differ by {_percent(most.share)}, and a copy of the same file may by {most.limit}"


def _percent(share: float) -> str:
    """A small SHARE: `2.9 %`."""
    return f"{100 * share:.1f} %" if share >= 0.001 else "less than 0.1 %"


def _against(criterion: Criterion, ahead: list[Entrant], behind: list[Entrant]) -> str:
    """The next one with its figure and the reason, and the last one where it is farther behind."""
    if not behind:
        return ""
    best, following, last = ahead[0], behind[0], behind[-1]
    value, next_value = criterion.figure(best.program), criterion.figure(following.program)
    ratio = f" ({times(value / next_value)})" if value and next_value else ""
    reason = criterion.because(best.program, following.program)
    shown = criterion.amount(following.program)
    if len(ahead) == 1:
        shown = criterion.amounts(best.program, following.program)[1]
    said = f" against {shown} of {following.name}{ratio}{f', {reason}' if reason else ''}"
    if criterion.nothing and not value:
        said = f",{said}"
    if criterion.amount(last.program) != criterion.amount(following.program):
        said += f"; the last is {last.name} with {criterion.amount(last.program)}"
    return said + (criterion.but(best, behind) if criterion.but else "")

"""What the figures suggest for this program: sentences, none without its figure; and before them what limits them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from linkscope.measure.reasons import alone, listed, rebuilt
from linkscope.measure.verdict import short_names
from linkscope.model.compare import CriterionName, Program, Verdict
from linkscope.model.document import AnalysisError
from linkscope.model.quantities import duration, size

_STARTS = 1000
_FAR = 1_000_000  # copies: nobody runs so many on one machine
_CALLED: dict[CriterionName, str] = {"memory-copies": "many copies"}


class _Compared(msgspec.Struct, frozen=True):
    """All that sentences are made of. programs: those that have a part in the verdict, the ones with most first places
    first. names: what each is called, by its path. first: the criteria by which it is first, alone or in a tie.
    """

    programs: list[Program]
    verdicts: Sequence[Verdict]
    names: dict[str, str]
    first: dict[str, list[CriterionName]]


def suggestions(
    programs: Sequence[Program], verdicts: Sequence[Verdict], errors: Sequence[AnalysisError] = ()
) -> list[str]:
    """One sentence for each thing that the figures of PROGRAMS and VERDICTS speak for; none where they say nothing.

    errors: why some have no figures, which is told first.
    """
    names = short_names(programs)
    first = _first_places(verdicts)
    fit = [program for program in programs if not program.problems]
    fit.sort(key=lambda program: -len(first.get(program.path, ())))
    limits = list(_limits(programs, names, errors))
    if len(fit) < 2:
        return limits
    compared = _Compared(fit, verdicts, names, first)
    return [*limits, *(sentence for ask in _QUESTIONS for sentence in ask(compared))]


def _first_places(verdicts: Sequence[Verdict]) -> dict[str, list[CriterionName]]:
    first: dict[str, list[CriterionName]] = {}
    for one in verdicts:
        for path in one.tied or ([one.better] if one.better is not None else []):
            first.setdefault(path, []).append(one.criterion)
    return first


def _limits(programs: Sequence[Program], names: dict[str, str], errors: Sequence[AnalysisError]) -> Iterator[str]:
    """What keeps programs out of the verdict, or makes it say less than it seems to."""
    for error in errors:
        if error.path in names:
            yield f"{names[error.path]} was not measured: it {error.error}."
    unfit = [names[program.path] for program in programs if program.problems]
    if unfit:
        verb = "has" if len(unfit) == 1 else "have"
        yield f"{listed(unfit, len(unfit))} {verb} no part in the verdict: what does not start here cannot be better."
    machines = sorted({program.machine for program in programs})
    if len(machines) > 1:
        yield f"The programs are for different machines ({', '.join(machines)}), which may be why they differ."
    if len(programs) - len(unfit) < 2:
        yield "There is nothing to compare: that takes two programs that start here."


def _balance(compared: _Compared) -> Iterator[str]:
    """Who is first most often, and by what it is not: whoever wants that takes another."""
    verdicts, names = compared.verdicts, compared.names
    best = compared.programs[0]
    by = compared.first.get(best.path, [])
    rivals = [one for one in compared.programs[1:] if len(compared.first.get(one.path, ())) == len(by)]
    behind = [one for one in verdicts if one.criterion not in by]
    if rivals:
        shares = [
            f"{names[one.path]} by {', '.join(map(_called, compared.first.get(one.path, ())))}"
            for one in (best, *rivals)
        ]
        if not behind and all(len(compared.first.get(one.path, ())) == len(verdicts) for one in rivals):
            yield f"Nothing speaks for any of them: by all {len(verdicts)} criteria they tie."
        elif by:
            yield f"No one is best: {'; '.join(shares)} ({len(by)} of {len(verdicts)} criteria each, ties included)."
        return
    said = f"{names[best.path]} is first, alone or in a tie, by {len(by)} of {len(verdicts)} criteria"
    losing = [f"{_called(one.criterion)} ({_leaders(one, names)})" for one in behind]
    yield f"{said}; take another for {listed(losing, len(losing))}." if losing else f"{said}."


def _called(criterion: CriterionName) -> str:
    return _CALLED.get(criterion, criterion)


def _leaders(one: Verdict, names: dict[str, str]) -> str:
    paths = one.tied or [one.better or ""]
    return listed([names.get(path, path) for path in paths])


def _often_started(compared: _Compared) -> Iterator[str]:
    """For what is started often: the time that the fastest saves against the slowest."""
    for one in compared.verdicts:
        if one.unit == "seconds" and one.ratio is not None:
            timed = sorted((value.value, value.path) for value in one.values if value.value is not None)
            (fast, quick), (slow, sluggish) = timed[0], timed[-1]
            yield (
                f"Where it is started often: {_STARTS} starts of {compared.names[quick]} take "
                f"{duration(_STARTS * fast)}, of {compared.names[sluggish]} {duration(_STARTS * slow)}."
            )


def _many_copies(compared: _Compared) -> Iterator[str]:
    """For what runs in many copies: from how many on the cheapest further copy makes up for a larger first one."""
    names = compared.names
    costs = [
        (one.run.one_more_copy, copies.pss, one)
        for one in compared.programs
        if (copies := alone(one)) and one.run and one.run.one_more_copy is not None
    ]
    if len(costs) < 2:
        return
    step, first, lean = min(costs, key=lambda cost: cost[0])
    rival_step, rival_first, rival = min(costs, key=lambda cost: cost[1])
    noise = max(_noise_of_one_more(one) for _, _, one in costs)
    if rival is lean or rival_step - step <= noise:
        dearest_step, _, dearest = max(costs, key=lambda cost: cost[0])
        if dearest_step - step > noise:
            yield (
                f"Where many copies run: one more copy of {names[lean.path]} costs {size(step)}, "
                f"of {names[dearest.path]} {size(dearest_step)}."
            )
        return
    crossing = (first - rival_first) // (rival_step - step) + 2
    if crossing < _FAR:
        yield (
            f"From about {crossing:,} copies on, {names[lean.path]} takes less memory than {names[rival.path]}: "
            f"one more copy costs {size(step)} and not {size(rival_step)}."
        )


def _noise_of_one_more(program: Program) -> float:
    """Bytes by which the cost of one more copy may be wrong: it is a slope between two numbers of copies."""
    if program.run is None or len(program.run.copies) < 2:
        return 0.0
    counts = [one.count for one in program.run.copies]
    return 2 * program.run.memory_noise / (max(counts) - min(counts))


def _updates(compared: _Compared) -> Iterator[str]:
    """For what has to follow security updates: what is rebuilt, and what is only restarted."""
    inside = {one.path: rebuilt(one) for one in compared.programs}
    fewest, most = (pick(compared.programs, key=lambda one: len(inside[one.path])) for pick in (min, max))
    few, many = inside[fewest.path], inside[most.path]
    if len(few) == len(many):
        return
    yield (
        f"To follow security updates: {compared.names[most.path]} is rebuilt for each of {len(many)} "
        f"{'library' if len(many) == 1 else 'libraries'} inside ({', '.join(many[:4])}"
        f"{', …' if len(many) > 4 else ''}), {compared.names[fewest.path]} {_rebuilt(few, fewest)}."
    )


def _rebuilt(libraries: Sequence[str], program: Program) -> str:
    files = sum(each.how == "restart" for each in program.updates)
    restarted = f"restarted after updates of {files} {'file' if files == 1 else 'files'}" if files else ""
    if not libraries:
        return f"is only {restarted}" if restarted else "for none, and nothing of it is ever updated"
    return f"for {listed(libraries)}{f', and {restarted}' if restarted else ''}"


def _old_systems(compared: _Compared) -> Iterator[str]:
    """For what is given to others: on how many systems each starts."""
    for one in compared.verdicts:
        values = {value.path: value.value for value in one.values if value.value is not None}
        if one.criterion != "portability" or one.ratio is None:
            continue
        wide, narrow = (
            pick((program for program in compared.programs if program.path in values), key=lambda p: values[p.path])
            for pick in (max, min)
        )
        floor = narrow.reach.because if narrow.reach else None
        systems = wide.reach.systems if wide.reach else 0
        yield (
            f"To run on other people's systems: {compared.names[wide.path]} starts on {_starts(wide)} of "
            f"{systems} that are known, {compared.names[narrow.path]} on {_starts(narrow)}"
            f"{f', for most others lack {floor}' if floor else ''}."
        )


def _starts(program: Program) -> str:
    """`13`, or `9 to 13` where of some systems it cannot be told."""
    reach = program.reach
    if reach is None or not reach.doubtful:
        return str(reach.starts if reach else 0)
    return f"{reach.starts} to {reach.starts + reach.doubtful}"


def _lost(compared: _Compared) -> Iterator[str]:
    """For what is linked statically: what it can no longer do."""
    by_codes: dict[tuple[str, ...], list[str]] = {}
    for one in compared.programs:
        if one.losses:
            lost = tuple(dict.fromkeys(loss.code for loss in one.losses))
            by_codes.setdefault(lost, []).append(compared.names[one.path])
    for codes, losers in by_codes.items():
        verb, what = "loses" if len(losers) == 1 else "lose", "thing" if len(codes) == 1 else "things"
        yield f"{listed(losers, len(losers))} {verb} {len(codes)} {what} by being static: {', '.join(codes)}."


_QUESTIONS: tuple[Callable[[_Compared], Iterator[str]], ...] = (
    _balance,
    _often_started,
    _many_copies,
    _updates,
    _old_systems,
    _lost,
)

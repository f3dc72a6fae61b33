"""What the figures suggest for this program: sentences, none without its figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from linkscope.measure.criteria import alone, listed
from linkscope.measure.verdict import short_names
from linkscope.model.compare import Program, Verdict
from linkscope.model.quantities import duration, size

_STARTS = 1000
_FAR = 1_000_000  # copies: nobody runs so many on one machine
_Names = dict[str, str]


def suggestions(programs: Sequence[Program], verdicts: Sequence[Verdict]) -> list[str]:
    """One sentence for each thing that the figures of PROGRAMS and VERDICTS speak for; none where they say nothing."""
    if len(programs) < 2:
        return []
    names = short_names(programs)
    said = [sentence for ask in _QUESTIONS for sentence in ask(programs, names)]
    return [*_balance(verdicts, names), *_often_started(verdicts, names), *said]


def _balance(verdicts: Sequence[Verdict], names: _Names) -> Iterator[str]:
    """Which program leads by which criteria."""
    led: dict[str, list[str]] = {}
    for one in verdicts:
        if one.better is not None:
            led.setdefault(one.better, []).append(one.criterion)
    if not led:
        if verdicts:
            yield f"No program leads by any of {len(verdicts)} criteria: each is a tie for the first place."
        return
    ordered = sorted(led.items(), key=lambda item: -len(item[1]))
    shares = [f"{names[path]} leads by {len(by)} ({', '.join(by)})" for path, by in ordered]
    ties = len(verdicts) - sum(map(len, led.values()))
    tied = f"; {ties} {'is a tie' if ties == 1 else 'are ties'} for the first place" if ties else ""
    yield f"Of {len(verdicts)} criteria, {', '.join(shares)}{tied}."


def _often_started(verdicts: Sequence[Verdict], names: _Names) -> Iterator[str]:
    """For what is started often: the time that the fastest saves against the slowest."""
    for one in verdicts:
        if one.unit == "seconds" and one.ratio is not None:
            timed = sorted((value.value, value.path) for value in one.values if value.value is not None)
            (fast, quick), (slow, sluggish) = timed[0], timed[-1]
            yield (
                f"Where it is started often: {_STARTS} starts of {names[quick]} take {duration(_STARTS * fast)}, "
                f"of {names[sluggish]} {duration(_STARTS * slow)}."
            )


def _many_copies(programs: Sequence[Program], names: _Names) -> Iterator[str]:
    """For what runs in many copies: from how many on the cheapest further copy makes up for a larger first one."""
    costs = [
        (one.run.one_more_copy, copies.pss, one)
        for one in programs
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
            f"From {crossing} copies on, {names[lean.path]} takes less memory than {names[rival.path]}: "
            f"one more copy costs {size(step)} and not {size(rival_step)}."
        )


def _noise_of_one_more(program: Program) -> float:
    """Bytes by which the cost of one more copy may be wrong: it is a slope between two numbers of copies."""
    if program.run is None or len(program.run.copies) < 2:
        return 0.0
    counts = [one.count for one in program.run.copies]
    return 2 * program.run.memory_noise / (max(counts) - min(counts))


def _updates(programs: Sequence[Program], names: _Names) -> Iterator[str]:
    """For what has to follow security updates: what is rebuilt, and what is only restarted."""
    rebuilt = {one.path: sorted({each.library for each in one.updates if each.how == "rebuild"}) for one in programs}
    fewest, most = (pick(programs, key=lambda one: len(rebuilt[one.path])) for pick in (min, max))
    few, many = len(rebuilt[fewest.path]), len(rebuilt[most.path])
    if few == many:
        return
    files = sum(each.how == "restart" for each in fewest.updates)
    how = f"is only restarted, after updates of {files} {'file' if files == 1 else 'files'}"
    if few:
        how = f"has to be rebuilt for {few} of them, and restarted after updates of {files} files"
    yield (
        f"To follow security updates: {names[most.path]} has to be rebuilt for each of {many} "
        f"{'library' if many == 1 else 'libraries'} inside ({', '.join(rebuilt[most.path][:4])}"
        f"{', …' if many > 4 else ''}); {names[fewest.path]} {how}."
    )


def _old_systems(programs: Sequence[Program], names: _Names) -> Iterator[str]:
    """For what is given to others: on how many systems each starts."""
    reaching = [(one.reach, one) for one in programs if one.reach is not None]
    if len(reaching) < 2:
        return
    (far, wide), (near, narrow) = (pick(reaching, key=lambda pair: pair[0].starts) for pick in (max, min))
    if far.starts > near.starts:
        yield (
            f"To run on other people's systems: {names[wide.path]} starts on {far.starts} of {far.systems} that are "
            f"known, {names[narrow.path]} on {near.starts}."
        )


def _lost(programs: Sequence[Program], names: _Names) -> Iterator[str]:
    """For what is linked statically: what it can no longer do."""
    by_codes: dict[tuple[str, ...], list[str]] = {}
    for one in programs:
        if one.losses:
            by_codes.setdefault(tuple(dict.fromkeys(loss.code for loss in one.losses)), []).append(names[one.path])
    for codes, losers in by_codes.items():
        verb, what = "loses" if len(losers) == 1 else "lose", "thing" if len(codes) == 1 else "things"
        yield f"{listed(losers, len(losers))} {verb} {len(codes)} {what} by being static: {', '.join(codes)}."


_QUESTIONS: tuple[Callable[[Sequence[Program], _Names], Iterator[str]], ...] = (
    _many_copies,
    _updates,
    _old_systems,
    _lost,
)

"""What the figures suggest for this program: sentences, none without its figure; and before them what limits them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from linkscope.analysis.comparing.criteria import amount
from linkscope.analysis.comparing.crossing import crossing
from linkscope.analysis.comparing.entrants import Entrant, entrants
from linkscope.analysis.comparing.reasons import cost_of_one_more, listed
from linkscope.measure.spread import least_apart, noise_of_one_more
from linkscope.model.compare import Copies, CriterionName, Program, Verdict, copies_in_common
from linkscope.model.document import AnalysisError
from linkscope.model.names import exact_text
from linkscope.model.quantities import duration, size

_STARTS = 1000
_FAR = 1_000_000  # copies: nobody runs so many on one machine
# What goes together with another criterion, and is no merit of its own: fewer files are found on more systems.
_WITH: dict[CriterionName, CriterionName] = {"memory-copies": "memory", "portability": "independence"}


class _Compared(msgspec.Struct, frozen=True):
    """All that sentences are made of. fit: those that have a part in the verdict, the ones with most first places
    first. first: by place, the criteria by which it is first, alone or in a tie. copies: how many were measured of all,
    more than one; called: criteria that are not called by their own names.
    """

    fit: list[Entrant]
    verdicts: Sequence[Verdict]
    first: dict[int, list[CriterionName]]
    copies: int | None
    called: dict[CriterionName, str]


def suggestions(
    programs: Sequence[Program],
    verdicts: Sequence[Verdict],
    errors: Sequence[AnalysisError] = (),
    *,
    was_run: bool = False,
) -> list[str]:
    """One sentence for each thing that the figures of PROGRAMS and VERDICTS speak for; none where they say nothing.

    errors: why some have no figures, which is told first. was_run: whether they were to be measured; one of which that
    came to nothing has no part in it then, and VERDICTS are those on the others (`verdict_of_measured`).
    """
    every = entrants(programs)
    verdicts = [one for one in verdicts if one.first_places()]
    first = {one.place: [each.criterion for each in verdicts if one.place in each.first_places()] for one in every}
    weight = _weights(verdicts)
    fit = [one for one in every if one.is_fit and (one.program.run is not None or not was_run)]
    # Of those that are first equally often the smallest stands for all.
    fit.sort(key=lambda one: (-sum(weight[each] for each in first[one.place]), one.program.size))
    limits = list(_limits(every, errors))
    if len(fit) < 2:
        what = "start here and were measured" if was_run else "start here"
        return [*limits, f"There is nothing to compare: that takes two programs that {what}."]
    copies = copies_in_common([one.program for one in fit])
    called: dict[CriterionName, str] = {"memory-copies": "many copies" if copies else "many connections"}
    compared = _Compared(fit, verdicts, first, copies, called)
    return [*limits, *(sentence for ask in _QUESTIONS for sentence in ask(compared))]


def _weights(verdicts: Sequence[Verdict]) -> dict[CriterionName, float]:
    """What being first by each criterion counts: those that go together count as one."""
    groups = {one.criterion: _WITH.get(one.criterion, one.criterion) for one in verdicts}
    members = Counter(groups.values())
    return {criterion: 1 / members[group] for criterion, group in groups.items()}


def _limits(every: Sequence[Entrant], errors: Sequence[AnalysisError]) -> Iterator[str]:
    """What keeps programs out of the verdict, or makes it say less than it seems to."""
    yield from _unmeasured(every, errors)
    unfit = [one.name for one in every if not one.is_fit]
    if unfit:
        verb = "has" if len(unfit) == 1 else "have"
        yield f"{listed(unfit, len(unfit))} {verb} no part in the verdict: what does not start here cannot be better."
    yield from _same(every)
    machines = sorted({one.program.machine for one in every})
    if len(machines) > 1:
        yield f"The programs are for different machines ({', '.join(machines)}), which may be why they differ."


def _unmeasured(every: Sequence[Entrant], errors: Sequence[AnalysisError]) -> Iterator[str]:
    """Who could not be measured, by the exact path; the errors of what is named twice come in the same order."""
    without = [one for one in every if one.program.run is None]
    for error in errors:
        found = next((one for one in without if exact_text(one.program) == exact_text(error)), None)
        if found is not None:
            without.remove(found)
            yield f"{found.name} was not measured, and has no part in what follows: it {error.error}."


def _same(every: Sequence[Entrant]) -> Iterator[str]:
    """Programs that are one and the same: named twice, another name of the same file, or a copy of it."""
    by_digest: dict[str, list[Entrant]] = {}
    for one in every:
        if one.program.sha256 is not None:
            by_digest.setdefault(one.program.sha256, []).append(one)
    for same in by_digest.values():
        if len(same) > 1:
            times = "twice" if len(same) == 2 else f"{len(same)} times"
            paths = {exact_text(one.program) for one in same}
            names = listed([one.name for one in same], len(same))
            once = os.path.basename(next(iter(paths)))
            what = f"{once} is named {times}" if len(paths) == 1 else f"{names} are the same file {times}"
            yield f"{what}, byte for byte (SHA-256): where they differ, that is noise."


def _balance(compared: _Compared) -> Iterator[str]:
    """Who is first most often, and by what it is not: whoever wants that takes another."""
    verdicts, weight, fit = compared.verdicts, _weights(compared.verdicts), compared.fit
    first = compared.first
    score = {one.place: sum(weight[each] for each in first[one.place]) for one in fit}
    best = fit[0]
    if all(len(first[one.place]) == len(verdicts) for one in fit):
        yield f"Nothing speaks for any of them: by all {len(verdicts)} criteria they tie."
        return
    equal = {tuple(first[one.place]): one for one in reversed(fit) if score[one.place] == score[best.place]}
    if len(equal) > 1:
        rivals = list(reversed(equal.values()))
        yield f"No one is best by all {len(verdicts)} criteria: {'; '.join(_each_for(rivals, compared))}."
        return
    ahead = [one.name for one in fit if first[one.place] == first[best.place]]
    said = f"{listed(ahead, len(ahead))} {'is' if len(ahead) == 1 else 'are'} first"
    behind = [one for one in verdicts if one.criterion not in first[best.place]]
    if not behind:
        tied = ", alone or in a tie," if any(one.tied for one in verdicts) else ""
        yield f"{said}{tied} by all {len(verdicts)} criteria."
        return
    losing = listed([_instead(one, best, compared) for one in behind], len(behind))
    yield f"{said}, alone or in a tie, by {_by_what(first[best.place], compared)}; take another for {losing}."


def _each_for(rivals: Sequence[Entrant], compared: _Compared) -> Iterator[str]:
    """`take hello-static for start (24 relocations) and …`: those that are first equally often, each by its own."""
    common = set.intersection(*(set(compared.first[one.place]) for one in rivals))
    for one in rivals:
        said = [
            f"{compared.called.get(each.criterion, each.criterion)} ({_figure(each, one)})"
            for each in compared.verdicts
            if each.criterion in compared.first[one.place] and each.criterion not in common
        ]
        yield f"take {one.name} for {listed(said, len(said))}"


def _by_what(criteria: Sequence[CriterionName], compared: _Compared) -> str:
    """`size, start and independence with portability`: what goes together is one thing."""
    said = []
    for each in criteria:
        if _WITH.get(each) not in criteria:
            beside = [compared.called.get(other, other) for other in criteria if _WITH.get(other) == each]
            said.append(" with ".join([compared.called.get(each, each), *beside]))
    return listed(said, len(said))


def _instead(verdict: Verdict, best: Entrant, compared: _Compared) -> str:
    """`size (hello-dynamic: 15 and not 24 KiB)`: who is better by a criterion than the best of all, by how much."""
    leaders = [one for one in compared.fit if one.place in verdict.first_places()]
    mine, theirs = _figure(verdict, best), _figure(verdict, leaders[0])
    number, _, unit = theirs.rpartition(" ")
    is_counted = verdict.unit not in ("bytes", "seconds")
    shown = number if is_counted or mine.endswith(f" {unit}") else theirs
    figures = f"{shown} and not {mine}" if mine not in ("", theirs) else theirs
    names = listed([one.name for one in leaders])
    return f"{compared.called.get(verdict.criterion, verdict.criterion)} ({names}: {figures})"


def _figure(verdict: Verdict, one: Entrant) -> str:
    """What it has by a criterion; \"\" where it has no figure."""
    value, reach = verdict.value_of(one.place), one.program.reach
    doubtful = reach.doubtful if verdict.unit == "systems" and reach else 0
    return "" if value is None else amount(value, verdict.unit, doubtful)


def _often_started(compared: _Compared) -> Iterator[str]:
    """For what is started often: the time that the fastest saves against the slowest."""
    for verdict in compared.verdicts:
        if verdict.unit == "seconds" and verdict.ratio is not None:
            times = [(value, one) for one in compared.fit if (value := verdict.value_of(one.place)) is not None]
            least, quick = next(each for each in times if each[1].place in verdict.first_places())
            most, slow = max(times, key=lambda each: each[0])
            yield (
                f"Where it is started often: {_STARTS} starts of {quick.name} take {duration(_STARTS * least)}, "
                f"of {slow.name} {duration(_STARTS * most)}."
            )


class _Cost(msgspec.Struct, frozen=True):
    """What copies of a program take, in bytes of PSS. step: each after the first; noise: how wrong that may be."""

    of: Entrant
    one: int
    step: int
    noise: float


def _many_copies(compared: _Compared) -> Iterator[str]:
    """For what runs in many copies: from how many on the cheapest further copy makes up for a larger first one."""
    costs = [cost for one in compared.fit if (cost := _cost(one.program, one, compared.copies)) is not None]
    if len(costs) < 2:
        return
    lean, rival = min(costs, key=lambda cost: cost.step), min(costs, key=lambda cost: cost.one)
    dearest = max(costs, key=lambda cost: cost.step)
    is_behind = rival is not lean and _is_dearer(rival, lean)
    found = crossing(_copies(lean), _copies(rival)) if is_behind else (1, 1)
    if found is None or found[1] >= _FAR:
        return
    fewest, most = found
    if fewest > 1:
        number = f"about {fewest:,}" if fewest == most else f"somewhere between {fewest:,} and {most:,}"
        yield (
            f"From {number} copies on, {lean.of.name} takes less memory than {rival.of.name}: "
            f"one more copy costs {size(lean.step)} and not {size(rival.step)}."
        )
    elif _is_dearer(dearest, lean):
        yield (
            f"Where many copies run: one more copy of {lean.of.name} costs {size(lean.step)}, "
            f"of {dearest.of.name} {size(dearest.step)}."
        )


def _cost(program: Program, one: Entrant, count: int | None) -> _Cost | None:
    """None where less than one copy, and COUNT of them, was measured."""
    first, many = (program.copies_of(number) if number else None for number in (1, count))
    step = cost_of_one_more(program, count) if count else None
    if first is None or many is None or step is None:
        return None
    return _Cost(one, first.pss, step, noise_of_one_more(first, many))


def _is_dearer(one: _Cost, other: _Cost) -> bool:
    return one.step - other.step > least_apart(one.step, other.step, max(one.noise, other.noise))


def _copies(cost: _Cost) -> Sequence[Copies]:
    run = cost.of.program.run
    return run.copies if run else ()


def _updates(compared: _Compared) -> Iterator[str]:
    """For what has to follow security updates: what is rebuilt, and what is only restarted."""
    inside = {one.place: one.program.rebuilt_for() for one in compared.fit}
    fewest, most = (pick(compared.fit, key=lambda one: len(inside[one.place])) for pick in (min, max))
    few, many = inside[fewest.place], inside[most.place]
    if len(few) == len(many):
        return
    yield (
        f"To follow security updates: {most.name} is rebuilt for each of {len(many)} "
        f"{'library' if len(many) == 1 else 'libraries'} inside ({', '.join(many[:4])}"
        f"{', …' if len(many) > 4 else ''}), {fewest.name} {_rebuilt(few, fewest.program)}."
    )


def _rebuilt(libraries: Sequence[str], program: Program) -> str:
    files = sum(each.how == "restart" for each in program.updates)
    restarted = f"restarted after updates of {files} {'file' if files == 1 else 'files'}" if files else ""
    if not libraries:
        return f"is only {restarted}" if restarted else "for none, and nothing of it is ever updated"
    return f"for {listed(libraries)}{f', and {restarted}' if restarted else ''}"


def _old_systems(compared: _Compared) -> Iterator[str]:
    """For what is given to others: on how many systems each starts."""
    for verdict in compared.verdicts:
        if verdict.criterion != "portability" or verdict.ratio is None:
            continue
        known = [(value, one) for one in compared.fit if (value := verdict.value_of(one.place)) is not None]
        wide, narrow = (pick(known, key=lambda each: each[0])[1] for pick in (max, min))
        floor = narrow.program.reach.because if narrow.program.reach else None
        systems = wide.program.reach.systems if wide.program.reach else 0
        yield (
            f"To run on other people's systems: {wide.name} starts on {_starts(wide.program)} of {systems} that are "
            f"known, {narrow.name} on {_starts(narrow.program)}{f', for most others lack {floor}' if floor else ''}."
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
    for one in compared.fit:
        if one.program.losses:
            lost = tuple(dict.fromkeys(loss.code for loss in one.program.losses))
            by_codes.setdefault(lost, []).append(one.name)
    for codes, losers in by_codes.items():
        verb, what = "loses" if len(losers) == 1 else "lose", "thing" if len(codes) == 1 else "things"
        yield f"{listed(losers, len(losers))} {verb} {len(codes)} {what} by being static: {', '.join(codes)}."


def _protection(compared: _Compared) -> Iterator[str]:
    """For what handles what strangers send: protections that only some of them have."""
    said = []
    for what, so, lacks in _PROTECTIONS:
        without = [one.name for one in compared.fit if lacks(one.program)]
        if 0 < len(without) < len(compared.fit):
            is_, has = ("is", "has") if len(without) == 1 else ("are", "have")
            lacking = what.format(are=is_, have=has)
            said.append(f"{len(without)} of {len(compared.fit)} {lacking} ({listed(without)}): {so}")
    if said:
        yield f"Where it handles what strangers send: {'; '.join(said)}."


# What some lack, what that means, and how it is told. Sources: Linux fs/binfmt_elf.c (load_bias of ET_EXEC),
# glibc elf/dl-reloc.c (_dl_protect_relro) and elf/dl-load.c (stack_flags).
_PROTECTIONS: tuple[tuple[str, str, Callable[[Program], bool]], ...] = (
    ("{are} no PIE", "code and data are at the same place in each run", lambda program: program.pie is False),
    (
        "{have} no RELRO",
        "what is relocated at start stays writable",
        lambda program: program.hardening.relro == "none",
    ),
    (
        "{have} only partial RELRO",
        "the table of functions stays writable",
        lambda program: program.hardening.relro == "partial",
    ),
    ("{have} an executable stack", "what is written there can be run", lambda program: program.hardening.nx is False),
)
_QUESTIONS: tuple[Callable[[_Compared], Iterator[str]], ...] = (
    _balance,
    _often_started,
    _many_copies,
    _updates,
    _old_systems,
    _protection,
    _lost,
)

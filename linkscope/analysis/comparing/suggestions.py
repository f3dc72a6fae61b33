"""What the figures suggest for this program: sentences, none without its figure; and before them what limits them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from linkscope.analysis.comparing.criteria import amount
from linkscope.analysis.comparing.crossing import crossing
from linkscope.analysis.comparing.reasons import alone, listed, rebuilt, together
from linkscope.analysis.comparing.verdict import short_names
from linkscope.model.compare import Copies, CriterionName, Program, Verdict
from linkscope.model.document import AnalysisError
from linkscope.model.quantities import duration, size

_STARTS = 1000
_FAR = 1_000_000  # copies: nobody runs so many on one machine
# What goes together with another criterion, and is no merit of its own: fewer files are found on more systems.
_WITH: dict[CriterionName, CriterionName] = {"memory-copies": "memory", "portability": "independence"}


class _Compared(msgspec.Struct, frozen=True):
    """All that sentences are made of. programs: those that have a part in the verdict, the ones with most first places
    first. names: what each is called, by its path. first: the criteria by which it is first, alone or in a tie.
    called: criteria that are not called by their own names.
    """

    programs: list[Program]
    verdicts: Sequence[Verdict]
    names: dict[str, str]
    first: dict[str, list[CriterionName]]
    called: dict[CriterionName, str]


def suggestions(
    programs: Sequence[Program], verdicts: Sequence[Verdict], errors: Sequence[AnalysisError] = ()
) -> list[str]:
    """One sentence for each thing that the figures of PROGRAMS and VERDICTS speak for; none where they say nothing.

    errors: why some have no figures, which is told first.
    """
    names = short_names(programs)
    first = _first_places(verdicts)
    weight = _weights(verdicts)
    fit = [program for program in programs if not program.problems]
    # Of those that are first equally often the smallest stands for all.
    fit.sort(key=lambda program: (-sum(weight[each] for each in first.get(program.path, ())), program.size))
    limits = list(_limits(programs, names, errors))
    if len(fit) < 2:
        return limits
    copies = "many copies" if any(map(together, fit)) else "many connections"
    compared = _Compared(fit, verdicts, names, first, {"memory-copies": copies})
    return [*limits, *(sentence for ask in _QUESTIONS for sentence in ask(compared))]


def _first_places(verdicts: Sequence[Verdict]) -> dict[str, list[CriterionName]]:
    first: dict[str, list[CriterionName]] = {}
    for one in verdicts:
        for path in dict.fromkeys(one.tied or ([one.better] if one.better is not None else [])):
            first.setdefault(path, []).append(one.criterion)
    return first


def _weights(verdicts: Sequence[Verdict]) -> dict[CriterionName, float]:
    """What being first by each criterion counts: those that go together count as one."""
    groups = {one.criterion: _WITH.get(one.criterion, one.criterion) for one in verdicts}
    members = Counter(groups.values())
    return {criterion: 1 / members[group] for criterion, group in groups.items()}


def _limits(programs: Sequence[Program], names: dict[str, str], errors: Sequence[AnalysisError]) -> Iterator[str]:
    """What keeps programs out of the verdict, or makes it say less than it seems to."""
    for error in errors:
        if error.path in names:
            yield f"{names[error.path]} was not measured: it {error.error}."
    unfit = [names[program.path] for program in programs if program.problems]
    if unfit:
        verb = "has" if len(unfit) == 1 else "have"
        yield f"{listed(unfit, len(unfit))} {verb} no part in the verdict: what does not start here cannot be better."
    yield from _same(programs, names)
    machines = sorted({program.machine for program in programs})
    if len(machines) > 1:
        yield f"The programs are for different machines ({', '.join(machines)}), which may be why they differ."
    if len(programs) - len(unfit) < 2:
        yield "There is nothing to compare: that takes two programs that start here."


def _same(programs: Sequence[Program], names: dict[str, str]) -> Iterator[str]:
    """Programs that are one and the same: named twice, another name of the same file, or a copy of it."""
    by_digest: dict[str, list[str]] = {}
    for program in programs:
        if program.sha256 is not None:
            by_digest.setdefault(program.sha256, []).append(names[program.path])
    for same in by_digest.values():
        if len(same) > 1:
            said = listed(list(dict.fromkeys(same)), len(same))
            times = "twice" if len(same) == 2 else f"{len(same)} times"
            what = f"{said} is named {times}" if len(set(same)) == 1 else f"{said} are the same file {times}"
            yield f"{what}, byte for byte (SHA-256): where they differ, that is noise."


def _balance(compared: _Compared) -> Iterator[str]:
    """Who is first most often, and by what it is not: whoever wants that takes another."""
    verdicts, names, weight = compared.verdicts, compared.names, _weights(compared.verdicts)
    places = {one.path: compared.first.get(one.path, []) for one in compared.programs}
    score = {path: sum(weight[each] for each in by) for path, by in places.items()}
    best = compared.programs[0]
    if all(len(by) == len(verdicts) for by in places.values()):
        yield f"Nothing speaks for any of them: by all {len(verdicts)} criteria they tie."
        return
    equal = {tuple(places[one.path]): one for one in reversed(compared.programs) if score[one.path] == score[best.path]}
    if len(equal) > 1:
        rivals = list(reversed(equal.values()))
        yield f"No one is best by all {len(verdicts)} criteria: {'; '.join(_each_for(rivals, places, compared))}."
        return
    ahead = list(dict.fromkeys(names[one.path] for one in compared.programs if places[one.path] == places[best.path]))
    said = f"{listed(ahead, len(ahead))} {'is' if len(ahead) == 1 else 'are'} first"
    behind = [one for one in verdicts if one.criterion not in places[best.path]]
    if not behind:
        tied = ", alone or in a tie," if any(one.tied for one in verdicts) else ""
        yield f"{said}{tied} by all {len(verdicts)} criteria."
        return
    losing = listed([_instead(one, best, compared) for one in behind], len(behind))
    yield f"{said}, alone or in a tie, by {_by_what(places[best.path], compared)}; take another for {losing}."


def _each_for(rivals: Sequence[Program], places: dict[str, list[CriterionName]], compared: _Compared) -> Iterator[str]:
    """`take hello-static for start (24 relocations) and …`: those that are first equally often, each by its own."""
    common = set.intersection(*(set(places[one.path]) for one in rivals))
    for one in rivals:
        said = [
            f"{compared.called.get(each.criterion, each.criterion)} ({_figure(each, one)})"
            for each in compared.verdicts
            if each.criterion in places[one.path] and each.criterion not in common
        ]
        yield f"take {compared.names[one.path]} for {listed(said, len(said))}"


def _by_what(criteria: Sequence[CriterionName], compared: _Compared) -> str:
    """`size, start and independence with portability`: what goes together is one thing."""
    said = []
    for each in criteria:
        if _WITH.get(each) not in criteria:
            beside = [compared.called.get(other, other) for other in criteria if _WITH.get(other) == each]
            said.append(" with ".join([compared.called.get(each, each), *beside]))
    return listed(said, len(said))


def _instead(one: Verdict, best: Program, compared: _Compared) -> str:
    """`size (hello-dynamic: 15 and not 24 KiB)`: who is better by a criterion than the best of all, by how much."""
    leaders = [program for program in compared.programs if program.path in (one.tied or (one.better,))]
    mine, theirs = _figure(one, best), _figure(one, leaders[0])
    number, _, unit = theirs.rpartition(" ")
    is_counted = one.unit not in ("bytes", "seconds")
    shown = number if is_counted or mine.endswith(f" {unit}") else theirs
    figures = f"{shown} and not {mine}" if mine not in ("", theirs) else theirs
    names = listed([compared.names[program.path] for program in leaders])
    return f"{compared.called.get(one.criterion, one.criterion)} ({names}: {figures})"


def _figure(one: Verdict, program: Program) -> str:
    """What PROGRAM has by a criterion; \"\" where it has no figure."""
    value = next((each.value for each in one.values if each.path == program.path), None)
    doubtful = program.reach.doubtful if one.unit == "systems" and program.reach else 0
    return "" if value is None else amount(value, one.unit, doubtful)


def _often_started(compared: _Compared) -> Iterator[str]:
    """For what is started often: the time that the fastest saves against the slowest."""
    for one in compared.verdicts:
        if one.unit == "seconds" and one.ratio is not None:
            times = {value.path: value.value for value in one.values if value.value is not None}
            ahead = one.tied or [one.better or ""]
            quick = next(program.path for program in compared.programs if program.path in ahead)
            slow = max(times, key=lambda path: times[path])
            yield (
                f"Where it is started often: {_STARTS} starts of {compared.names[quick]} take "
                f"{duration(_STARTS * times[quick])}, of {compared.names[slow]} {duration(_STARTS * times[slow])}."
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
    step, _, lean = min(costs, key=lambda cost: cost[0])
    rival_step, _, rival = min(costs, key=lambda cost: cost[1])
    dearest_step, _, dearest = max(costs, key=lambda cost: cost[0])
    noise = max(_noise_of_one_more(one) for _, _, one in costs)
    is_behind = rival is not lean and rival_step - step > noise
    found = crossing(_copies(lean), _copies(rival)) if is_behind else (1, 1)
    if found is None or found[1] >= _FAR:
        return
    fewest, most = found
    if fewest > 1:
        number = f"about {fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        yield (
            f"From {number} copies on, {names[lean.path]} takes less memory than {names[rival.path]}: "
            f"one more copy costs {size(step)} and not {size(rival_step)}."
        )
    elif dearest_step - step > noise:
        yield (
            f"Where many copies run: one more copy of {names[lean.path]} costs {size(step)}, "
            f"of {names[dearest.path]} {size(dearest_step)}."
        )


def _copies(program: Program) -> Sequence[Copies]:
    return program.run.copies if program.run else ()


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


def _protection(compared: _Compared) -> Iterator[str]:
    """For what handles what strangers send: protections that only some of them have."""
    said = []
    for what, so, lacks in _PROTECTIONS:
        without = [compared.names[one.path] for one in compared.programs if lacks(one)]
        if 0 < len(without) < len(compared.programs):
            is_, has = ("is", "has") if len(without) == 1 else ("are", "have")
            lacking = what.format(are=is_, have=has)
            said.append(f"{len(without)} of {len(compared.programs)} {lacking} ({listed(without)}): {so}")
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

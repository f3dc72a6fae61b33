"""By what programs are compared: for each criterion its figure, when two figures differ, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, Protocol

import msgspec

from linkscope.analysis.comparing import reasons
from linkscope.analysis.comparing.entrants import Entrant
from linkscope.analysis.comparing.reasons import Because
from linkscope.measure.spread import FEWEST, NOTABLE, PAGE, Difference, least_apart
from linkscope.model.compare import CriterionName, Program, copies_in_common
from linkscope.model.quantities import duration, size

Unit = Literal["bytes", "seconds", "relocations", "files", "libraries", "systems"]
Figure = Callable[[Program], float | None]
_ONE = {"relocations": "relocation", "files": "file", "libraries": "library", "systems": "system"}
_COPY = f"{NOTABLE:.0%}".replace("%", " %")


class Sampled(Protocol):
    """What was measured of programs in turn, by their places."""

    def starts(self, one: int, other: int) -> Difference:
        """How the times of the one compare with those of the other: of their runs, or until their ports are open."""

    def heavier(self, one: int, other: int, count: int) -> Difference:
        """How the memory of COUNT copies of the one compares with that of the other."""

    def serving(self, one: int, other: int) -> Difference:
        """How the memory of servers compares while the most connections are open."""

    def connection(self, one: int, other: int) -> Difference:
        """How the memory compares that one more connection costs."""


class Tie(msgspec.Struct, frozen=True):
    """Why two programs are not told apart.

    kind: `equal`, their figures are one; `noise`, what lies between them may be noise; `small`, it is none, but a copy
    of the same file may differ by as much; `few`, too little was measured; `untold`, one of the figures is not exact.
    share: of `small`, by how much the one is more, of what the other is. limit: what a copy may differ by, in words.
    """

    kind: Literal["equal", "noise", "small", "few", "untold"]
    share: float = 0.0
    limit: str = _COPY


Ties = Callable[[Entrant, Entrant], Tie | None]
"""None where the two truly differ."""
But = Callable[[Entrant, Sequence[Entrant]], str]


def amount(value: float, unit: Unit, doubtful: int = 0) -> str:
    """A figure with its unit, as it is said; doubtful: by how many it may be more."""
    if unit == "bytes":
        return size(round(value))
    if unit == "seconds":
        return duration(value)
    noun = unit if value != 1 or doubtful else _ONE[unit]
    return f"{value:,.0f}{f' to {value + doubtful:,.0f}' if doubtful else ''} {noun}"


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """One way to compare. figure: of a program, None where it has none. tie: why two programs are not told apart.

    says: what the best one is, in words that a figure follows; nothing: instead of these and the figure where that is
    0. because: why the other is behind; but: what speaks against it at the end, of the best one and those behind it.
    """

    name: CriterionName
    unit: Unit
    says: str
    figure: Figure
    tie: Ties
    because: Because
    but: But | None = None
    nothing: str = ""
    more: bool = False

    def amount(self, program: Program) -> str:
        """Its figure with the unit, as it is said."""
        doubtful = program.reach.doubtful if self.unit == "systems" and program.reach else 0
        return amount(self.figure(program) or 0, self.unit, doubtful)

    def amounts(self, one: Program, other: Program) -> tuple[str, str]:
        """The figures of both: bytes in full where they differ by so little that rounding would show more, or none."""
        less, more = sorted(self.figure(program) or 0 for program in (one, other))
        if self.unit != "bytes" or less == more or more - less > NOTABLE * more:
            return self.amount(one), self.amount(other)
        return f"{self.figure(one) or 0:,.0f} bytes", f"{self.figure(other) or 0:,.0f}"


def criteria(programs: Sequence[Program], sampled: Sampled | None) -> list[Criterion]:
    """The criteria by which two of PROGRAMS at least can be compared: of each name the first that has figures.

    sampled: what was measured of them; None where they were not run. Where they were, what was not measured is not
    replaced by less. Systems are known for each machine, so that those of two are not counted against each other.
    """
    chosen: dict[str, Criterion] = {}
    for criterion in _known(programs, sampled):
        is_of_two_kinds = criterion.figure is _reach and len({one.reach.systems for one in programs if one.reach}) > 1
        if criterion.name in chosen or is_of_two_kinds:
            continue
        if sum(criterion.figure(one) is not None for one in programs) > 1:
            chosen[criterion.name] = criterion
    return list(chosen.values())


def _known(programs: Sequence[Program], sampled: Sampled | None) -> Iterator[Criterion]:
    yield _SIZE
    yield from [_RELOCATIONS] if sampled is None else _measured(sampled, copies_in_common(programs))
    yield from (_INDEPENDENCE, _UPDATES, _PORTABILITY)


# --- Whether two figures differ ---------------------------------------------------------------------------------------


def _exactly(figure: Figure) -> Ties:
    return lambda one, other: Tie("equal") if figure(one.program) == figure(other.program) else None


def _in_time(sampled: Sampled) -> Ties:
    def tie(one: Entrant, other: Entrant) -> Tie | None:
        found = sampled.starts(one.place, other.place)
        if found.is_real:
            return None
        if found.rounds < FEWEST:
            return Tie("few")
        return Tie("small", found.share) if found.is_sure_and_small else Tie("noise")

    return tie


def _in_memory(figure: Figure, compared: Callable[[int, int], Difference]) -> Ties:
    """compared: how the memory of which FIGURE is the median compares, by two places."""

    def tie(one: Entrant, other: Entrant) -> Tie | None:
        found = compared(one.place, other.place)
        less, more = sorted(figure(each.program) or 0 for each in (one, other))
        return None if found.is_real else _alike(less, more, is_sure=found.low > 1 or found.high < 1)

    return tie


def _alike(less: float, more: float, is_sure: bool) -> Tie:
    """Why two figures of memory are not told apart. is_sure: that one is larger, by however little."""
    if more == less:
        return Tie("equal")
    if not is_sure or not less or more - less > least_apart(less, more, 0):
        return Tie("noise")
    return Tie("small", more / less - 1, f"{_COPY} or a page" if NOTABLE * more < PAGE else _COPY)


def _in_reach(one: Entrant, other: Entrant) -> Tie | None:
    """Where it cannot be told of some systems whether one starts there, they may be those that differ."""
    reaches = [each.program.reach for each in (one, other)]
    fewer, more = sorted((each for each in reaches if each is not None), key=lambda reach: reach.starts)
    if fewer.starts + fewer.doubtful < more.starts:
        return None
    return Tie("untold" if fewer.doubtful or more.doubtful else "equal")


# --- Figures ----------------------------------------------------------------------------------------------------------


def _size(program: Program) -> float:
    return program.size


def _seconds(program: Program) -> float | None:
    return program.run.seconds.median if program.run and program.run.seconds else None


def _ready(program: Program) -> float | None:
    return program.run.server.ready if program.run and program.run.server else None


def _relocations(program: Program) -> float:
    return program.relocations


def _pss(program: Program, count: int) -> float | None:
    copies = program.copies_of(count)
    return copies.pss if copies else None


def _serving(program: Program) -> float | None:
    return program.run.server.pss() if program.run and program.run.server else None


def _one_more_connection(program: Program) -> float | None:
    return program.run.server.one_more_connection if program.run and program.run.server else None


def _files(program: Program) -> float:
    return program.libraries


def _rebuilds(program: Program) -> float:
    return len(program.rebuilt_for())


def _reach(program: Program) -> float | None:
    return program.reach.starts if program.reach else None


# --- The criteria -----------------------------------------------------------------------------------------------------

_SIZE = Criterion(
    name="size",
    unit="bytes",
    says="is the smallest file",
    figure=_size,
    tie=_exactly(_size),
    because=reasons.of_size,
)
_RELOCATIONS = Criterion(
    name="start",
    unit="relocations",
    says="has the least to do at start",
    nothing="has nothing to relocate at start",
    figure=_relocations,
    tie=_exactly(_relocations),
    because=reasons.of_mapping,
)
_INDEPENDENCE = Criterion(
    name="independence",
    unit="files",
    says="needs the fewest other files to start",
    nothing="needs no other file to start",
    figure=_files,
    tie=_exactly(_files),
    because=reasons.of_needs,
)
_UPDATES = Criterion(
    name="updates",
    unit="libraries",
    says="has to be rebuilt for updates of the fewest libraries",
    nothing="never has to be rebuilt for an update of a library",
    figure=_rebuilds,
    tie=_exactly(_rebuilds),
    because=reasons.of_contents,
)
_PORTABILITY = Criterion(
    name="portability",
    unit="systems",
    says="starts on the most of the known systems without further packages",
    figure=_reach,
    tie=_in_reach,
    because=reasons.of_reach,
    more=True,
)


def _measured(sampled: Sampled, count: int | None) -> Iterator[Criterion]:
    """What is measured of programs that end, and of servers. count: of how many copies all have the memory."""
    for figure, says in ((_seconds, "is done first"), (_ready, "opens its port first")):
        yield Criterion(
            name="start", unit="seconds", says=says, figure=figure, tie=_in_time(sampled), because=reasons.of_start
        )
    serving = _in_memory(_serving, sampled.serving)
    yield _memory("memory", "while it serves", _serving, serving, reasons.of_serving, reasons.less_serving)
    alone = partial(_pss, count=1)
    tie = _in_memory(alone, partial(sampled.heavier, count=1))
    yield _memory("memory", "when one copy runs", alone, tie, reasons.of_memory, reasons.less_alone)
    if count is not None:
        figure, because = partial(_pss, count=count), partial(reasons.of_copies, count=count)
        tie = _in_memory(figure, partial(sampled.heavier, count=count))
        yield _memory("memory-copies", f"when {count} copies run", figure, tie, because)
    more = _in_memory(_one_more_connection, sampled.connection)
    yield _memory("memory-copies", "for one more connection", _one_more_connection, more, reasons.none)


def _memory(
    name: Literal["memory", "memory-copies"],
    when: str,
    figure: Figure,
    tie: Ties,
    because: Because,
    but: But | None = None,
) -> Criterion:
    return Criterion(
        name=name,
        unit="bytes",
        says=f"takes the least memory (PSS) {when}",
        figure=figure,
        tie=tie,
        because=because,
        but=but,
    )

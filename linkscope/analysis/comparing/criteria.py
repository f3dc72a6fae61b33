"""By what programs are compared: for each criterion its figure, when two figures differ, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import msgspec

from linkscope.analysis.comparing import reasons
from linkscope.analysis.comparing.reasons import Because, alone, rebuilt, together
from linkscope.model.compare import CriterionName, Program
from linkscope.model.quantities import duration, size

Unit = Literal["bytes", "seconds", "relocations", "files", "libraries", "systems"]
Figure = Callable[[Program], float | None]
Apart = Callable[[Program, Program], bool]
But = Callable[[Program, Sequence[Program], dict[str, str]], str]
_READY = 0.25  # of the time until a server takes connections: without its single starts, what is closer says nothing
_SMALL = 0.01  # of memory: a hundredth is a matter of where the kernel happened to put things
_ONE = {"relocations": "relocation", "files": "file", "libraries": "library", "systems": "system"}


def amount(value: float, unit: Unit, doubtful: int = 0) -> str:
    """A figure with its unit, as it is said; doubtful: by how many it may be more."""
    if unit == "bytes":
        return size(round(value))
    if unit == "seconds":
        return duration(value)
    noun = unit if value != 1 or doubtful else _ONE[unit]
    return f"{value:,.0f}{f' to {value + doubtful:,.0f}' if doubtful else ''} {noun}"


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """One way to compare. figure: of a program, None where it has none. apart: whether two programs truly differ.

    says: what the best one is, in words that a figure follows; nothing: instead of these and the figure where that is
    0. because: why the other is behind; but: what speaks against it at the end, of the best one and those behind it, by
    their names. measured: the figure is measured and not read, so that alike means that the noise is larger than the
    difference.
    """

    name: CriterionName
    unit: Unit
    says: str
    figure: Figure
    apart: Apart
    because: Because
    but: But | None = None
    nothing: str = ""
    more: bool = False
    measured: bool = False

    def amount(self, program: Program) -> str:
        """Its figure with the unit, as it is said."""
        doubtful = program.reach.doubtful if self.unit == "systems" and program.reach else 0
        return amount(self.figure(program) or 0, self.unit, doubtful)

    def amounts(self, one: Program, other: Program) -> tuple[str, str]:
        """The figures of both: bytes in full where they differ by less than is said of them else."""
        said = self.amount(one), self.amount(other)
        figures = [self.figure(program) or 0 for program in (one, other)]
        if self.unit != "bytes" or len(set(said)) > 1 or figures[0] == figures[1]:
            return said
        return f"{figures[0]:,.0f} bytes", f"{figures[1]:,.0f}"


def criteria(programs: Sequence[Program], slower: Apart | None = None, run: bool = False) -> list[Criterion]:
    """The criteria by which two of PROGRAMS at least can be compared: of each name the first that has figures.

    slower: whether the times of two differ (of a run, or until a server takes connections), by who has all of them;
    None: whether their bounds are apart. run: they were run, so that what was not measured is not replaced by less.
    Systems are known for each machine, so that those of two are not counted against each other.
    """
    chosen: dict[str, Criterion] = {}
    for criterion in CRITERIA:
        is_stand_in = run and criterion.figure is _relocations
        is_of_two_kinds = criterion.figure is _reach and len({one.reach.systems for one in programs if one.reach}) > 1
        if criterion.name in chosen or is_stand_in or is_of_two_kinds:
            continue
        if sum(criterion.figure(one) is not None for one in programs) > 1:
            by_runs = slower is not None and criterion.figure in (_seconds, _ready)
            chosen[criterion.name] = msgspec.structs.replace(criterion, apart=slower) if by_runs else criterion
    return list(chosen.values())


def _exactly(figure: Figure) -> Apart:
    return lambda one, other: figure(one) != figure(other)


def _size(program: Program) -> float:
    return program.size


def _seconds(program: Program) -> float | None:
    return program.run.seconds.median if program.run and program.run.seconds else None


def _slower(one: Program, other: Program) -> bool:
    mine, theirs = (each.run.seconds if each.run else None for each in (one, other))
    return mine is not None and theirs is not None and (mine.high < theirs.low or theirs.high < mine.low)


def _ready(program: Program) -> float | None:
    return program.run.server.ready if program.run and program.run.server else None


def _readier(one: Program, other: Program) -> bool:
    mine, theirs = _ready(one), _ready(other)
    return mine is not None and theirs is not None and abs(mine - theirs) > _READY * max(mine, theirs)


def _relocations(program: Program) -> float:
    return program.relocations


def _pss_alone(program: Program) -> float | None:
    copies = alone(program)
    return copies.pss if copies else None


def _pss_together(program: Program) -> float | None:
    copies = together(program)
    return copies.pss if copies else None


def _serving(program: Program) -> float | None:
    server = program.run.server if program.run else None
    return sum(process.pss for process in server.processes) if server and server.processes else None


def _one_more_connection(program: Program) -> float | None:
    return program.run.server.one_more_connection if program.run and program.run.server else None


def _noise_alone(program: Program) -> int:
    copies = alone(program)
    return copies.noise if copies else 0


def _noise_together(program: Program) -> int:
    copies = together(program)
    return copies.noise if copies else 0


def _noise_serving(program: Program) -> int:
    return program.run.memory_noise if program.run else 0


def _more_memory(figure: Figure, noise_of: Callable[[Program], int]) -> Apart:
    def apart(one: Program, other: Program) -> bool:
        mine, theirs = figure(one), figure(other)
        if mine is None or theirs is None:
            return False
        noise = max(map(noise_of, (one, other)))
        return abs(mine - theirs) > max(noise, _SMALL * max(mine, theirs))

    return apart


def _files(program: Program) -> float:
    return program.libraries


def _rebuilds(program: Program) -> float:
    return len(rebuilt(program))


def _reach(program: Program) -> float | None:
    return program.reach.starts if program.reach else None


def _reaches_farther(one: Program, other: Program) -> bool:
    """Whether one surely starts on more systems: where it cannot be told of some, they may be those that differ."""
    if one.reach is None or other.reach is None or one.reach.systems != other.reach.systems:
        return False
    fewer, more = sorted((one.reach, other.reach), key=lambda reach: reach.starts)
    return fewer.starts + fewer.doubtful < more.starts


def _memory(
    name: Literal["memory", "memory-copies"],
    says: str,
    figure: Figure,
    noise_of: Callable[[Program], int],
    because: Because = reasons.none,
    but: But | None = None,
) -> Criterion:
    return Criterion(
        name=name,
        unit="bytes",
        says=says,
        figure=figure,
        apart=_more_memory(figure, noise_of),
        because=because,
        but=but,
        measured=True,
    )


CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        name="size",
        unit="bytes",
        says="is the smallest file",
        figure=_size,
        apart=_exactly(_size),
        because=reasons.of_size,
    ),
    Criterion(
        name="start",
        unit="seconds",
        says="is done first",
        figure=_seconds,
        apart=_slower,
        because=reasons.of_start,
        measured=True,
    ),
    Criterion(
        name="start",
        unit="seconds",
        says="takes connections first",
        figure=_ready,
        apart=_readier,
        because=reasons.of_start,
        measured=True,
    ),
    Criterion(
        name="start",
        unit="relocations",
        says="has the least to do at start",
        nothing="has nothing to relocate at start",
        figure=_relocations,
        apart=_exactly(_relocations),
        because=reasons.of_mapping,
    ),
    _memory(
        "memory",
        "takes the least memory (PSS) while it serves",
        _serving,
        _noise_serving,
        reasons.of_serving,
        partial(reasons.less_anonymous, figure=reasons.anonymous_serving),
    ),
    _memory(
        "memory",
        "takes the least memory (PSS) when one copy runs",
        _pss_alone,
        _noise_alone,
        reasons.of_memory,
        partial(reasons.less_anonymous, figure=reasons.anonymous_alone),
    ),
    _memory(
        "memory-copies",
        "takes the least memory (PSS) when {count} copies run",
        _pss_together,
        _noise_together,
        reasons.of_copies,
    ),
    _memory(
        "memory-copies", "takes the least memory (PSS) for one more connection", _one_more_connection, _noise_serving
    ),
    Criterion(
        name="independence",
        unit="files",
        says="needs the fewest other files to start",
        nothing="needs no other file to start",
        figure=_files,
        apart=_exactly(_files),
        because=reasons.of_needs,
    ),
    Criterion(
        name="updates",
        unit="libraries",
        says="has to be rebuilt for updates of the fewest libraries",
        nothing="never has to be rebuilt for an update of a library",
        figure=_rebuilds,
        apart=_exactly(_rebuilds),
        because=reasons.of_contents,
    ),
    Criterion(
        name="portability",
        unit="systems",
        says="starts on the most of the known systems without further packages",
        figure=_reach,
        apart=_reaches_farther,
        because=reasons.of_reach,
        more=True,
    ),
)

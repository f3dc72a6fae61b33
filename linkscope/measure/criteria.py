"""By what programs are compared: for each criterion its figure, when two figures differ, and why one is larger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from linkscope.model.compare import Copies, CriterionName, Program
from linkscope.model.quantities import duration, size

Figure = Callable[[Program], float | None]
Apart = Callable[[Program, Program], bool]
Unit = Literal["bytes", "seconds", "relocations", "files", "libraries", "systems"]
_READY = 0.25  # of the time until a server takes connections: without its single starts, what is closer says nothing
_NOTABLE = 0.05  # of a size: a smaller difference needs no reason
_SMALL = 0.01  # of memory: a hundredth is a matter of where the kernel happened to put things


class Criterion(msgspec.Struct, frozen=True):
    """One way to compare. figure: of a program, None where it has none. apart: whether two programs truly differ.

    says: what the best one is, in words that a figure follows. because: why the other is behind, "" where that is not
    known; it is said of the other. exact: the figure is read and not measured, so that alike means equal.
    """

    name: CriterionName
    unit: Unit
    says: str
    figure: Figure
    apart: Apart
    because: Callable[[Program, Program], str]
    more: bool = False
    exact: bool = True

    def amount(self, value: float) -> str:
        """VALUE with its unit, as it is said."""
        if self.unit == "bytes":
            return size(round(value))
        if self.unit == "seconds":
            return duration(value)
        noun = self.unit if value != 1 else _ONE[self.unit]
        return f"{value:,.0f} {noun}" if value else f"no {_ONE[self.unit]}"


_ONE = {"relocations": "relocation", "files": "file", "libraries": "library", "systems": "system"}


def criteria(programs: Sequence[Program], slower: Apart | None = None) -> list[Criterion]:
    """The criteria by which two of PROGRAMS at least can be compared: of each name the first that has figures.

    slower: whether the times of two differ (of a run, or until a server takes connections), by who has all of them;
    None: whether their bounds are apart.
    """
    chosen: dict[str, Criterion] = {}
    for criterion in CRITERIA:
        if criterion.name not in chosen and sum(criterion.figure(one) is not None for one in programs) > 1:
            by_runs = slower is not None and criterion.figure in (_seconds, _ready)
            chosen[criterion.name] = msgspec.structs.replace(criterion, apart=slower) if by_runs else criterion
    return list(chosen.values())


def alone(program: Program) -> Copies | None:
    """Its memory when one copy runs; None where that was not measured."""
    return next((one for one in program.run.copies if one.count == 1), None) if program.run else None


def together(program: Program) -> Copies | None:
    """Its memory when the most copies ran; None where it was never more than one."""
    most = max(program.run.copies, key=lambda one: one.count, default=None) if program.run else None
    return most if most and most.count > 1 else None


def listed(names: Sequence[str], most: int = 3) -> str:
    """NAMES in a sentence: `a`, `a and b`, `a, b, c and 4 more`."""
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _exactly(figure: Figure) -> Apart:
    return lambda one, other: figure(one) != figure(other)


def _size(program: Program) -> float:
    return program.size


def _because_of_libraries(best: Program, other: Program) -> str:
    if other.size - best.size < _NOTABLE * other.size:
        return ""
    inside = [part for part in other.parts if part.kind == "library-code" and part.name]
    brought = sum(part.size for part in inside)
    if 2 * brought > other.size - best.size > 0:
        names = sorted(inside, key=lambda part: -part.size)
        return f"which has {size(brought)} of code of {names[0].name}{' and others' if names[1:] else ''} inside"
    unneeded = sum(part.size for part in other.parts if part.kind in ("symbols", "debug"))
    theirs = sum(part.size for part in best.parts if part.kind in ("symbols", "debug"))
    if 2 * (unneeded - theirs) > other.size - best.size > 0:
        return f"of which {size(unneeded)} are symbols and debugging data"
    return ""


def _seconds(program: Program) -> float | None:
    return program.run.seconds.median if program.run and program.run.seconds else None


def _slower(one: Program, other: Program) -> bool:
    mine, theirs = (each.run.seconds if each.run else None for each in (one, other))
    return mine is not None and theirs is not None and (mine.high < theirs.low or theirs.high < mine.low)


def _because_of_work(best: Program, other: Program) -> str:
    files, work = other.libraries - best.libraries, other.relocations - best.relocations
    said = []
    if files > 0:
        said.append(f"{files} {'file' if files == 1 else 'files'}")
    if work > 0:
        said.append(f"{work} {'relocation' if work == 1 else 'relocations'}")
    return f"which has {' and '.join(said)} more to load at start" if said else ""


def _ready(program: Program) -> float | None:
    return program.run.server.ready if program.run and program.run.server else None


def _readier(one: Program, other: Program) -> bool:
    mine, theirs = _ready(one), _ready(other)
    return mine is not None and theirs is not None and abs(mine - theirs) > _READY * max(mine, theirs)


def _because_of_files(best: Program, other: Program) -> str:
    files = other.libraries - best.libraries
    return f"which has {files} {'file' if files == 1 else 'files'} more to map" if files > 0 else ""


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
    return sum(process.pss for process in server.processes) if server else None


def _one_more_connection(program: Program) -> float | None:
    return program.run.server.one_more_connection if program.run and program.run.server else None


def _more_memory(figure: Figure) -> Apart:
    def apart(one: Program, other: Program) -> bool:
        mine, theirs = figure(one), figure(other)
        if mine is None or theirs is None:
            return False
        noise = max(each.run.memory_noise if each.run else 0 for each in (one, other))
        return abs(mine - theirs) > max(noise, _SMALL * max(mine, theirs))

    return apart


def _because_of_copies(best: Program, other: Program) -> str:
    mine, theirs = (each.run.one_more_copy if each.run else None for each in (best, other))
    if mine is None or theirs is None:
        return ""
    return f"where one more copy costs {size(theirs)} and not {size(mine)}"


def _because_of_private_memory(_best: Program, other: Program) -> str:
    copies = alone(other)
    return f"of which {size(copies.private)} are shared with nobody" if copies else ""


def _files(program: Program) -> float:
    return program.libraries


def _because_of_needed(_best: Program, other: Program) -> str:
    packages = sorted({file.package for file in other.files if file.package})
    if packages:
        return f"which come with {listed(packages)}"
    return f"among them {other.files[0].soname or other.files[0].path}" if other.files else ""


def _rebuilds(program: Program) -> float:
    return len({update.library for update in program.updates if update.how == "rebuild"})


def _because_of_inside(_best: Program, other: Program) -> str:
    inside = sorted({update.library for update in other.updates if update.how == "rebuild"})
    return f"which has {listed(inside)} inside" if inside else ""


def _reach(program: Program) -> float | None:
    return program.reach.starts if program.reach else None


def _because_of_floor(_best: Program, other: Program) -> str:
    floors = [f"{family}_{version}" for family, version in sorted(other.requires.items())]
    return f"which needs {listed(floors)}" if floors else ""


def _nothing(_best: Program, _other: Program) -> str:
    return ""


CRITERIA: tuple[Criterion, ...] = (
    Criterion("size", "bytes", "is the smallest file", _size, _exactly(_size), _because_of_libraries),
    Criterion("start", "seconds", "is done first", _seconds, _slower, _because_of_work, exact=False),
    Criterion("start", "seconds", "takes connections first", _ready, _readier, _because_of_work, exact=False),
    Criterion(
        "start", "relocations", "has the least to do at start", _relocations, _exactly(_relocations), _because_of_files
    ),
    Criterion(
        "memory",
        "bytes",
        "takes the least memory (PSS) when one copy runs",
        _pss_alone,
        _more_memory(_pss_alone),
        _because_of_private_memory,
        exact=False,
    ),
    Criterion(
        "memory",
        "bytes",
        "takes the least memory (PSS) while it serves",
        _serving,
        _more_memory(_serving),
        _nothing,
        exact=False,
    ),
    Criterion(
        "memory-copies",
        "bytes",
        "takes the least memory (PSS) when many copies run",
        _pss_together,
        _more_memory(_pss_together),
        _because_of_copies,
        exact=False,
    ),
    Criterion(
        "memory-copies",
        "bytes",
        "takes the least memory for one more connection",
        _one_more_connection,
        _more_memory(_one_more_connection),
        _nothing,
        exact=False,
    ),
    Criterion(
        "independence", "files", "needs the fewest other files to start", _files, _exactly(_files), _because_of_needed
    ),
    Criterion(
        "updates",
        "libraries",
        "is rebuilt for updates of the fewest libraries",
        _rebuilds,
        _exactly(_rebuilds),
        _because_of_inside,
    ),
    Criterion(
        "portability",
        "systems",
        "starts on the most of the known systems",
        _reach,
        _exactly(_reach),
        _because_of_floor,
        more=True,
    ),
)

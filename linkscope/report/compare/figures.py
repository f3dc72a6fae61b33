"""The figures of a comparison, one line each: what the file says, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median

import msgspec

from linkscope.model.compare import (
    CompareDocument,
    CriterionName,
    Program,
    ServerProcess,
    Spread,
    Verdict,
    copies_in_common,
)
from linkscope.model.quantities import duration, size, times
from linkscope.report.compare.sidebyside import NONE, Mark, Row

_LIBCS = {"none": "none", "unknown": "unknown"}
Figure = Callable[[Program], float | None]
Shown = Callable[[float], str]


class _Line(msgspec.Struct, frozen=True):
    """One figure. criterion: of the verdict whose marks it carries, where the verdict rests on this very figure."""

    label: str
    figure: Figure
    shown: Shown
    criterion: CriterionName | None = None
    rare: bool = False


def of_files(document: CompareDocument) -> Iterator[Row]:
    """What the files alone say."""
    programs = document.programs
    if len({program.machine for program in programs}) > 1:
        yield Row("machine", [program.machine for program in programs])
    yield Row("linkage", [program.linkage or NONE for program in programs])
    yield Row("PIE", [_yes(program.pie) for program in programs])
    yield Row("C library", [_libc(program) for program in programs])
    yield from _rows(_FILE, document)
    yield from _reach(document)
    yield from _floors(programs)
    yield from _differing(programs)


def of_runs(document: CompareDocument) -> Iterator[Row]:
    """What was measured; nothing without --run."""
    if any(program.run for program in document.programs):
        yield from _times(document, _EXEC_TO_EXIT, _seconds)
        yield from _times(document, _PORT_OPEN, _ready)
        yield from _rows(_RUN, document)
        yield from _rows(_memory(document.programs), document)
        yield from _rows(_SERVER, document)
        yield from _forked(document.programs)
        yield from _rows([_ONE_CONNECTION], document)


def whole(value: float) -> str:
    """A count in at most seven columns: `27`, `9,120`, `104 k`, `1.24 M`."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= (10 * factor if unit == "k" else factor * 0.9995):
            count = value / factor
            return f"{count:.{0 if count >= 99.95 else 1 if count >= 9.995 else 2}f} {unit}"
    return f"{value:,.0f}"


def _bytes(value: float) -> str:
    return size(round(value))


def _yes(value: bool | None) -> str:
    return NONE if value is None else "yes" if value else "no"


def _libc(program: Program) -> str:
    family = _LIBCS.get(program.libc.family, program.libc.family)
    return f"{family} {program.libc.version}" if program.libc.version else family


def _if_complete(figure: Figure) -> Figure:
    """FIGURE over all that is mapped, which nobody knows of a program of which a file is missing."""
    return lambda program: None if program.problems else figure(program)


def _rows(lines: Iterable[_Line], document: CompareDocument) -> Iterator[Row]:
    """LINES, without those for which no program has a figure."""
    for line in lines:
        values = [line.figure(program) for program in document.programs]
        if any(value is not None for value in values) and (any(values) or not line.rare):
            shown = [NONE if value is None else line.shown(value) for value in values]
            yield Row(line.label, shown, _marks(document, line))


def _marks(document: CompareDocument, line: _Line) -> list[Mark]:
    """Which program is best by the verdict that rests on the figure of LINE; none where there is no such verdict."""
    verdict = next((one for one in document.verdict if _rests_on(one, line, document.programs)), None)
    if verdict is None:
        return [""] * len(document.programs)
    marks: list[Mark] = [""] * len(document.programs)
    for place in verdict.first_places():
        marks[place] = "=" if verdict.tied_places else "*"
    return marks


def _rests_on(verdict: Verdict, line: _Line, programs: Sequence[Program]) -> bool:
    """Who has no part in the verdict need not have the figure."""
    if verdict.criterion != line.criterion:
        return False
    return all(one.value == line.figure(programs[one.program]) for one in verdict.values)


def _reach(document: CompareDocument) -> Iterator[Row]:
    """On how many systems each starts; a question mark where of some that cannot be told."""
    reaches = [program.reach for program in document.programs]
    if any(reaches):
        shown = [
            NONE if reach is None else f"{reach.starts} of {reach.systems}{'?' if reach.doubtful else ''}"
            for reach in reaches
        ]
        line = _Line("known systems", lambda one: one.reach.starts if one.reach else None, whole, "portability")
        yield Row(line.label, shown, _marks(document, line))


def _floors(programs: Sequence[Program]) -> Iterator[Row]:
    """The versions of each family that are needed at least, and of the kernel where a program says so."""
    for family in sorted({family for program in programs for family in program.requires}):
        yield Row(f"needs {family}", [program.requires.get(family, NONE) for program in programs])
    if any(program.needs_kernel for program in programs):
        yield Row("needs Linux", [program.needs_kernel or NONE for program in programs])


_HARDENING = (
    ("RELRO", "relro"),
    ("bind now", "bind_now"),
    ("NX", "nx"),
    ("canary", "canary"),
    ("fortify", "fortify"),
    ("CET", "cet"),
    ("BTI", "bti"),
    ("PAC", "pac"),
)


def _switches(programs: Sequence[Program]) -> Iterator[tuple[str, list[str]]]:
    """What the link step switched on, each with its value for every program; nothing of what no file can tell."""
    for label, key in _HARDENING:
        values: list[str | bool | None] = [getattr(program.hardening, key) for program in programs]
        if any(value is not None for value in values):
            yield label, [value if isinstance(value, str) else _yes(value) for value in values]


def _differing(programs: Sequence[Program]) -> Iterator[Row]:
    return (Row(label, values) for label, values in _switches(programs) if len(set(values)) > 1)


def alike_hardened(programs: Sequence[Program]) -> list[str]:
    """What of the hardening is the same for all: `RELRO full`, `canary no`."""
    return [f"{label} {values[0]}" for label, values in _switches(programs) if len(set(values)) == 1]


def _times(document: CompareDocument, line: _Line, spread_of: Callable[[Program], Spread | None]) -> Iterator[Row]:
    """A time, the figure of LINE: first as a ratio to the first program's, then itself, and how sure it is."""
    base = line.figure(document.programs[0])
    if base:
        values = [line.figure(program) for program in document.programs]
        ratios = [NONE if value is None else times(value / base) for value in values]
        yield Row(line.label, ratios, _marks(document, line))
        line = _Line("  median", line.figure, line.shown)
    yield from _rows([line], document)
    spreads = [spread_of(program) for program in document.programs]
    if any(spreads):
        for label, key in (("  low", "low"), ("  high", "high")):
            yield Row(label, [NONE if spread is None else duration(getattr(spread, key)) for spread in spreads])


def _seconds(program: Program) -> Spread | None:
    return program.run.seconds if program.run else None


def _ready(program: Program) -> Spread | None:
    return program.run.server.ready_spread if program.run and program.run.server else None


def _median_of(spread_of: Callable[[Program], Spread | None]) -> Figure:
    def figure(program: Program) -> float | None:
        spread = spread_of(program)
        return spread.median if spread else None

    return figure


def _memory(programs: Sequence[Program]) -> Iterator[_Line]:
    """The sums of PSS for each number of copies that were there at once, and what each further one adds."""
    common = copies_in_common(programs)
    counts = sorted({copies.count for program in programs if program.run for copies in program.run.copies})
    for count in counts:
        label = "PSS, 1 copy" if count == 1 else f"PSS, {count} copies"
        criterion: CriterionName | None = "memory" if count == 1 else "memory-copies" if count == common else None
        yield _Line(label, _of_copies(count, "pss"), _bytes, criterion)
        if criterion:
            yield _Line("  anonymous", _of_copies(count, "anonymous"), _bytes)
    yield _Line("one more copy", _of_run("one_more_copy"), _bytes)
    yield _Line("  its own", _own, _bytes)


def _of_copies(count: int, key: str) -> Figure:
    def figure(program: Program) -> float | None:
        copies = program.copies_of(count)
        return getattr(copies, key) if copies else None

    return figure


def _own(program: Program) -> float | None:
    """What each of many copies has for itself alone."""
    most = program.run.most_copies() if program.run else None
    return most.private / most.count if most else None


def _of_run(key: str) -> Figure:
    return lambda program: getattr(program.run, key) if program.run else None


def _of_server(key: str) -> Figure:
    return lambda program: getattr(program.run.server, key) if program.run and program.run.server else None


def _processes(program: Program, role: str) -> list[ServerProcess]:
    server = program.run.server if program.run else None
    return [process for process in server.processes if process.role == role] if server else []


def _typical(role: str, key: str) -> Figure:
    def figure(program: Program) -> float | None:
        values = [getattr(process, key) for process in _processes(program, role)]
        return median(values) if values else None

    return figure


def _serving(program: Program) -> float | None:
    return program.run.server.pss() if program.run and program.run.server else None


def _anonymous(program: Program) -> float | None:
    return program.run.server.anonymous() if program.run and program.run.server else None


def _forked(programs: Sequence[Program]) -> Iterator[Row]:
    """How much of what a child may write to is still one with its parent's.

    As sizes: of a child that has only four pages, a share would say more than there is.
    """
    shown = [_of_child(program) for program in programs]
    if any(shown):
        yield Row("    as forked", [one or NONE for one in shown])


def _of_child(program: Program) -> str:
    """The medians over the children: `4 of 16 KiB`; "" where there are none."""
    children = _processes(program, "child")
    memory = _bytes(median(child.private_memory for child in children)) if children else "0"
    if memory == "0":
        return ""
    shared = _bytes(median(child.shared for child in children))
    number, _, unit = shared.partition(" ")
    return f"{number if unit == memory.partition(' ')[2] else shared} of {memory}"


def _processor(program: Program) -> float | None:
    run = program.run
    return None if run is None or run.user is None or run.system is None else run.user + run.system


def _on_disk(program: Program) -> float:
    return program.size + sum(file.size for file in program.files)


def _rebuilt_for(program: Program) -> float:
    return len(program.rebuilt_for())


_FILE = (
    _Line("size", lambda program: program.size, _bytes, "size"),
    _Line("mapped in all", _if_complete(lambda program: program.mapped_size), _bytes),
    _Line("other files", _if_complete(lambda program: program.libraries), whole, "independence"),
    _Line("with these, on disk", _if_complete(_on_disk), _bytes),
    _Line("relocations", _if_complete(lambda program: program.relocations), whole, "start"),
    _Line("look-ups", _if_complete(lambda program: program.start_work.look_ups), whole),
    _Line("rebuilt for", _rebuilt_for, whole, "updates"),
)
_RUN = (
    _Line("processor time", _processor, duration),
    _Line("instructions", _of_run("instructions"), whole),
    _Line("minor faults", _of_run("minor_faults"), whole),
    _Line("major faults", _of_run("major_faults"), whole, rare=True),
    _Line("RSS at most", _of_run("peak_rss"), _bytes),
)
_SERVER = (
    _Line("connections", _of_server("connections"), whole),
    _Line("PSS, serving", _serving, _bytes, "memory"),
    _Line("  anonymous", _anonymous, _bytes),
    _Line("  the parent", _typical("parent", "pss"), _bytes),
    _Line("  each child", _typical("child", "pss"), _bytes),
    _Line("    its own", _typical("child", "private"), _bytes),
)
_ONE_CONNECTION = _Line("one connection", _of_server("one_more_connection"), _bytes, "memory-copies")
_EXEC_TO_EXIT = _Line("exec to exit", _median_of(_seconds), duration, "start")
_PORT_OPEN = _Line("port open", _of_server("ready"), duration, "start")

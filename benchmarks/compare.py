"""`linkscope compare --run` beside others that measure the same of the same programs: whether it is right, and cheap.

In turn and in one run: times beside hyperfine, page faults beside perf-stat, memory beside /proc of copies that are
held here, the first answer of a server beside a connect that is tried without a pause; and what all of it costs.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Final

import msgspec

from benchmarks import judges, timing
from benchmarks.cases import interpreter_start, linkscope
from benchmarks.processes import FIXTURES
from benchmarks.timing import Failed
from linkscope.model.compare import CompareDocument, ProgramRun
from tests.oracle.availability import Unavailable

NAME: Final = "compare"
_FIVE: Final = ("dynamic-pie", "dynamic-nonpie", "static", "static-pie", "musl-static")
_RUNS: Final = 40  # of each program in one call of ours, and of hyperfine
_WARM_UPS: Final = 3  # as ours has
_COPIES: Final = (1, 4, 16)
_LONG_TURNS: Final = 7  # at most, of what takes seconds
_STARTS: Final = 10  # of a server by hand, in each turn
_MANY: Final = 400  # runs, by which two calls differ that show what one costs
_APART: Final = 0.1  # of hyperfine's time, and of /proc's memory: what is promised
_PAGE: Final = os.sysconf("SC_PAGESIZE")
_FAULTS: Final = 2  # addresses are random, and with them how many pages there are

Figures = Mapping[str, float]


class Row(msgspec.Struct, frozen=True):
    """One figure by both, and by how much ours is larger: each the median over the turns."""

    name: str
    ours: float
    theirs: float
    ratio: float


def print_compare(runs: int) -> bool:
    """All tables, of so many turns each; whether what is promised is kept."""
    print(f"\n{NAME}: what `linkscope compare --run` says, beside others that measure the same in turn with it")
    hello, servers = _linked("hello/hello-"), _linked("compare/server-")
    long = min(runs, _LONG_TURNS)
    kept = [_print_times(hello, long), _print_faults(hello, long), _print_memory(hello, long)]
    _print_servers(servers, long)
    _print_cost(hello[-1], long)
    _print_files(hello, runs)
    return all(kept)


def _linked(begin: str) -> list[str]:
    """The same source in five linkages, of those that this machine could build."""
    paths = (os.fspath(FIXTURES / f"{begin}{how}") for how in _FIVE)
    return [path for path in paths if os.path.exists(path)]


# --- The tables -------------------------------------------------------------------------------------------------------


def _print_times(programs: Sequence[str], turns: int) -> bool:
    """Of each by itself, as hyperfine has it, then of what each takes of the first one, of all side by side.

    What runs in between finds the caches otherwise, which costs the shortest program some; hyperfine has nothing there.
    """
    _head("time of a run", "hyperfine")
    alone, together = [], []
    try:
        for _ in range(turns):
            alone.append(_alone(programs))
            together.append((_seconds(programs), _by_hyperfine(programs)))
    except Unavailable as reason:
        return _left_out(reason)
    kept = [_print_row(row, _milliseconds, _is_near(row)) for row in _rows(*zip(*alone, strict=True))]
    for row in _against_first(*zip(*together, strict=True)):
        _print_row(row, _times)
    return all(kept)


def _alone(programs: Sequence[str]) -> tuple[Figures, Figures]:
    """By us, of a program beside itself, and the mean of two calls of hyperfine's around that. Raises Unavailable."""
    ours, theirs = {}, {}
    for path in programs:
        (before,) = judges.hyperfine_medians([path], _RUNS, _WARM_UPS)
        both = [run.seconds.median for _, run in _by_programs(_timed([path, path])) if run.seconds]
        (after,) = judges.hyperfine_medians([path], _RUNS, _WARM_UPS)
        ours[_short(path)], theirs[_short(path)] = median(both), (before + after) / 2
    return ours, theirs


def _against_first(ours: Sequence[Figures], theirs: Sequence[Figures]) -> Iterator[Row]:
    """What each takes of what the first one takes, which is what `compare` is asked for."""
    first = next(iter(ours[0]))
    for name in list(ours[0])[1:]:
        label = f"{name} / {first.removeprefix('hello-')}"
        yield from _rows(*([{label: turn[name] / turn[first]} for turn in by] for by in (ours, theirs)))


def _print_faults(programs: Sequence[str], turns: int) -> bool:
    _head("minor, major page faults", "perf stat")
    ours, theirs = [], []
    try:
        for _ in range(turns):
            theirs.append(_by_perf(programs))
            ours.append(_faults(programs))
    except Unavailable as reason:
        return _left_out(reason)
    rows = _rows(ours, theirs)
    kept = [_print_row(row, _number, abs(row.ours - row.theirs) <= _FAULTS) for row in rows]
    return all(kept)


def _print_memory(programs: Sequence[str], turns: int) -> bool:
    _head("PSS of copies", "/proc")
    ours, theirs = [], []
    for _ in range(turns):
        theirs.append(_by_proc(programs))
        ours.append(_pss(programs))
    kept = [_print_row(row, _kibibytes, _is_near(row, _some_pages(row.name))) for row in _rows(ours, theirs)]
    return all(kept)


def _print_servers(programs: Sequence[str], turns: int) -> None:
    _head("first answer of a server", "by hand")
    ours, theirs = [], []
    for _ in range(turns):
        theirs.append({_short(path): median(judges.first_answer(path) for _ in range(_STARTS)) for path in programs})
        ours.append(_ready(programs))
    for row in _rows(ours, theirs):
        _print_row(row, _milliseconds)


def _print_cost(program: str, turns: int) -> None:
    """From one start to the next. What a run costs is by how much a call with many of them takes longer, for each."""
    ways: dict[str, Callable[[], float]] = {
        "spawn and wait, by hand": lambda: judges.spawn_and_wait(program, _MANY),
        "linkscope compare --run": lambda: (_call(program, 2 * _MANY) - _call(program, _MANY)) / _MANY / 2,
        "hyperfine --shell=none": lambda: (_hyperfine(program, 2 * _MANY) - _hyperfine(program, _MANY)) / _MANY,
    }
    print(f"\n  {f'each run of {_short(program)}':34}{'takes':>12}{'is added':>12}{'ratio':>10}")
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, each in list(found.items()):
            try:
                each.append(ways[name]())
            except Unavailable as reason:
                _left_out(reason)
                del found[name]
    medians = {name: median(each) for name, each in found.items()}
    least = next(iter(medians.values()))
    for name, seconds in medians.items():
        added = _milliseconds(seconds - least) if seconds != least else ""
        print(f"  {name:34}{_milliseconds(seconds):>12}{added:>12}{seconds / least:>8.2f} x")
    said = [seconds for seconds in (_overhead(program) for _ in range(turns)) if seconds is not None]
    added = _milliseconds(median(said)) if said else "lost in noise"
    print(f"  {'what linkscope says that it adds':34}{'':11}{added:>13}")


def _print_files(programs: Sequence[str], runs: int) -> None:
    """Without --run, beside the least that a Python program can take."""
    ours, floor = linkscope("compare", "--format", "json", *programs), interpreter_start()
    with tempfile.NamedTemporaryFile(prefix="compare-") as output:
        measured = timing.in_turn([ours, floor], runs, output.name)
    print(f"\n  {f'{len(programs)} programs from their files':34}{'takes':>12}{'memory':>12}{'ratio':>10}")
    for name, one in measured.items():
        ratio = one.seconds / measured[floor.name].seconds
        print(f"  {name:34}{_milliseconds(one.seconds):>12}{one.memory / (1 << 20):>8.1f} MiB{ratio:>8.2f} x")


def _head(what: str, whose: str) -> None:
    print(f"\n  {what:34}{'linkscope':>12}{whose:>12}{'ratio':>10}", flush=True)


def _rows(ours: Sequence[Figures], theirs: Sequence[Figures]) -> list[Row]:
    return [
        Row(
            name,
            median(turn[name] for turn in ours),
            median(turn[name] for turn in theirs),
            median(_ratio(mine[name], other[name]) for mine, other in zip(ours, theirs, strict=True)),
        )
        for name in ours[0]
    ]


def _ratio(one: float, other: float) -> float:
    return one / other if other else 1.0 + one


def _is_near(row: Row, little: float = 0.0) -> bool:
    """Whether both say the same, as far as that is promised, or differ by so little."""
    return abs(row.ratio - 1) <= _APART or abs(row.ours - row.theirs) <= little


def _some_pages(name: str) -> int:
    """Bytes by which so many copies may differ: the stack begins anywhere, and from writing to the end is a step."""
    return int(name.rpartition(" ")[2]) * 2 * _PAGE


def _print_row(row: Row, shown: Callable[[float], str], kept: bool | None = None) -> bool:
    """Whether it is as it should be, which is so where nothing is promised."""
    promise = "" if kept is None else f"  {'kept' if kept else 'NOT KEPT'}"
    print(f"  {row.name:34}{shown(row.ours):>12}{shown(row.theirs):>12}{row.ratio:>8.2f} x{promise}", flush=True)
    return kept is not False


def _left_out(reason: Unavailable) -> bool:
    print(f"  left out: {reason}")
    return True


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms"


def _kibibytes(size: float) -> str:
    return f"{size / 1024:.0f} KiB"


def _number(value: float) -> str:
    return f"{value:g}"


def _times(value: float) -> str:
    return f"{value:.2f} x"


# --- What is said -----------------------------------------------------------------------------------------------------


def _short(path: str) -> str:
    return os.path.basename(path)


def _document(programs: Sequence[str], *options: str, arguments: Sequence[str] = ()) -> CompareDocument:
    """What our command says. Raises Failed."""
    command = linkscope("compare", "--run", "--format", "json", *options, *programs, "--", *arguments)
    done = subprocess.run(command.argv, capture_output=True)
    if done.returncode:
        raise Failed(f"{command.name} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    return msgspec.json.decode(done.stdout, type=CompareDocument)


def _by_programs(document: CompareDocument) -> Iterator[tuple[str, ProgramRun]]:
    for program in document.programs:
        if program.run is None:
            raise Failed(f"{program.path} was not run")
        yield _short(program.path), program.run


def _timed(programs: Sequence[str]) -> CompareDocument:
    return _document(programs, "--runs", str(_RUNS), "--copies", "1")


def _seconds(programs: Sequence[str]) -> Figures:
    return {name: run.seconds.median for name, run in _by_programs(_timed(programs)) if run.seconds}


def _by_hyperfine(programs: Sequence[str]) -> Figures:
    return dict(zip(map(_short, programs), judges.hyperfine_medians(programs, _RUNS, _WARM_UPS), strict=True))


def _faults(programs: Sequence[str]) -> Figures:
    found = {}
    for name, run in _by_programs(_document(programs, "--runs", "1", "--copies", "1")):
        found[f"{name}, minor"], found[f"{name}, major"] = run.minor_faults or 0, run.major_faults or 0
    return found


def _by_perf(programs: Sequence[str]) -> Figures:
    found = {}
    for path in programs:
        found[f"{_short(path)}, minor"], found[f"{_short(path)}, major"] = judges.perf_faults(path)
    return found


def _pss(programs: Sequence[str]) -> Figures:
    document = _document(programs, "--runs", "1", "--copies", ",".join(map(str, _COPIES)))
    return {f"{name}, {one.count}": one.pss for name, run in _by_programs(document) for one in run.copies}


def _by_proc(programs: Sequence[str]) -> Figures:
    return {f"{_short(path)}, {count}": judges.pss_of_copies(path, count) for path in programs for count in _COPIES}


def _ready(programs: Sequence[str]) -> Figures:
    options = ("--serve", "auto", "--connections", "1", "--copies", "1")
    document = _document(programs, *options, arguments=("-p", "{port}"))
    return {name: run.server.ready for name, run in _by_programs(document) if run.server}


def _overhead(program: str) -> float | None:
    """Seconds by its own account; None where that was lost in the noise."""
    measurement = _document([program, program], "--runs", "1", "--copies", "1").measurement
    return measurement.overhead if measurement else None


def _call(program: str, runs: int) -> float:
    """Seconds of a whole call of ours, which takes two programs."""
    begin = time.monotonic()
    _document([program, program], "--runs", str(runs), "--copies", "1")
    return time.monotonic() - begin


def _hyperfine(program: str, runs: int) -> float:
    """Seconds of a whole call of hyperfine. Raises Unavailable."""
    begin = time.monotonic()
    judges.hyperfine_medians([program], runs, 0)
    return time.monotonic() - begin

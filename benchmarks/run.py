"""`make bench`: each comparison side by side, its commands in turn, and whether LinkScope keeps what it promises."""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks import compare, contents, processes, readers, timing
from benchmarks.cases import MIB, Case, Growth, all_programs, cases, growth
from benchmarks.timing import Measured

_READERS: Final = "readers"
_SAMPLE: Final = 40  # files that each reader reads
_HEADER: Final = f"  {'':24}{'median':>10}{'fastest':>10}{'CPU time':>10}{'memory':>11}"
_LIBRARIES: Final = ("click", "msgspec", "pyelftools", "lief")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="rounds of each comparison (15)")
    parser.add_argument("--processes", type=int, default=500, metavar="N", help="how many are started (500)")
    parser.add_argument("--only", metavar="NAME", help="one comparison, such as `stale`")
    given = parser.parse_args(arguments)
    # Not below /tmp, where needrestart looks at nothing.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=processes.FIXTURES) as scratch:
        every = cases(scratch, given.processes)
        grows = growth(given.processes)
        names = [case.name for case in every] + [grows.name, _READERS, contents.NAME, compare.NAME]
        if given.only not in (None, *names):
            parser.error(f"no comparison is called {given.only}; there are {', '.join(names)}")
        output = os.path.join(scratch, "output")
        print(*_machine(), sep="\n")
        kept = [_print_case(case, given.runs, output) for case in every if given.only in (None, case.name)]
        if given.only in (None, grows.name):
            kept.append(_print_growth(grows, given.runs, output))
    if given.only in (None, _READERS):
        _print_readers(given.runs)
    if given.only in (None, contents.NAME):
        contents.print_contents()
    if given.only in (None, compare.NAME):
        kept.append(compare.print_compare(given.runs))
    return 0 if all(kept) else 1


def _machine() -> Iterator[str]:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    model = next((line.partition(": ")[2] for line in info.splitlines() if line.startswith("model name")), "?")
    yield f"{len(os.sched_getaffinity(0))} CPUs ({model}), Linux {platform.release()}"
    yield f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)


def _print_case(case: Case, runs: int, output: str) -> bool:
    """One comparison's table; whether all that it promises is kept."""
    print(f"\n{case.name}: {case.about}")
    measured = _measured(case, runs, output)
    ours = measured[case.ours.name]
    print(_HEADER + f"{'ours takes':>13}")
    print(_row(case.ours.name, ours, "") + _time_promise(ours.seconds, case.seconds))
    kept = case.seconds is None or ours.seconds <= case.seconds
    for rival in case.theirs:
        ratio = ours.seconds / measured[rival.name].seconds
        most = case.most.get(rival.name)
        kept = kept and (most is None or ratio <= most)
        print(_row(rival.name, measured[rival.name], f"{ratio:.2f} x") + _promise(ratio, most))
    for reason in case.left_out:
        print(f"  left out: {reason}")
    return _print_memory(case, output) and kept


def _measured(case: Case, runs: int, output: str) -> Mapping[str, Measured]:
    """The commands of one comparison in turn, while what they look at runs."""
    commands = [case.ours, *case.theirs]
    if case.crowd is None:
        return timing.in_turn(commands, runs, output)
    with processes.running(case.crowd) as pids:
        return timing.in_turn([command.about(pids[0]) for command in commands], runs, output)


def _row(name: str, figures: Measured, ratio: str) -> str:
    times = "".join(f"{_milliseconds(one):>10}" for one in (figures.seconds, figures.fastest, figures.processor))
    return f"  {name:24}{times}{figures.memory / MIB:7.1f} MiB{ratio:>13}"


def _time_promise(seconds: float, most: float | None) -> str:
    return "" if most is None else " " * 13 + _promise(seconds * 1000, most * 1000)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _promise(found: float, most: float | None) -> str:
    """Whether a figure is within what was promised; empty where nothing was."""
    return "" if most is None else f"  (at most {most:g}: {'kept' if found <= most else 'NOT KEPT'})"


def _print_memory(case: Case, output: str) -> bool:
    """The memory of all processes together, where there is a promise about it; whether it is kept."""
    if case.memory is None:
        return True
    all_together = timing.memory_of_all(case.ours, output)
    print(f"  all processes of {case.ours.name} together: {all_together / MIB:.1f} MiB", end="")
    print(_promise(all_together / MIB, case.memory / MIB))
    return all_together <= case.memory


def _print_growth(grows: Growth, runs: int, output: str) -> bool:
    """The same command with few and with many processes to look at; whether its memory stays within the promise."""
    print(f"\n{grows.name}: {grows.about}")
    print(_HEADER + f"{'memory':>13}")
    first, ratio = 0, 1.0
    for crowd in grows.crowds:
        with processes.running(crowd):
            (found,) = timing.in_turn([grows.ours], runs, output).values()
        first = first or found.memory
        ratio = found.memory / first
        promise = _promise(ratio, grows.most) if crowd is grows.crowds[-1] else ""
        print(_row(f"{grows.ours.name}, {crowd.size}", found, f"{ratio:.2f} x") + promise)
    return ratio <= grows.most


def _print_readers(runs: int) -> None:
    programs = all_programs()
    paths = programs[:: max(1, len(programs) // _SAMPLE)][:_SAMPLE]
    print(f"\n{_READERS}: headers, segments and dynamic section of one file, mean of {len(paths)} programs")
    found = readers.seconds_a_file(paths, runs)
    for name, seconds in found.items():
        print(f"  {name:24}{seconds * 1000:10.3f} ms{seconds / found['own reader']:10.1f} x")


if __name__ == "__main__":
    sys.exit(main())

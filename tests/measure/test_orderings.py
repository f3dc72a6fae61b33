"""Which program is better is said alike each time: what differs never changes sides, and equals stay equal."""

import os
import shutil
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.compare import compare
from linkscope.analysis.comparing.measured import Measured, measured
from linkscope.analysis.comparing.verdict import verdict
from linkscope.analysis.request import Running
from linkscope.measure.spread import Difference
from tests.cli.conftest import REPOSITORY

HELLO = REPOSITORY / "fixtures/build/hello"

_MEASURED = ("start", "memory", "memory-copies")
_CALLS = 3
_COPIES = {"hello-static": "static-copy", "hello-cpp": "cpp-copy"}
_QUICK = Running(rounds=100, copies=(1, 4))


def _programs(folder: Path) -> list[str]:
    """hello in five linkages, in C++ as well, and two of them once more in other files."""
    names = ("dynamic-pie", "dynamic-nonpie", "static", "static-pie", "musl-static", "cpp")
    paths = [str(path) for name in names if (path := HELLO / f"hello-{name}").exists()]
    return [*paths, *(shutil.copy(str(HELLO / name), str(folder / copy)) for name, copy in _COPIES.items())]


def _measured(paths: list[str], running: Running) -> Measured:
    from_files = compare(paths)
    assert from_files.errors == []
    return measured(from_files.programs, paths, running, os.environ, lambda _work: None)


def _sides(found: list[Measured]) -> dict[tuple[str, str, str], set[str | None]]:
    """By criterion and pair of names: who was called better, in all calls; None: nobody."""
    sides: dict[tuple[str, str, str], set[str | None]] = defaultdict(set)
    for one in found:
        assert one.errors == []
        for pair in combinations(range(len(one.programs)), 2):
            programs = [one.programs[place] for place in pair]
            for said in verdict(programs, _OfPair(one, pair)):
                if said.criterion in _MEASURED:
                    first, second = (os.path.basename(program.path) for program in programs)
                    sides[said.criterion, first, second].add(said.better)
    return sides


class _OfPair(msgspec.Struct):
    """What was measured of two of all programs, by their places among the two."""

    of: Measured
    pair: tuple[int, int]

    def starts(self, one: int, other: int) -> Difference:
        return self.of.starts(self.pair[one], self.pair[other])

    def heavier(self, one: int, other: int, count: int) -> Difference:
        return self.of.heavier(self.pair[one], self.pair[other], count)

    def serving(self, one: int, other: int) -> Difference:
        return self.of.serving(self.pair[one], self.pair[other])

    def connection(self, one: int, other: int) -> Difference:
        return self.of.connection(self.pair[one], self.pair[other])


def _check(sides: dict[tuple[str, str, str], set[str | None]]) -> None:
    both_ways = {key: who for key, who in sides.items() if len(who - {None}) > 1}
    assert both_ways == {}
    for criterion in _MEASURED:
        for name, copy in _COPIES.items():
            assert sides[criterion, name, copy] == {None}, (criterion, copy)
    assert str(HELLO / "hello-static") in sides["start", "hello-dynamic-pie", "hello-static"]


def test_what_differs_never_changes_sides_and_a_copy_of_a_file_ties_with_it(tmp_path: Path) -> None:
    paths = _programs(tmp_path)
    _check(_sides([_measured(paths, _QUICK) for _ in range(_CALLS)]))


@pytest.mark.quiet
def test_so_it_is_in_ten_calls_with_as_many_runs_as_make_the_medians_certain(tmp_path: Path) -> None:
    paths = _programs(tmp_path)
    _check(_sides([_measured(paths, Running()) for _ in range(10)]))

"""Memory of copies: smaps summed here, psutil, and programs that touch a known number of MiB are the judges."""

import itertools
import mmap
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import msgspec
import psutil
import pytest

from linkscope.errors import NotStarted, RunFailed
from linkscope.measure.command import Bounds
from linkscope.measure.copies import (
    CopiesMeasured,
    Subject,
    Take,
    Taken,
    copies,
    copies_in_turn,
    cost_of_one_more,
    measured,
    own_memory,
    times,
)
from linkscope.measure.heavier import heavier, paired
from linkscope.measure.held import held_at_exit
from linkscope.measure.leftovers import none_left
from linkscope.measure.memory import Memory, available, memory_of, memory_of_all
from linkscope.measure.peak import peak
from linkscope.model.compare import Copies
from tests.measure.marked import command, left
from tests.process.started import VARIANTS, started, until, variants

FixtureFile = Callable[[str], Path]
KIB, MIB = 1 << 10, 1 << 20
BOUNDS = Bounds(timeout=60.0)
# What a program's own start may differ by from one time to the next: its stack, its tables.
STARTS = 64 * KIB
WAITS = "it waits for the end of processes that it starts: what these take is in no figure of memory"


def _rows(pid: int, name: str) -> list[int]:
    """The values of one row of smaps, in bytes, one for each mapping."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    return [int(value) * KIB for value in re.findall(rf"^{name}: +(\d+) kB$", text, re.MULTILINE)]


def _of(found: CopiesMeasured, count: int) -> Copies:
    return next(one for one in found.copies if one.count == count)


def _alone(take: Take, counts: list[int], seconds: float, repeat: int) -> CopiesMeasured:
    (found,) = measured([Subject(take, peak=1)], counts, "exit", seconds, repeat)
    return found


def _at_rest(pid: int, tid: int) -> tuple[Memory, list[int]] | None:
    """Its memory and its rows of Pss, unless somebody who has the same pages came or went meanwhile."""
    before, rows = memory_of(pid), _rows(tid, "Pss")
    return (before, rows) if memory_of(pid) == before else None


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    """Eight MiB, in the page cache."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(8 * MIB))
    return path


# --- The figures are those of /proc -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*variants("runs/memory"), "hello/hello-go", "hello/hello-cpp"])
def test_the_figures_are_the_sums_of_smaps(name: str, fixture_file: FixtureFile) -> None:
    arguments = ("-m", "2") if name.startswith("runs/") else ()
    with none_left(), held_at_exit([command(fixture_file(name), *arguments)] * 3, 60) as held:
        for copy in held:
            # Where the first thread has ended, /proc/PID shows no memory, and another thread does.
            tid = next(int(tid) for tid in os.listdir(f"/proc/{copy.pid}/task") if _rows(int(tid), "Rss"))
            found, pss = until(lambda pid=copy.pid, tid=tid: _at_rest(pid, tid), "a moment without others")  # type: ignore[misc]
            assert found.rss == sum(_rows(tid, "Rss"))
            assert found.private == sum(_rows(tid, "Private_Clean") + _rows(tid, "Private_Dirty"))
            # smaps rounds the row of each mapping down, the kernel's own sum is rounded once.
            assert sum(pss) <= found.pss <= sum(pss) + KIB * len(pss)
            tables = re.search(r"VmPTE:\s+(\d+) kB", Path(f"/proc/{tid}/status").read_text())
            assert tables is not None
            assert found.page_tables == int(tables[1]) * KIB
        whole = memory_of_all(copy.pid for copy in held)
        assert whole.rss == sum(memory_of(copy.pid).rss for copy in held)


def test_the_figures_are_those_of_psutil(fixture_file: FixtureFile) -> None:
    """Uss is what is private; its Rss is of statm, which counts less exactly since Linux 6.2."""
    with none_left(), held_at_exit([command(fixture_file("hello/hello-dynamic-pie"))], 60) as held:
        process = psutil.Process(held[0].pid)

        def alike() -> bool:  # unless somebody who has the same pages came or went meanwhile
            theirs, found = process.memory_full_info(), memory_of(process.pid)
            return (found.private, found.pss) == (theirs.uss, theirs.pss)

        assert until(alike, "the same figures")


def test_what_is_available_is_what_psutil_says() -> None:
    there = available()
    assert there is not None
    assert abs(there - psutil.virtual_memory().available) < 256 * MIB


# --- Memory of known size ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_each_copy_touches_costs_each_copy_as_much(variant: str, fixture_file: FixtureFile) -> None:
    path = fixture_file(f"runs/memory{variant}")
    small, large = (copies(command(path, "-m", mib), [1, 3], BOUNDS, 2) for mib in ("0", "8"))
    for count in (1, 3):
        for name in ("rss", "pss", "private"):
            more = getattr(_of(large, count), name) - getattr(_of(small, count), name)
            # Which pages of libraries are mapped around a fault is chance.
            assert abs(more - 8 * MIB * count) < (16 if name == "rss" else 1) * STARTS * count, (count, name)
    assert small.one_more_copy is not None
    assert large.one_more_copy is not None
    assert abs(large.one_more_copy - small.one_more_copy - 8 * MIB) < STARTS
    assert {one.moment for one in large.copies} == {"exit"}


def test_what_a_copy_shares_with_its_own_child_counts_once(
    fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child lives on when its parent ends, and is taken for one that ends soon: both have the pages, neither for
    itself alone.
    """
    monkeypatch.setattr("linkscope.measure.copies.failure_later", lambda *_: None)
    path = fixture_file("runs/memory-static")
    without, shared = (copies(command(path, "-s", mib), [2], BOUNDS, 1) for mib in ("0", "8"))
    assert abs(_of(shared, 2).rss - _of(without, 2).rss - 2 * 16 * MIB) < 4 * MIB
    assert abs(_of(shared, 2).pss - _of(without, 2).pss - 2 * 8 * MIB) < MIB
    assert _of(shared, 2).private < MIB
    assert shared.notes == [
        "with 2 copies, 2 processes of the program ran on at the end, and the sums have that memory too"
    ]
    assert left() == []


def test_a_file_that_all_copies_map_is_there_once(fixture_file: FixtureFile, file: Path) -> None:
    found = copies(command(fixture_file("runs/memory-static"), "-f", str(file)), [1, 4], BOUNDS, 1)
    assert 8 * MIB <= _of(found, 1).pss < 10 * MIB
    assert 8 * MIB <= _of(found, 4).pss < 10 * MIB
    assert _of(found, 4).rss > 4 * 8 * MIB
    assert found.one_more_copy is not None
    assert found.one_more_copy < MIB / 2


def test_copies_are_charged_for_pages_that_others_have_too(fixture_file: FixtureFile, file: Path) -> None:
    """With M others, N copies have N / (N + M) of a page; what one more costs the machine is own_memory."""
    program = command(fixture_file("runs/memory-static"), "-f", str(file))
    alone = copies(program, [1, 4], BOUNDS, 1)
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[at] >= 0 for at in range(0, len(mapped), 4096)) == 2048
        beside = copies(program, [1, 4], BOUNDS, 1)
    assert alone.one_more_copy is not None
    assert beside.one_more_copy is not None
    expected = 8 * MIB * (4 / 5 - 1 / 2) / 3
    assert abs(beside.one_more_copy - alone.one_more_copy - expected) < STARTS
    one, other = own_memory(alone.copies), own_memory(beside.copies)
    assert one is not None
    assert other is not None
    assert abs(one - other) < STARTS
    assert abs(one - alone.one_more_copy) < STARTS
    assert any("other programs on this machine have mapped as well" in note for note in beside.notes)
    assert not any("other programs on this machine" in note for note in alone.notes)


# --- What one more costs, and what is noise ---------------------------------------------------------------------------


def _figures(*pss: tuple[int, int]) -> list[Copies]:
    return [Copies(count=n, rss=0, pss=size, private=size, page_tables=0, moment="exit") for n, size in pss]


@pytest.mark.parametrize(
    ("figures", "cost"),
    [
        ([], None),
        (_figures((1, 5000)), None),
        (_figures((1, 5000), (16, 20000)), 1000),
        # The numbers between do not matter: with the largest, all is what one takes and 15 times this.
        (_figures((4, 17000), (16, 20000), (1, 5000)), 1000),
    ],
)
def test_one_more_copy_is_the_slope_between_the_fewest_and_the_most(figures: list[Copies], cost: int | None) -> None:
    assert cost_of_one_more(figures) == cost


def test_medians_and_noise_come_from_the_repetitions() -> None:
    taken = {1: iter([100, 120, 104]), 5: iter([900, 940, 910])}

    def take(count: int) -> Taken:
        return Taken(Memory(pss=next(taken[count]), private=1), (0,) * count)

    found = _alone(take, [5, 1], 60, 3)
    assert [(one.count, one.pss) for one in found.copies] == [(1, 104), (5, 910)]
    assert (found.one_more_copy, found.noise) == (202, 55)  # what five would have had
    assert found.samples == {1: [100, 120, 104], 5: [900, 940, 910]}


def test_five_lie_as_far_apart_as_is_made_of_fewer() -> None:
    """On the average, of a thousand draws from one distribution; and five are what they are."""
    chance = random.Random(1)

    def noise(repeat: int) -> float:
        drawn = (Taken(Memory(pss=round(chance.gauss(100_000, 1_000))), (0,)) for _ in range(repeat))
        return _alone(lambda _count: next(drawn), [1], 60, repeat).noise

    averages = {repeat: mean(noise(repeat) for _ in range(1000)) for repeat in (2, 3, 4, 5)}
    assert all(average == pytest.approx(averages[5], rel=0.1) for average in averages.values())


def test_of_what_takes_long_the_fewest_are_repeated_and_the_others_have_the_noise_of_so_many() -> None:
    """Without any noise everything would be told apart."""
    asked = []

    def take(count: int) -> Taken:
        asked.append(count)
        return Taken(Memory(pss=1000 * count + 10 * len(asked)), (0,))

    found = _alone(take, [2, 4, 8], 0.0, 5)
    assert asked == [2, 2, 4, 8]
    assert [one.noise for one in found.copies] == [21, 42, 84]


@pytest.mark.parametrize("seconds", [0.01, 0.3, 0.7, 1.5, 2.1, 50.0])
def test_how_often_is_what_is_foreseen(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """By a clock that goes on while a number is looked at, and only then."""
    asked: list[int] = []

    def take(count: int) -> Taken:
        asked.append(count)
        return Taken(Memory(pss=1), (0,))

    clock = SimpleNamespace(monotonic=lambda: seconds * len(asked))
    monkeypatch.setattr("linkscope.measure.copies.time", clock)
    _alone(take, [1, 2], 60, 4)
    assert asked == [1] * times(seconds, 4, 2) + [2] * times(seconds, 4, 1)


# --- Programs in turn -------------------------------------------------------------------------------------------------


def test_in_each_round_every_program_has_its_turn_in_an_order_that_changes() -> None:
    asked = []

    def subject(name: str) -> Subject:
        def take(count: int) -> Taken:
            asked.append((name, count))
            return Taken(Memory(pss=count), (0,) * count)

        return Subject(take)

    measured([subject(name) for name in "abc"], [1, 2], "exit", 60, 4)
    rounds = [tuple(asked[at : at + 3]) for at in range(0, len(asked), 3)]
    assert len(rounds) == 8
    assert all(sorted(name for name, _ in one) == ["a", "b", "c"] for one in rounds)
    assert [{count for _, count in one} for one in rounds] == [{1}] * 4 + [{2}] * 4
    assert len(set(rounds[:4])) > 1


def test_what_happens_between_two_rounds_makes_no_difference() -> None:
    """All take a third more from the third round on, as when somebody who had the same pages has gone."""
    rounds = {name: iter([600, 600, 800, 800, 800]) for name in "ab"}
    same = [Subject(lambda _, name=name: Taken(Memory(pss=1000 * next(rounds[name])), (0,))) for name in "ab"]  # type: ignore[misc]
    one, other = measured(same, [1], "exit", 60, 5)
    assert not heavier(one.samples, other.samples, 1).is_real
    assert one.noise == 200_000


def test_a_program_that_cannot_be_started_is_left_out_and_the_others_go_on(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    programs = [command(tmp_path / "absent"), command(fixture_file("hello/hello-static"))]
    gone, there = copies_in_turn(programs, [1, 2], BOUNDS, 2)
    assert isinstance(gone.failure, NotStarted)
    assert gone.copies == []
    assert there.failure is None
    assert [one.count for one in there.copies] == [1, 2]


def test_a_program_ties_with_a_copy_of_its_file_however_often_they_are_compared(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """A C++ program shares more pages with others than it has itself, and these come and go."""
    file = fixture_file("hello/hello-cpp")
    programs = [command(path) for path in (file, shutil.copy(file, tmp_path / "the-same"))]
    for _ in range(10):
        one, same = copies_in_turn(programs, [1, 4], BOUNDS, 3)
        for count in (1, 4):
            assert not heavier(one.samples, same.samples, count).is_real, (count, one.samples, same.samples)


def test_one_that_takes_more_is_told_apart(fixture_file: FixtureFile) -> None:
    programs = [command(fixture_file("hello/hello-static")), command(fixture_file("runs/memory-static"), "-m", "1")]
    small, large = copies_in_turn(programs, [1, 4], BOUNDS, 3)
    for count in (1, 4):
        found = heavier(large.samples, small.samples, count)
        assert found.is_real
        assert found.low > 1
        assert heavier(small.samples, large.samples, count).is_real


def test_wherever_two_programs_are_told_apart_they_come_in_the_same_order(fixture_file: FixtureFile) -> None:
    """However often they are measured; and the same source, linked in other ways, truly differs."""
    names = ("dynamic-pie", "dynamic-nonpie", "static", "musl-static")
    programs = [command(fixture_file(f"hello/hello-{name}")) for name in names]
    calls = [dict(zip(names, copies_in_turn(programs, [1, 8], BOUNDS, 3), strict=True)) for _ in range(4)]
    for one, other in itertools.combinations(names, 2):
        differences = [heavier(found[one].samples, found[other].samples, 8) for found in calls]
        orders = {found.ratio > 1 for found in differences if found.is_real}
        assert len(orders) <= 1, (one, other)
    assert all(heavier(one["dynamic-pie"].samples, one["musl-static"].samples, 8).is_real for one in calls)


PAGES = 1000 * 4096


@pytest.mark.parametrize(
    ("one", "other", "is_real"),
    [
        ([PAGES * 104 // 100] * 5, [PAGES] * 5, True),
        ([PAGES * 102 // 100] * 5, [PAGES] * 5, False),  # less than 3 %
        ([PAGES, PAGES * 110 // 100, PAGES * 110 // 100], [PAGES] * 3, False),  # not in every round
        ([PAGES * 110 // 100, PAGES * 108 // 100], [PAGES] * 2, True),
        ([PAGES * 110 // 100, PAGES * 104 // 100], [PAGES] * 2, False),  # of five, one might have been below 3 %
        ([20 * 4096 + 4095] * 5, [20 * 4096] * 5, False),  # less than a page
        ([20 * 4096 + 8192] * 5, [20 * 4096] * 5, True),
        ([2 * PAGES], [PAGES], False),  # of which nothing is known
        ([], [], False),
    ],
)
def test_a_difference_is_one_that_is_there_in_every_round(one: list[int], other: list[int], is_real: bool) -> None:
    assert paired(one, other).is_real == is_real
    assert paired(other, one).is_real == is_real


def test_what_was_taken_once_may_be_wrong_by_so_many_times_the_noise_of_the_fewest() -> None:
    one = {1: [PAGES, PAGES + 100_000], 4: [5 * PAGES]}
    assert not heavier(one, {1: [PAGES, PAGES], 4: [5 * PAGES - 1_200_000]}, 4).is_real  # 2.06 * 100,000 * 4 and 3 %
    assert heavier(one, {1: [PAGES, PAGES], 4: [5 * PAGES - 1_600_000]}, 4).is_real


# --- What cannot be measured ------------------------------------------------------------------------------------------


def test_copies_that_would_not_fit_are_not_started(fixture_file: FixtureFile) -> None:
    found = copies(command(fixture_file("runs/memory-static"), "-m", "8"), [1, 1 << 24], BOUNDS, 1)
    assert [one.count for one in found.copies] == [1]
    assert re.fullmatch(
        r"the memory of 16777216 copies at once is not told: they might take .* more, and .* are available",
        found.notes[0],
    )
    assert found.one_more_copy is None


# 64 MiB, of which nothing is left at its end.
GIVES_BACK = "import mmap; m = mmap.mmap(-1, 64 << 20); m[::4096] = b'x' * len(m[::4096]); m.close()"


@pytest.mark.parametrize(("counts", "there"), [([1, 8], [1]), ([8], [])])
def test_room_is_needed_for_the_most_that_copies_have_also_before_their_end(
    counts: list[int], there: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where 200 MiB are free, eight are not started, be they the first or not."""
    monkeypatch.setattr("linkscope.measure.copies.available", lambda: 200 * MIB)
    program = command(sys.executable, "-S", "-c", GIVES_BACK)
    found = copies(program, counts, BOUNDS, 1)
    assert [one.count for one in found.copies] == there
    assert found.notes[0].startswith("the memory of 8 copies at once is not told: they might take 5")
    assert program.tally.starts == 1


def test_a_peak_that_is_known_need_not_be_looked_for(
    fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkscope.measure.copies.available", lambda: 100 * MIB)
    programs = [command(fixture_file("hello/hello-static")) for _ in range(2)]
    large, small = copies_in_turn(programs, [4], BOUNDS, 1, [64 * MIB, MIB])
    assert (large.copies, programs[0].tally.starts) == ([], 0)
    assert [one.count for one in small.copies] == [4]


def test_processes_that_have_ended_before_are_told_of() -> None:
    assert copies(command("/bin/sh", "-c", "/bin/true; exit 0"), [1], BOUNDS, 1).notes == [WAITS]


def test_copies_that_end_otherwise_than_one_are_told_of(tmp_path: Path) -> None:
    """The second one finds the folder of the first."""
    one = command("/bin/sh", "-c", f"mkdir {tmp_path}/folder 2>&-; exit $?")
    found = copies(msgspec.structs.replace(one, accepted=(0, 1)), [1, 2], BOUNDS, 1)
    assert [one.count for one in found.copies] == [1, 2]
    assert found.notes[0] == "of 2 copies at once not all end alike: one with exit code 1"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("exit 1", "ends with exit code 1, after a first run that ended well"),
        ("kill -SEGV $$", "is killed by signal 11 (SIGSEGV), after a first run that ended well"),
        ("sleep 1000 & exit 0", r"ends and leaves a process behind: sleep \(\d+\), after a first run that ended well"),
        ("exec sleep 1000", r"does not end within 1 s \(its first run did\)"),
    ],
    ids=["fails", "dies", "leaves", "hangs"],
)
def test_one_that_fails_only_when_it_is_held_is_told_of_as_one_that_fails_later(lines: str, said: str) -> None:
    """Some programs notice that they are traced, and give up: what they take then says nothing."""
    program, bounds = command("/bin/sh", "-c", lines), Bounds(timeout=1.0)
    said = said if "\\" in said else re.escape(said)
    found = copies(program, [1, 2], bounds, 1)
    assert found.copies == []
    assert re.fullmatch(rf"the memory of one copy at once is not told: {said}", found.notes[0])
    with pytest.raises(RunFailed) as failure:
        peak(program, bounds)
    assert re.fullmatch(said, failure.value.reason)
    assert left() == []


def test_where_one_of_several_fails_the_figures_of_fewer_stay(tmp_path: Path) -> None:
    lines = f"echo >> {tmp_path}/log; test $(wc -l < {tmp_path}/log) -lt 3"
    found = copies(command("/bin/sh", "-c", lines), [1, 2], BOUNDS, 1)
    assert [one.count for one in found.copies] == [1]
    assert found.notes[0] == (
        "the memory of 2 copies at once is not told: one of them ends with exit code 1, after a first run that ended "
        "well"
    )


def test_an_end_that_is_accepted_is_not_told_of() -> None:
    accepting = msgspec.structs.replace(command("/bin/false"), accepted=(0, 1))
    assert copies(accepting, [1], BOUNDS, 1).notes == []


def test_a_program_that_traces_others_does_so_while_it_is_held(require_tool: Callable[[str], str]) -> None:
    """What it starts is not traced here, so that gdb may."""
    gdb = require_tool("gdb")
    found = copies(command(gdb, "-nx", "-batch", "-ex", "run", "--args", "/bin/true"), [2], BOUNDS, 1)
    assert found.copies[0].pss > MIB
    assert found.notes == [WAITS]


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="no such file or directory"):
        copies(command(tmp_path / "absent"), [1], BOUNDS)


def test_nothing_of_others_is_counted_or_ended(fixture_file: FixtureFile) -> None:
    """A child that was there before stays, and its memory is its own."""
    with started([fixture_file("runs/server-static"), "-m", "32"]) as other:
        found = copies(command(fixture_file("hello/hello-static")), [1, 2], BOUNDS, 1)
        assert other.process.poll() is None
    assert _of(found, 2).rss < 8 * MIB
    assert found.notes == []

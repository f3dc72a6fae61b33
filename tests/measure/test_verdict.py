"""Which program is better, from figures that are set by hand: what is said of them follows from them alone."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.measure.suggestions import suggestions
from linkscope.measure.verdict import verdict
from linkscope.model.compare import (
    Copies,
    Loss,
    MappedFile,
    Part,
    Program,
    ProgramRun,
    Reach,
    Spread,
    StartWork,
    Update,
    Verdict,
)
from linkscope.model.inspect import Hardening, Libc

KIB = 1024


def program(path: str, **changed: object) -> Program:
    """A dynamic program of 16 KiB that maps one library; CHANGED are fields of it."""
    plain = Program(
        path=path,
        linkage="dynamic",
        pie=True,
        size=16 * KIB,
        mapped_size=2000 * KIB,
        libraries=2,
        relocations=90,
        run=None,
        memory_size=20 * KIB,
        parts=[Part(kind="own-code", name=None, size=16 * KIB)],
        files=[
            MappedFile(
                path="/lib/libc.so.6", soname="libc.so.6", size=1900 * KIB, mapped_size=1980 * KIB, package="libc6"
            )
        ],
        start_work=StartWork(relative=3, symbolic=80, lazy=4, indirect=7, look_ups=80),
        updates=[Update(library="libc.so.6", project=None, how="restart", path="/lib/libc.so.6", package="libc6", version=None)],
        libc=Libc(family="glibc", version=None),
        requires={"GLIBC": "2.34"},
        needs_kernel="3.2.0",
        reach=Reach(systems=60, starts=20, doubtful=0, oldest={"debian": "12"}),
        hardening=Hardening(relro="full", bind_now=True, nx=True, canary=None, fortify=None),
        losses=[],
        problems=[],
        path_bytes=None,
    )
    return msgspec.structs.replace(plain, **changed)


def static(path: str, **changed: object) -> Program:
    """The same linked statically."""
    given: dict[str, object] = {
        "linkage": "static",
        "size": 800 * KIB,
        "libraries": 0,
        "relocations": 25,
        "parts": [
            Part(kind="own-code", name=None, size=20 * KIB),
            Part(kind="library-code", name="glibc", size=780 * KIB),
        ],
        "files": [],
        "updates": [Update(library="glibc", project="glibc", how="rebuild", path=None, package=None, version="2.36")],
        "requires": {},
        "reach": Reach(systems=60, starts=58, doubtful=0, oldest={"debian": "11"}),
        "losses": [Loss(code="nss", message="…")],
    }
    return program(path, **(given | changed))


def timed(seconds: float, spread: float = 0.01, **changed: object) -> ProgramRun:
    """A run whose median is certain to SPREAD (a share of it)."""
    plain = ProgramRun(
        seconds=Spread(median=seconds, low=seconds * (1 - spread), high=seconds * (1 + spread)),
        user=0.0,
        system=0.0,
        minor_faults=50,
        major_faults=0,
        instructions=None,
        peak_rss=1000 * KIB,
        copies=[],
        one_more_copy=None,
    )
    return msgspec.structs.replace(plain, **changed)


def with_memory(one: int, more: int, noise: int = 0) -> ProgramRun:
    """A run of which one copy takes ONE bytes of PSS, and each further one MORE."""
    copies = [
        Copies(count=count, rss=one, pss=one + (count - 1) * more, private=more, page_tables=0, moment="exit")
        for count in (1, 16)
    ]
    return timed(0.001, copies=copies, one_more_copy=more, memory_noise=noise)


def by_name(verdicts: list[Verdict]) -> dict[str, Verdict]:
    return {one.criterion: one for one in verdicts}


def test_from_files_alone_each_criterion_names_the_better_one_with_both_figures() -> None:
    found = by_name(verdict([program("./dyn"), static("./st")]))
    assert {name: one.better for name, one in found.items()} == {
        "size": "./dyn",
        "start": "./st",
        "independence": "./st",
        "updates": "./dyn",
        "portability": "./st",
    }
    assert found["size"].ratio == pytest.approx(16 / 800)
    assert found["size"].message == (
        "dyn is the smallest file: 16 KiB against 800 KiB of st (0.02 x), which has 780 KiB of code of glibc inside"
    )
    assert found["portability"].more
    assert found["portability"].ratio == pytest.approx(58 / 20)
    assert "which needs GLIBC_2.34" in found["portability"].message
    assert found["independence"].ratio == 0
    assert found["updates"].values[1].value == 1


def test_times_that_overlap_are_a_tie_and_the_message_says_so() -> None:
    one, other = program("a", run=timed(0.00100, 0.05)), program("b", run=timed(0.00104, 0.05))
    start = by_name(verdict([one, other]))["start"]
    assert (start.better, start.tied, start.ratio) == (None, ["a", "b"], None)
    assert "tie" in start.message
    assert "noise" in start.message


def test_times_apart_name_the_faster_one() -> None:
    start = by_name(verdict([program("a", run=timed(0.002)), static("b", run=timed(0.001))]))["start"]
    assert (start.better, start.unit) == ("b", "seconds")
    assert start.ratio == pytest.approx(0.5)
    assert start.message == (
        "b is done first: 1.00 ms against 2.00 ms of a (0.50 x), which has 2 files and 65 relocations more to load at "
        "start"
    )


def test_two_that_lead_together_are_told_with_what_is_behind_them() -> None:
    programs = [
        program("a", run=timed(0.001, 0.05)),
        program("b", run=timed(0.00101, 0.05)),
        program("c", run=timed(0.003)),
    ]
    start = by_name(verdict(programs))["start"]
    assert (start.better, start.tied) == (None, ["a", "b"])
    assert start.ratio == pytest.approx(1 / 3)
    assert "3.00 ms of c" in start.message


def test_memory_within_the_noise_of_repeating_it_is_a_tie() -> None:
    apart = by_name(
        verdict([program("a", run=with_memory(200 * KIB, 100 * KIB)), static("b", run=with_memory(40 * KIB, 40 * KIB))])
    )
    assert apart["memory"].better == apart["memory-copies"].better == "b"
    noisy = by_name(
        verdict(
            [program("a", run=with_memory(200 * KIB, 10, 99 * KIB)), static("b", run=with_memory(190 * KIB, 10, 0))]
        )
    )
    assert noisy["memory"].better is None


def test_equal_figures_of_the_files_are_a_tie() -> None:
    found = by_name(verdict([program("a"), program("b")]))
    assert {one.better for one in found.values()} == {None}
    assert found["size"].message == "a and b tie: 16 KiB"


def test_of_programs_with_one_name_the_whole_path_is_said() -> None:
    assert "old/app is" in by_name(verdict([program("old/app"), static("new/app")]))["size"].message


def test_every_suggestion_has_a_figure() -> None:
    programs = [program("a", run=with_memory(100 * KIB, 60 * KIB)), static("b", run=with_memory(150 * KIB, 50 * KIB))]
    said = suggestions(programs, verdict(programs))
    assert len(said) > 3
    assert [sentence for sentence in said if not re.search(r"\d", sentence)] == []
    assert "From 7 copies on, b takes less memory than a: one more copy costs 50 KiB and not 60 KiB." in said


@given(first=st.integers(1, 500), more=st.integers(1, 500), step=st.integers(1, 100), less=st.integers(1, 99))
def test_the_number_of_copies_from_which_on_it_pays_is_the_first_where_it_does(
    first: int, more: int, step: int, less: int
) -> None:
    """Counted out, copy by copy."""
    dear, cheap = step + less, step
    rival = program("rival", run=with_memory(first * KIB, dear * KIB))
    lean = static("lean", run=with_memory((first + more) * KIB, cheap * KIB))
    count = 1
    while first + more + (count - 1) * cheap >= first + (count - 1) * dear:
        count += 1
    said = suggestions([rival, lean], verdict([rival, lean]))
    assert any(sentence.startswith(f"From {count} copies on, lean takes less memory than rival:") for sentence in said)


def test_programs_that_are_alike_get_no_advice() -> None:
    programs = [program("a"), program("b")]
    assert suggestions(programs, verdict(programs)) == [
        "No program leads by any of 5 criteria: each is a tie for the first place."
    ]

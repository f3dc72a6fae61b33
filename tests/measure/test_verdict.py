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
from linkscope.model.document import AnalysisError
from linkscope.model.inspect import Hardening, Libc

KIB = 1024


def program(path: str, **changed: object) -> Program:
    """A dynamic program of 16 KiB that maps one library; CHANGED are fields of it."""
    plain = Program(
        path=path,
        machine="x86_64",
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
        updates=[
            Update(
                library="libc.so.6", project=None, how="restart", path="/lib/libc.so.6", package="libc6", version=None
            )
        ],
        libc=Libc(family="glibc", version=None),
        requires={"GLIBC": "2.34"},
        needs_kernel="3.2.0",
        reach=Reach(systems=60, starts=20, doubtful=0, because="GLIBC_2.34", oldest={"debian": "12"}),
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
        "reach": Reach(systems=60, starts=58, doubtful=0, because=None, oldest={"debian": "11"}),
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
        Copies(
            count=count, rss=one, pss=one + (count - 1) * more, private=more, page_tables=0, noise=noise, moment="exit"
        )
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
        "dyn is the smallest file: 16 KiB against 800 KiB of st (0.02 x), which has 780 KiB more of code of glibc"
    )
    assert found["portability"].more
    assert found["portability"].ratio == pytest.approx(58 / 20)
    assert "since most of the others lack GLIBC_2.34" in found["portability"].message
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
        "b is done first: 1.00 ms against 2.00 ms of a (0.50 x), which has 2 files more to map and 65 relocations more "
        "to do"
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
    assert "From about 7 copies on, b takes less memory than a: one more copy costs 50 KiB and not 60 KiB." in said


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
    assert any(
        sentence.startswith(f"From about {count:,} copies on, lean takes less memory than rival:") for sentence in said
    )


def test_programs_that_are_alike_get_no_advice() -> None:
    programs = [program("a"), program("b")]
    assert suggestions(programs, verdict(programs)) == ["Nothing speaks for any of them: by all 5 criteria they tie."]


def test_what_does_not_start_here_has_no_part_in_the_verdict() -> None:
    """It has few files and few relocations because what it needs is missing."""
    broken = program("broken", size=1, libraries=0, relocations=0, problems=["libgone.so.1 is found nowhere"])
    programs = [program("a"), static("b"), broken]
    verdicts = verdict(programs)
    assert {value.path for one in verdicts for value in one.values} == {"a", "b"}
    assert suggestions(programs, verdicts)[0] == (
        "broken has no part in the verdict: what does not start here cannot be better."
    )


def test_what_could_not_be_measured_is_told_where_the_advice_stands() -> None:
    programs = [program("a", run=timed(0.001)), static("b")]
    verdicts = verdict(programs, run=True)
    assert "start" not in by_name(verdicts)
    failure = AnalysisError(path="b", error="does not end within 1 s")
    assert suggestions(programs, verdicts, [failure])[0] == "b was not measured: it does not end within 1 s."


def test_a_tie_ends_at_the_first_program_that_is_apart() -> None:
    """The third is noisy, and behind the second all the same."""
    quiet, apart, noisy = with_memory(28 * KIB, 1), with_memory(141 * KIB, 1), with_memory(146 * KIB, 1, 200 * KIB)
    found = by_name(verdict([program("a", run=quiet), program("b", run=apart), program("c", run=noisy)]))
    assert (found["memory"].better, found["memory"].tied) == ("a", [])


def test_the_reason_for_a_size_is_what_differs_and_not_what_both_have() -> None:
    stripped = static("stripped", size=700 * KIB)
    whole = static("whole", size=800 * KIB, parts=[*stripped.parts, Part(kind="symbols", name=None, size=100 * KIB)])
    assert by_name(verdict([stripped, whole]))["size"].message.endswith("which has 100 KiB more of symbols")


def test_of_few_copies_the_better_one_may_be_the_one_whose_copies_cost_more() -> None:
    programs = [program("a", run=with_memory(10 * KIB, 60 * KIB)), static("b", run=with_memory(990 * KIB, 50 * KIB))]
    message = by_name(verdict(programs))["memory-copies"].message
    assert message.startswith("a takes the least memory (PSS) when 16 copies run: 910 KiB against 1.7 MiB of b")
    assert message.endswith("though there one more copy costs only 50 KiB, and here 60 KiB")


def test_systems_of_which_it_cannot_be_told_may_be_those_that_differ() -> None:
    sure = program("sure", reach=Reach(systems=43, starts=13, doubtful=0, because=None, oldest={}))
    unsure = program("unsure", reach=Reach(systems=43, starts=9, doubtful=4, because="libz.so.1", oldest={}))
    assert (
        by_name(verdict([sure, unsure]))["portability"].message == "sure and unsure tie: 13 systems to 9 to 13 systems"
    )
    less = program("less", reach=Reach(systems=43, starts=8, doubtful=4, because="libz.so.1", oldest={}))
    message = by_name(verdict([sure, less]))["portability"].message
    assert message.endswith(
        "13 systems against 8 to 12 systems of less (1.62 x), since most of the others lack libz.so.1"
    )


def test_systems_of_two_machines_are_not_compared() -> None:
    small = program("small", machine="386", reach=Reach(systems=15, starts=15, doubtful=0, because=None, oldest={}))
    programs = [program("a"), small]
    verdicts = verdict(programs)
    assert "portability" not in by_name(verdicts)
    assert suggestions(programs, verdicts)[0].startswith("The programs are for different machines (386, x86_64)")


def test_the_advice_names_who_is_first_most_often_and_what_speaks_for_another() -> None:
    small = static("small", size=24 * KIB, updates=[], run=with_memory(20 * KIB, 10 * KIB))
    programs = [
        static("large", run=with_memory(700 * KIB, 50 * KIB)),
        small,
        program("dyn", run=with_memory(150 * KIB, 120 * KIB)),
    ]
    assert suggestions(programs, verdict(programs))[0] == (
        "small is first, alone or in a tie, by 6 of 7 criteria; take another for size (dyn)."
    )

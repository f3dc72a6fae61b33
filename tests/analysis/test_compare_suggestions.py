"""What is suggested, from figures that are set by hand: each sentence has its figure, and says no more than that."""

import re

import msgspec
import pytest

from linkscope.analysis.comparing.suggestions import suggestions
from linkscope.analysis.comparing.verdict import verdict, verdict_of_measured
from linkscope.model.compare import ProgramRun, Reach, Server, ServerProcess
from linkscope.model.document import AnalysisError
from tests.analysis.compared import KIB, Samples, by_name, copies, judged, program, static, timed, times, with_memory


def test_every_suggestion_has_a_figure() -> None:
    programs = [program("a", run=with_memory(100 * KIB, 60 * KIB)), static("b", run=with_memory(150 * KIB, 50 * KIB))]
    said = suggestions(programs, judged(programs))
    assert len(said) > 3
    assert [sentence for sentence in said if not re.search(r"\d", sentence)] == []
    more = "one more copy costs 50 KiB and not 60 KiB."
    assert f"From somewhere between 5 and 8 copies on, b takes less memory than a: {more}" in said


def test_from_how_many_copies_on_it_pays_is_a_range_as_wide_as_the_noise_and_not_told_where_it_has_no_end() -> None:
    def said(noise: int) -> list[str]:
        rival = program("rival", run=with_memory(100 * KIB, 60 * KIB, noise))
        lean = static("lean", run=with_memory(150 * KIB, 50 * KIB, noise))
        found = suggestions([rival, lean], judged([rival, lean]))
        return [sentence for sentence in found if "copies on" in sentence or "many copies run" in sentence]

    more = "one more copy costs 50 KiB and not 60 KiB."
    assert said(20 * KIB) == [f"From somewhere between 4 and 9 copies on, lean takes less memory than rival: {more}"]
    assert said(80 * KIB) == []


def test_where_nobody_catches_up_with_another_the_costs_of_a_copy_are_told() -> None:
    programs = [
        program("dear", run=with_memory(100 * KIB, 60 * KIB)),
        static("lean", run=with_memory(90 * KIB, 50 * KIB)),
    ]
    said = suggestions(programs, judged(programs))
    assert "Where many copies run: one more copy of lean costs 50 KiB, of dear 60 KiB." in said


def test_programs_that_are_alike_get_no_advice() -> None:
    programs = [program("a"), program("b")]
    assert suggestions(programs, verdict(programs, None)) == [
        "Nothing speaks for any of them: by all 5 criteria they tie."
    ]


def test_what_does_not_start_here_has_no_part_in_the_verdict() -> None:
    """It has few files and few relocations because what it needs is missing."""
    broken = program("broken", size=1, libraries=0, relocations=0, problems=["libgone.so.1 is found nowhere"])
    programs = [program("a"), static("b"), broken]
    verdicts = verdict(programs, None)
    assert {value.path for one in verdicts for value in one.values} == {"a", "b"}
    assert suggestions(programs, verdicts)[0] == (
        "broken has no part in the verdict: what does not start here cannot be better."
    )


def test_what_could_not_be_measured_is_told_where_the_advice_stands() -> None:
    programs = [program("a", run=timed(0.001)), static("b")]
    verdicts = judged(programs)
    assert "start" not in by_name(verdicts)
    failure = AnalysisError(path="b", error="does not end within 1 s")
    assert suggestions(programs, verdicts, [failure], was_run=True) == [
        "b was not measured, and has no part in what follows: it does not end within 1 s.",
        "There is nothing to compare: that takes two programs that start here and were measured.",
    ]


def test_what_could_not_be_measured_is_not_suggested_for_what_its_file_is_best_at() -> None:
    """It is the smallest, and starts on the most systems; of the others the first ones are told."""
    everywhere = Reach(systems=60, starts=60, doubtful=0, because=None, oldest={})
    fails = program("fails", size=9 * KIB, reach=everywhere)
    programs = [program("a", run=timed(0.002)), fails, static("b", run=timed(0.001))]
    samples = Samples(programs, [times(0.002), [], times(0.001)])
    whole = by_name(verdict(programs, samples))
    assert (whole["size"].better, whole["portability"].better) == ("fails", "fails")
    failure = AnalysisError(path="fails", error="ends with exit code 3")
    limit, *said = suggestions(programs, verdict_of_measured(programs, samples), [failure], was_run=True)
    assert limit == "fails was not measured, and has no part in what follows: it ends with exit code 3."
    assert said[0] == (
        "No one is best by all 5 criteria: take a for size (16 KiB) and updates (0 libraries); take b for start "
        "(1.00 ms), independence (0 files) and portability (58 systems)."
    )
    assert not any("fails" in sentence for sentence in said)


def test_systems_of_two_machines_are_not_compared() -> None:
    small = program("small", machine="386", reach=Reach(systems=15, starts=15, doubtful=0, because=None, oldest={}))
    programs = [program("a"), small]
    verdicts = verdict(programs, None)
    assert "portability" not in by_name(verdicts)
    assert suggestions(programs, verdicts)[0].startswith("The programs are for different machines (386, x86_64)")


def test_the_advice_names_who_is_first_most_often_and_what_speaks_for_another() -> None:
    small = static("small", size=24 * KIB, updates=[], run=with_memory(20 * KIB, 10 * KIB))
    programs = [
        static("large", run=with_memory(700 * KIB, 50 * KIB)),
        small,
        program("dyn", run=with_memory(150 * KIB, 120 * KIB)),
    ]
    assert suggestions(programs, judged(programs))[0] == (
        "small is first, alone or in a tie, by start, memory with many copies, independence with portability and "
        "updates; take another for size (dyn: 16 and not 24 KiB)."
    )


def test_of_those_that_are_first_equally_often_the_smallest_stands_for_all() -> None:
    programs = [static("large"), static("small", size=24 * KIB), program("dyn"), program("dyn-more", size=17 * KIB)]
    said = suggestions(programs, verdict(programs, None))
    assert any(sentence.startswith("To run on other people's systems: small starts on 58 of 60") for sentence in said)
    assert any("dyn is only restarted after updates of 1 file" in sentence for sentence in said)


def test_where_two_are_first_equally_often_each_is_told_with_what_speaks_for_it() -> None:
    """Who needs no file starts on more systems: that counts once."""
    programs = [program("dyn"), static("st", relocations=90)]
    assert suggestions(programs, verdict(programs, None))[0] == (
        "dyn is first, alone or in a tie, by size, start and updates; take another for independence (st: 0 and not "
        "2 files) and portability (st: 58 and not 20 systems)."
    )
    programs = [program("dyn"), static("st", relocations=90, updates=[])]
    assert suggestions(programs, verdict(programs, None))[0] == (
        "No one is best by all 5 criteria: take dyn for size (16 KiB); take st for independence (0 files) and "
        "portability (58 systems)."
    )


@pytest.mark.parametrize(
    ("paths", "said", "names"),
    [
        (("a", "a"), "a is named twice, byte for byte (SHA-256): where they differ, that is noise.", "a#1 and a#2"),
        (
            ("a", "b"),
            "a and b are the same file twice, byte for byte (SHA-256): where they differ, that is noise.",
            "a and b",
        ),
    ],
)
def test_one_file_that_stands_there_twice_is_told(paths: tuple[str, str], said: str, names: str) -> None:
    programs = [program(path, sha256="0" * 64) for path in paths]
    assert suggestions(programs, verdict(programs, None))[0] == said
    assert suggestions(programs, verdict(programs, None))[1].startswith("Nothing speaks for any of them")
    beside = suggestions([*programs, program("more", size=17 * KIB, sha256="2" * 64)], verdict(programs, None))
    assert beside[1].startswith(f"{names} are first")
    others = [program("a", sha256="0" * 64), program("b", sha256="1" * 64), program("c"), program("d")]
    assert not any("same file" in sentence for sentence in suggestions(others, verdict(others, None)))


def test_protections_that_only_some_have_are_told_with_who_lacks_them() -> None:
    bare = msgspec.structs.replace(program("").hardening, relro="partial", nx=False)
    programs = [program("pie"), static("fixed", pie=False), static("bare", hardening=bare)]
    assert (
        "Where it handles what strangers send: 1 of 3 is no PIE (fixed): code and data are at the same place in each "
        "run; 1 of 3 has only partial RELRO (bare): the table of functions stays writable; 1 of 3 has an executable "
        "stack (bare): what is written there can be run."
    ) in suggestions(programs, verdict(programs, None))
    alike = [program("a", pie=False), program("b", pie=False, size=1)]
    assert not any("strangers" in sentence for sentence in suggestions(alike, verdict(alike, None)))


def test_connections_are_not_called_copies() -> None:
    def serving(more: int) -> ProgramRun:
        processes = [ServerProcess(role="parent", rss=1, pss=100 * KIB, private=1, private_memory=1, shared=0)]
        server = Server(port=1, ready=0.001, connections=4, processes=processes, one_more_connection=more)
        return msgspec.structs.replace(timed(0.001), seconds=None, server=server)

    programs = [program("a", run=serving(10 * KIB)), static("b", run=serving(20 * KIB))]
    found = by_name(judged(programs))
    assert found["memory-copies"].message.startswith("a takes the least memory (PSS) for one more connection: 10 KiB")
    assert "many connections" in suggestions(programs, list(found.values()))[0]
    assert not any("copies" in sentence for sentence in suggestions(programs, list(found.values())))


def test_copies_are_compared_by_a_number_that_was_measured_of_all() -> None:
    """Of the second, no more than four: what more of the first take is not held against it."""
    good = timed(0.001, copies=copies({1: 100 * KIB, 4: 200 * KIB, 16: 600 * KIB}), one_more_copy=33 * KIB)
    locks = timed(0.001, copies=copies({1: 120 * KIB, 4: 480 * KIB}), one_more_copy=120 * KIB)
    programs = [program("good", run=good), static("locks", run=locks)]
    said = suggestions(programs, judged(programs))
    assert "take another for independence" in said[0]
    assert not any("many copies (locks" in sentence for sentence in said)
    assert "Where many copies run: one more copy of good costs 33 KiB, of locks 120 KiB." in said


def test_the_one_that_could_not_be_measured_is_told_from_the_one_that_looks_like_it() -> None:
    one, other = (program("caf\ufffd", path_bytes=exact) for exact in ("Y2Fm6A==", "Y2Fm6Q=="))
    programs = [msgspec.structs.replace(one, run=timed(0.001)), other]
    failure = AnalysisError(path="caf\ufffd", path_bytes="Y2Fm6Q==", error="does not end within 1 s")
    assert suggestions(programs, judged(programs), [failure])[0] == (
        r"caf\xe9 was not measured, and has no part in what follows: it does not end within 1 s."
    )

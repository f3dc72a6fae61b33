"""Which program is better, from figures that are set by hand: what is said of them follows from them alone."""

import re

import msgspec
import pytest

from linkscope.analysis.comparing.suggestions import suggestions
from linkscope.analysis.comparing.verdict import verdict
from linkscope.measure.spread import FEWEST
from linkscope.model.compare import Part, ProgramRun, Reach, Server, ServerProcess, Verdict
from tests.analysis.compared import KIB, by_name, copies, judged, program, static, timed, times, with_memory


def test_from_files_alone_each_criterion_names_the_better_one_with_both_figures() -> None:
    found = by_name(verdict([program("./dyn"), static("./st")], None))
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


def _start(*seconds: float, rounds: int = 100, noise: float = 0.01) -> Verdict:
    """The verdict on programs a, b …, whose runs take so long."""
    programs = [program("abc"[place], run=timed(each)) for place, each in enumerate(seconds)]
    samples = [times(each, rounds, noise, seed) for seed, each in enumerate(seconds)]
    return by_name(judged(programs, *samples))["start"]


def test_times_within_the_noise_are_a_tie_and_the_message_says_so() -> None:
    start = _start(0.00100, 0.00104, noise=0.3)
    assert (start.better, start.best, start.tied, start.tied_places) == (None, None, ["a", "b"], [0, 1])
    assert start.ratio is None
    assert start.message == "a and b tie, for they differ by no more than the noise: 1.00 ms to 1.04 ms"


def test_a_sure_difference_that_a_copy_may_have_as_well_is_a_tie_for_that_reason() -> None:
    """The more rounds, the surer: none makes it larger."""
    start = _start(0.001, 0.00102, rounds=1000)
    said = re.fullmatch(
        r"a and b tie, for they differ by (\d\.\d) %, and a copy of the same file may by 3 %: 1\.00 ms to 1\.02 ms",
        start.message,
    )
    assert said is not None
    assert float(said[1]) == pytest.approx(2, abs=0.2)
    assert _start(0.001, 0.00104, rounds=1000).better == "a"


def test_few_rounds_are_told_as_such() -> None:
    message = "a and b tie, for too few rounds were measured to tell them apart: 1.00 ms to 2.00 ms"
    assert _start(0.001, 0.002, rounds=FEWEST - 1).message == message
    assert _start(0.001, 0.002, rounds=FEWEST).better == "a"


def test_times_apart_name_the_faster_one() -> None:
    programs = [program("a", run=timed(0.002)), static("b", run=timed(0.001))]
    start = by_name(judged(programs, times(0.002), times(0.001, seed=2)))["start"]
    assert (start.better, start.best, start.unit) == ("b", 1, "seconds")
    assert start.ratio == pytest.approx(0.5)
    assert start.message == (
        "b is done first: 1.00 ms against 2.00 ms of a (0.50 x), which has 2 files more to map and 65 relocations more "
        "to do"
    )


def test_two_that_lead_together_are_told_with_what_is_behind_them() -> None:
    start = _start(0.001, 0.00101, 0.003, noise=0.05)
    assert (start.better, start.tied) == (None, ["a", "b"])
    assert start.ratio == pytest.approx(1 / 3)
    assert "3.00 ms of c" in start.message


@pytest.mark.parametrize(
    ("one", "other", "noise", "said"),
    [
        (200, 40, 0, None),
        (200, 40, 99, None),
        (200, 190, 99, "a and b tie, for they differ by no more than the noise: 190 KiB to 200 KiB"),
        (
            2000,
            1950,
            20,
            "a and b tie, for they differ by 2.6 %, and a copy of the same file may by 3 %: 1.9 MiB to 2.0 MiB",
        ),
        (2000, 1900, 20, None),
        (
            44,
            41,
            0,
            "a and b tie, for they differ by 7.3 %, and a copy of the same file may by 3 % or a page: 41 KiB to 44 KiB",
        ),
        (46, 41, 0, None),
        (41, 41, 9, "a and b tie: 41 KiB"),
    ],
)
def test_memory_differs_by_more_than_repetitions_and_a_copy_do(
    one: int, other: int, noise: int, said: str | None
) -> None:
    """Or it is a tie, with its reason."""
    if one != other:
        said = said and said.replace("a and b", "b and a")  # the smaller one stands first
    runs = [with_memory(kib * KIB, 10 * KIB, noise * KIB) for kib in (one, other)]
    memory = by_name(judged([program("a", run=runs[0]), program("b", run=runs[1])]))["memory"]
    assert memory.best == (1 if said is None else None)
    assert said in (None, memory.message)


def test_many_copies_are_compared_by_the_largest_number_that_all_came_to() -> None:
    """Who ran but once has no figure there, and no say in which number that is."""
    runs = {
        "good": copies({1: 100 * KIB, 4: 200 * KIB, 16: 600 * KIB}),
        "locks": copies({1: 120 * KIB, 4: 480 * KIB}),
        "once": copies({1: 90 * KIB}),
    }
    programs = [program(name, run=timed(0.001, copies=figures)) for name, figures in runs.items()]
    found = by_name(judged([*programs, program("not")]))["memory-copies"]
    assert found.better == "good"
    assert found.ratio == pytest.approx(200 / 480)
    assert [value.value for value in found.values] == [200 * KIB, 480 * KIB, None, None]
    assert found.message == (
        "good takes the least memory (PSS) when 4 copies run: 200 KiB against 480 KiB of locks (0.42 x), where one "
        "more copy costs 120 KiB and not 33 KiB"
    )


def test_programs_whose_paths_look_alike_are_told_by_their_places() -> None:
    """Bytes that are no UTF-8 are one character in the document's text."""
    one, other = program("caf\ufffd", path_bytes="Y2Fm6A=="), static("caf\ufffd", path_bytes="Y2Fm6Q==")
    found = by_name(judged([one, other], times(0.002), times(0.001, seed=2)))
    assert {name: (each.best, each.tied_places) for name, each in found.items()} == {
        "size": (0, []),
        "independence": (1, []),
        "updates": (0, []),
        "portability": (1, []),
    }
    assert r"caf\xe8 is the smallest file: 16 KiB against 800 KiB of caf\xe9" in found["size"].message
    assert [(value.program, value.value) for value in found["size"].values] == [(0, 16 * KIB), (1, 800 * KIB)]


def test_what_is_named_twice_has_two_numbers_and_two_places() -> None:
    found = by_name(verdict([program("a/app"), static("st"), program("a/app")], None))["size"]
    assert found.message.startswith("app#1 and app#2 tie: 16 KiB against 800 KiB of st")
    assert (found.tied, found.tied_places) == (["a/app", "a/app"], [0, 2])


def test_equal_figures_of_the_files_are_a_tie() -> None:
    found = by_name(verdict([program("a"), program("b")], None))
    assert {one.better for one in found.values()} == {None}
    assert found["size"].message == "a and b tie: 16 KiB"


def test_of_programs_with_one_name_the_whole_path_is_said() -> None:
    assert "old/app is" in by_name(verdict([program("old/app"), static("new/app")], None))["size"].message


def test_a_tie_ends_at_the_first_program_that_is_apart() -> None:
    """The third is noisy, and behind the second all the same."""
    quiet, apart, noisy = with_memory(28 * KIB, 1), with_memory(141 * KIB, 1), with_memory(146 * KIB, 1, 200 * KIB)
    found = by_name(judged([program("a", run=quiet), program("b", run=apart), program("c", run=noisy)]))
    assert (found["memory"].better, found["memory"].tied) == ("a", [])


def test_the_reason_for_a_size_is_what_differs_and_not_what_both_have() -> None:
    stripped = static("stripped", size=700 * KIB)
    whole = static("whole", size=800 * KIB, parts=[*stripped.parts, Part(kind="symbols", name=None, size=100 * KIB)])
    assert by_name(verdict([stripped, whole], None))["size"].message.endswith("which has 100 KiB more of symbols")


def test_of_few_copies_the_better_one_may_be_the_one_whose_copies_cost_more() -> None:
    programs = [program("a", run=with_memory(10 * KIB, 60 * KIB)), static("b", run=with_memory(990 * KIB, 50 * KIB))]
    message = by_name(judged(programs))["memory-copies"].message
    assert message.startswith("a takes the least memory (PSS) when 16 copies run: 910 KiB against 1.7 MiB of b")
    assert message.endswith("though there one more copy costs only 50 KiB, and here 60 KiB")


def test_systems_of_which_it_cannot_be_told_may_be_those_that_differ() -> None:
    sure = program("sure", reach=Reach(systems=43, starts=13, doubtful=0, because=None, oldest={}))
    unsure = program("unsure", reach=Reach(systems=43, starts=9, doubtful=4, because="libz.so.1", oldest={}))
    said = by_name(verdict([sure, unsure], None))["portability"]
    assert said.message == (
        "which of sure and unsure is better cannot be told, for of some systems it is not known: "
        "13 systems and 9 to 13 systems"
    )
    assert (said.best, said.first_places()) == (None, [])
    assert not any("portability" in advice for advice in suggestions([sure, unsure], [said]))
    less = program("less", reach=Reach(systems=43, starts=8, doubtful=4, because="libz.so.1", oldest={}))
    message = by_name(verdict([sure, less], None))["portability"].message
    assert message.endswith(
        "13 systems against 8 to 12 systems of less (1.62 x), since most of the others lack libz.so.1"
    )


def test_of_memory_it_is_told_what_is_of_no_file() -> None:
    lean, large = with_memory(28 * KIB, 10, anonymous=20 * KIB), with_memory(280 * KIB, 10, anonymous=90 * KIB)
    message = by_name(judged([program("a", run=lean), program("b", run=large)]))["memory"].message
    assert message.endswith("280 KiB of b (0.10 x), of which 90 KiB are anonymous, the rest pages of files")


def test_who_has_more_memory_may_have_less_that_cannot_be_given_back() -> None:
    dynamic, alone = with_memory(240 * KIB, 10, anonymous=92 * KIB), with_memory(700 * KIB, 10, anonymous=48 * KIB)
    message = by_name(judged([program("dyn", run=dynamic), static("st", run=alone)]))["memory"].message
    assert message == (
        "dyn takes the least memory (PSS) when one copy runs: 240 KiB against 700 KiB of st (0.34 x), though of that "
        "only 48 KiB are anonymous, and here 92 KiB: the rest are pages of files, which the kernel can drop and read "
        "again"
    )


def test_who_has_the_least_that_cannot_be_given_back_is_named_wherever_it_stands() -> None:
    """Behind another that has as much of it as the best one."""
    dynamic = [with_memory(more * KIB, 10, anonymous=92 * KIB) for more in (240, 260)]
    static_, last = with_memory(700 * KIB, 10, anonymous=48 * KIB), with_memory(900 * KIB, 10, anonymous=90 * KIB)
    programs = [program("a", run=dynamic[0]), program("b", run=dynamic[1]), static("c", run=static_)]
    end = "; but c has the least that is anonymous, 48 KiB against 92 KiB: the rest are pages of files, which the "
    for compared in (programs, [*programs, static("d", run=last)]):
        message = by_name(judged(compared))["memory"].message
        assert "of which 92 KiB are anonymous, the rest pages of files; the last is" in message
        assert f"{end}kernel can drop and read again" in message


def test_so_it_is_of_servers_over_all_their_processes() -> None:
    def serving(pss: int, anonymous: int | None) -> ProgramRun:
        process = ServerProcess(
            role="parent", rss=pss, pss=pss * KIB, private=1, private_memory=1, shared=1,
            anonymous=None if anonymous is None else anonymous * KIB,
        )  # fmt: skip
        server = Server(port=1, ready=0.001, connections=1, processes=[process] * 2, one_more_connection=None)
        return msgspec.structs.replace(timed(0.001), seconds=None, server=server)

    found = by_name(judged([program("a", run=serving(100, 50)), program("b", run=serving(300, 20))]))
    assert "200 KiB against 600 KiB of b (0.33 x), though of that only 40 KiB are anonymous" in found["memory"].message
    untold = by_name(judged([program("a", run=serving(100, 50)), program("b", run=serving(300, None))]))
    assert untold["memory"].message.endswith("200 KiB against 600 KiB of b (0.33 x)")


def test_where_the_kernel_does_not_say_what_is_anonymous_it_is_told_what_nobody_else_has() -> None:
    programs = [program("a", run=with_memory(28 * KIB, 10)), program("b", run=with_memory(280 * KIB, 70 * KIB))]
    message = by_name(judged(programs))["memory"].message
    assert message.endswith("of which 70 KiB are shared with no other process")


def test_sizes_that_look_alike_and_are_not_are_told_exactly() -> None:
    found = by_name(verdict([program("a", size=15_880), program("b", size=15_960), program("c", size=800 * KIB)], None))
    assert found["size"].message.startswith("a is the smallest file: 15,880 bytes against 15,960 of b (0.99 x); the ")

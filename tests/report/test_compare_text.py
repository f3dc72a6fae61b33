"""A comparison for people: every figure is there, the best is marked as the verdict says, and the page is kept to."""

import re

import msgspec
import pytest
from hypothesis import given, settings

from linkscope.model.compare import Copies, Part, ProgramRun
from linkscope.model.document import AnalysisError
from linkscope.model.quantities import size
from linkscope.report.compare import chart
from linkscope.report.compare.figures import whole
from linkscope.report.compare.text import render
from linkscope.report.page import Page, cells
from tests.report.checks import hostile_text
from tests.report.comparisons import MEASUREMENT, document, five, hostile, program, run, server, static, verdict

_PARTS = (
    "The files",
    "What they consist of",
    "Other files that they need",
    "When a library is updated",
    "What is lost",
    "Measured",
    "Memory of many copies (PSS)",
    "Verdict",
    "What this suggests",
)


def _text(compared: object, width: int | None = None, unicode: bool = True) -> str:
    return "".join(render(compared, Page(width=width, unicode=unicode)))  # type: ignore[arg-type]


def _row(text: str, label: str) -> list[str]:
    """What stands behind LABEL, column by column."""
    line = next(line for line in text.splitlines() if re.match(rf" +{re.escape(label)}  ", line))
    return re.split(r" {2,}", line.strip())[1:]


def test_the_parts_come_in_the_order_in_which_they_build_on_one_another_and_the_verdict_is_last() -> None:
    lines = _text(five()).splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == list(_PARTS)


@pytest.mark.parametrize("width", [50, 60, 72, 80, 100, 120, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_the_page(width: int, unicode: bool) -> None:
    assert max(map(cells, _text(five(), width, unicode).splitlines())) <= width


@pytest.mark.parametrize("width", [50, 80, 200, None])
def test_every_program_has_its_figures_at_every_width(width: int | None) -> None:
    compared = five()
    text = _text(compared, width)
    sizes = [cell for line in text.splitlines() if line.startswith("  size  ") for cell in re.split(r" {2,}", line)[2:]]
    assert [cell.removesuffix(" *") for cell in sizes[: len(compared.programs)]] == [
        size(one.size) for one in compared.programs
    ]


def test_the_best_and_those_that_tie_are_marked_as_the_verdict_says() -> None:
    text = _text(five(), 200)
    assert _row(text, "size") == ["16 KiB", "16 KiB *", "762 KiB", "791 KiB", "35 KiB"]
    assert _row(text, "exec to exit") == ["1.00 x", "0.99 x", "0.52 x", "0.59 x", "0.34 x *"]
    assert _row(text, "PSS, 1 copy") == ["303 KiB", "301 KiB", "117 KiB =", "186 KiB", "39 KiB ="]


def test_a_verdict_about_another_figure_marks_nothing() -> None:
    programs = [program("a"), static("b")]
    by_seconds = verdict("start", programs, [0.1, 0.2], better="a", unit="seconds")
    by_work = verdict("start", programs, [1_301, 25], better="b", unit="relocations")
    assert _row(_text(document(programs, [by_seconds])), "relocations") == ["1,301", "25"]
    assert _row(_text(document(programs, [by_work])), "relocations") == ["1,301", "25 *"]


def test_times_are_ratios_to_the_first_program_before_they_are_seconds() -> None:
    text = _text(document([program("a", run=run(0.002)), program("b", run=run(0.001)), program("c")]))
    assert _row(text, "exec to exit") == ["1.00 x", "0.50 x", "–"]
    assert _row(text, "median") == ["2.00 ms", "1.00 ms", "–"]
    assert _row(text, "low") == ["1.94 ms", "970 µs", "–"]


def test_without_a_run_nothing_is_said_of_runs() -> None:
    text = _text(document([program("a"), static("b")]))
    assert "Measured" not in text
    assert "exec to exit" not in text


def test_what_one_more_copy_costs_is_told_and_what_of_it_is_its_own() -> None:
    copies = [
        Copies(count=n, rss=p, pss=p, private=n * 50_000, page_tables=0, moment="exit") for n, p in ((1, 9), (16, 99))
    ]
    text = _text(document([program("a", run=run(copies=copies, one_more_copy=60_000)), program("b")]))
    assert _row(text, "one more copy") == [size(60_000), "–"]
    assert _row(text, "its own") == [size(50_000), "–"]


def test_how_often_and_with_what_each_was_started_is_told() -> None:
    measurement = msgspec.structs.replace(MEASUREMENT, starts=1_234, input="a file", accepted=[0, 1])
    programs = [program("a", run=run()), program("b", run=run())]
    text = _text(document(programs, measurement=measurement))
    assert (
        '40 rounds after 3 warm-ups · each started 1,234 times at most · arguments: -n "two words" · input: "a file" ·'
        in text
    )
    assert "· exit codes taken as a good end: 0, 1 ·" in text
    assert "exit codes" not in _text(document(programs))
    assert "output:" not in _text(document(programs))
    piped = msgspec.structs.replace(MEASUREMENT, output="pipe")
    assert " · output: to a pipe · " in _text(document(programs, measurement=piped))
    assert "each started" not in _text(document(programs))


def test_what_of_memory_is_anonymous_stands_below_the_sums_on_which_verdicts_rest() -> None:
    def copies(anonymous: int | None) -> list[Copies]:
        return [
            Copies(count=n, rss=n, pss=n * 1024, private=n, page_tables=0, moment="exit", anonymous=anonymous)
            for n in (1, 4, 16)
        ]

    told = _text(document([program("a", run=run(copies=copies(20_480))), program("b", run=run(copies=copies(None)))]))
    lines = [line.split() for line in told.splitlines()]
    below = [lines[place - 1][1] for place, line in enumerate(lines) if line[:1] == ["anonymous"]]
    assert below == ["1", "16"]
    assert _row(told, "anonymous") == ["20 KiB", "–"]
    assert "anonymous" not in _text(document([program("a", run=run(copies=copies(None))), program("b")]))


def test_what_is_not_known_of_a_program_that_lacks_a_file_is_not_told() -> None:
    broken = program("b", problems=["libgone.so.1 is found nowhere"])
    text = _text(document([program("a"), broken]))
    for label in ("mapped in all", "other files", "with these, on disk", "relocations", "look-ups"):
        assert _row(text, label)[1] == "–"
    assert _row(text, "size") == ["16 KiB"] * 2


def test_the_best_is_marked_also_beside_one_that_has_no_part_in_the_verdict() -> None:
    programs = [program("a"), static("b"), program("c", problems=["libgone.so.1 is found nowhere"])]
    sizes = verdict("size", programs[:2], [one.size for one in programs[:2]], better="a")
    assert _row(_text(document(programs, [sizes])), "size") == ["16 KiB *", "762 KiB", "16 KiB"]


def test_what_a_file_cannot_tell_of_its_protections_is_left_open() -> None:
    hardening = program("a").hardening
    told, untold = (msgspec.structs.replace(hardening, canary=canary) for canary in (True, None))
    text = _text(document([program("a", hardening=told), static("b", hardening=untold), static("c")]))
    assert _row(text, "canary") == ["yes", "–", "no"]
    assert "fortify no" in text


def test_programs_for_several_machines_have_a_row_for_that() -> None:
    assert _row(_text(document([program("a"), program("b", machine="aarch64")])), "machine") == ["x86_64", "aarch64"]
    assert "machine" not in _text(document([program("a"), program("b")]))


def test_blocks_of_columns_are_alike_and_without_rows_of_which_they_have_nothing() -> None:
    programs = [program(f"program-{number}", requires={"GLIBC": "2.34"}) for number in range(5)]
    programs += [static(f"static-{number}") for number in range(5)]
    blocks = _text(document(programs), 80).partition("What they consist of")[0].strip().split("\n\n")
    widths = [len(re.split(r" {2,}", block.splitlines()[-3].strip())) for block in blocks]
    assert max(widths) - min(widths) <= 1
    assert ["needs GLIBC" in block for block in blocks] == [True] * (len(blocks) - 1) + [False]


def test_a_verdict_about_connections_is_not_called_one_about_copies() -> None:
    serving = run(seconds=None, user=None, system=None, instructions=None, server=server(2, 80_000), copies=[])
    programs = [program("a", run=serving), static("b", run=serving)]
    more = verdict("memory-copies", programs, [1, 2], better="a", message="a takes less for one more connection")
    assert "  connections  a takes less" in _text(document(programs, [more]))
    several = [program("a", run=run()), static("b", run=run())]
    assert "  many copies  a takes less" in _text(document(several, [more]))


def test_what_could_not_be_measured_stands_below_the_figures() -> None:
    lines = _text(five()).splitlines()
    (note,) = [place for place, line in enumerate(lines) if "kernel.perf_event_paranoid" in line]
    assert lines.index("Measured") + 10 < note < lines.index("Memory of many copies (PSS)")


def test_a_server_is_told_by_its_processes() -> None:
    serving = run(seconds=None, user=None, system=None, instructions=None, server=server(2, 80_000))
    text = _text(document([program("a", run=serving), static("b", run=serving)]))
    assert "exec to exit" not in text
    assert _row(text, "port open") == ["1.00 x", "1.00 x"]
    assert _row(text, "median") == ["2.10 ms", "2.10 ms"]
    assert _row(text, "PSS, serving") == [size(300_000)] * 2
    assert _row(text, "each child") == [size(100_000)] * 2
    assert _row(text, "as forked") == ["78 of 156 KiB"] * 2
    assert _row(text, "one connection") == [size(89_000)] * 2


def test_where_nothing_was_measured_it_is_said_there_why() -> None:
    compared = document([program("a"), program("b")], measurement=MEASUREMENT)
    failed = [AnalysisError(path=path, error="ends with exit code 3") for path in ("a", "b")]
    text = _text(msgspec.structs.replace(compared, errors=failed))
    said = ["· a ends with exit code 3", "· b ends with exit code 3", "· nothing was measured: "]
    assert all(one in text.partition("Measured")[2] for one in said)
    measured = document([program("a", run=run()), program("b")], measurement=MEASUREMENT)
    assert "ends with" not in _text(msgspec.structs.replace(measured, errors=failed[1:]))


def test_what_of_a_server_is_anonymous_is_told_if_it_is_of_each_process() -> None:
    def serving(*anonymous: int | None) -> ProgramRun:
        one = server(len(anonymous) - 1)
        processes = [
            msgspec.structs.replace(process, anonymous=found)
            for process, found in zip(one.processes, anonymous, strict=True)
        ]
        return run(seconds=None, copies=[], server=msgspec.structs.replace(one, processes=processes))

    text = _text(document([program("a", run=serving(1024, 2048)), program("b", run=serving(1024, None))]))
    assert _row(text, "anonymous") == ["3 KiB", "–"]


def test_major_faults_are_told_where_there_are_any() -> None:
    assert "major faults" not in _text(five())
    text = _text(document([program("a", run=run(major_faults=3)), program("b", run=run())]))
    assert _row(text, "major faults") == ["3", "0"]


def test_hardening_has_a_row_where_it_differs_and_is_summed_up_where_it_does_not() -> None:
    bare = program("b", hardening=msgspec.structs.replace(program("b").hardening, relro="none", cet=None))
    text = _text(document([program("a"), bare]))
    assert _row(text, "RELRO") == ["full", "none"]
    assert "alike in all: bind now yes, NX yes, canary no, fortify no\n" in text


def test_what_is_less_than_a_kibibyte_is_told_exactly() -> None:
    assert _row(_text(five()), "own/unknown code") == ["400 B"] * 5


def test_what_cannot_be_shown_in_ascii_is_replaced() -> None:
    assert _text(five(), 80, unicode=False).isascii()


@settings(max_examples=60)
@given(hostile_text)
def test_nothing_out_of_a_file_reaches_the_terminal_as_it_is(text: str) -> None:
    for width in (60, None):
        shown = _text(hostile(text), width)
        assert all(line.isprintable() for line in shown.split("\n"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (27, "27"),
        (9_999, "9,999"),
        (10_000, "10.0 k"),
        (104_000, "104 k"),
        (999_900, "1.00 M"),
        (2e9, "2.00 G"),
    ],
)
def test_counts_are_short(value: float, said: str) -> None:
    assert whole(value) == said


# --- Bars -----------------------------------------------------------------------------------------------------------


def _bar_lines(lines: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def test_bars_are_as_long_as_the_files_are_large_and_divided_as_they_are() -> None:
    half = [Part(kind="own-code", name=None, size=3_000), Part(kind="debug", name=None, size=3_000)]
    both = [Part(kind="own-code", name=None, size=3_000), Part(kind="library-code", name="z", size=9_000)]
    programs = [program("a", size=6_000, parts=half), program("b", size=12_000, parts=both)]
    first, second, *_ = _bar_lines(list(chart.sizes(programs, ["a", "b"], Page())))
    assert (first.count("█"), first.count("▫"), first.count("▓")) == (15, 15, 0)
    assert (second.count("█"), second.count("▓")) == (15, 45)


def test_a_file_that_is_not_empty_has_a_bar() -> None:
    small = [Part(kind="own-code", name=None, size=10), Part(kind="symbols", name=None, size=90)]
    large = [Part(kind="debug", name=None, size=100_000_000)]
    programs = [program("a", size=100, parts=small), program("b", size=100_000_000, parts=large)]
    first, _, *_ = _bar_lines(list(chart.sizes(programs, ["a", "b"], Page())))
    assert first.split()[1] == "▪"


def test_a_bar_of_many_copies_shows_the_first_and_what_the_others_add() -> None:
    def copies(one: int, many: int) -> list[Copies]:
        return [
            Copies(count=n, rss=p, pss=p, private=p, page_tables=0, moment="exit") for n, p in ((1, one), (16, many))
        ]

    programs = [
        program("a", run=run(copies=copies(15 << 20, 60 << 20))),
        program("b", run=run(copies=copies(10 << 20, 30 << 20))),
    ]
    first, second, legend = _bar_lines(list(chart.memory(programs, ["a", "b"], Page())))
    assert (first.count("█"), first.count("▒")) == (15, 45)
    assert (second.count("█"), second.count("▒")) == (10, 20)
    assert "what 15 more add" in legend


def test_bars_of_many_copies_are_of_as_many_as_all_came_to() -> None:
    """And the mark of the best stands where the verdict compares."""

    def copies(sums: dict[int, int]) -> list[Copies]:
        return [Copies(count=n, rss=p, pss=p, private=p, page_tables=0, moment="exit") for n, p in sums.items()]

    programs = [
        program("a", run=run(copies=copies({1: 10 << 20, 4: 30 << 20, 16: 60 << 20}))),
        program("b", run=run(copies=copies({1: 15 << 20, 4: 60 << 20}))),
        program("c"),
    ]
    first, second, third, legend = _bar_lines(list(chart.memory(programs, ["a", "b", "c"], Page())))
    assert (first.count("█"), first.count("▒")) == (10, 20)
    assert (second.count("█"), second.count("▒")) == (15, 45)
    assert third.split() == ["c", "–"]
    assert "what 3 more add" in legend
    many = verdict("memory-copies", programs, [30 << 20, 60 << 20, None], better="a")
    text = _text(document(programs, [many]))
    assert " ".join(_row(text, "PSS, 4 copies")) == "30.0 MiB * 60.0 MiB –"
    assert _row(text, "PSS, 16 copies") == ["60.0 MiB", "–", "–"]


def test_marks_are_those_of_places_and_not_of_names() -> None:
    """Two names that are no UTF-8 are one text."""
    programs = [program("caf\ufffd", path_bytes="Y2Fm6A=="), static("caf\ufffd", path_bytes="Y2Fm6Q==")]
    sizes = msgspec.structs.replace(
        verdict("size", programs, [one.size for one in programs]), better="caf\ufffd", best=0
    )
    assert _row(_text(document(programs, [sizes])), "size") == ["16 KiB *", "762 KiB"]


def test_there_is_no_bar_of_many_copies_where_one_ran_alone() -> None:
    alone = run(copies=[Copies(count=1, rss=1, pss=1, private=1, page_tables=0, moment="exit")])
    assert not list(chart.memory([program("a", run=alone)], ["a"], Page()))


@pytest.mark.parametrize("width", range(24, 60))
def test_a_number_stays_with_its_unit(width: int) -> None:
    programs = [program("a"), program("b")]
    message = "a is done first: 9.20 ms against 120 µs of b (0.50 x), at 1.2 MiB and 3 %, or 2 s of it"
    found = document(programs, [verdict("size", programs, [1, 2], message=message)])
    text = "".join(render(found, Page(width=width)))
    said = " ".join(text[text.index("Verdict") :].split())
    assert said.endswith(message)
    assert not re.search(r"\d\n +(ms|µs|x\)|MiB|%|s )", text)


def test_five_programs_stand_side_by_side_in_a_terminal_of_eighty_columns() -> None:
    text = "".join(render(five(), Page(width=80)))
    files = text[: text.index("What they consist of")]
    assert len([line for line in files.splitlines() if line.startswith("  linkage ")]) == 1
    assert max(map(cells, text.splitlines())) <= 80

"""`linkscope compare`, the whole command: its formats, its exit codes, what it refuses, and what it never starts."""

import contextlib
import json
import os
import pty
import random
import re
import shutil
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from linkscope.model.compare import CompareDocument
from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.cli.processes import on_terminal
from tests.measure import marked

FixtureFile = Callable[[str], Path]
SHORT = ("--run", "--runs", "11", "--copies", "1,3")
CRITERIA = ["size", "start", "memory", "memory-copies", "independence", "updates", "portability"]
# What a program does is told by its name, which the kernel has. `good` and whoever is not listed ends at once.
_BY_NAME = """
read name < /proc/$$/comm
case $name in
fails) echo first >&2; echo no such thing >&2; exit 3 ;;
hangs) sleep 1000 ;;
computes) while :; do :; done ;;
terminal) test -t 0 ;;
input) read line ;;
writes) exec yes ;;
leaves) sleep 1000 & ;;
leaves-later) if test -e later; then sleep 1000 & fi; : > later ;;
daemon) setsid sh -c 'trap "" TERM HUP; sleep 1000' & exit 0 ;;
dies) kill -SEGV $$ ;;
deletes) rm -f deletes ;;
fifth) echo >> runs; test $(wc -l < runs) -ne 5 ;;
esac
"""
# Each with what is said of it.
_NASTY = {
    "fails": "ends with exit code 3: no such thing (if that is how it should end: --accept 3)",
    "hangs": "does not end within 3 s (it waits, and hardly computes",
    "computes": "does not end within 3 s (it computed for ",
    "terminal": "needs a terminal: ",
    "input": "where there is nothing it ends with exit code 1 (--input FILE gives it that)",
    "writes": "writes more than 16 MiB",
    "leaves": "ends and leaves a process behind: sleep (",
    "leaves-later": "ends and leaves a process behind: sleep (",
    "daemon": "ends and leaves ",
    "dies": "is killed by signal 11 (SIGSEGV)",
    "deletes": "cannot be started: no such file or directory, after a first run that ended well",
    "fifth": "exit code 1, after a first run that ended well (if that is how it should end: --accept 0,1)",
    "closed": "cannot be started: permission denied (the file is not executable)",
    "foreign": "cannot be started: exec format error",
    "script": "is a script for /bin/sh, not an ELF file",
    "absent": "no such file or directory",
}


@pytest.fixture
def hello(fixture_file: FixtureFile) -> list[Path]:
    """The same program as a dynamic and as a static one."""
    return [fixture_file("hello/hello-dynamic-pie"), fixture_file("hello/hello-static")]


def _shells(folder: Path, *names: str) -> list[Path]:
    """Copies of the shell, an ELF file that does what it is told."""
    made = [folder / name for name in names]
    for path in made:
        shutil.copy(os.path.realpath("/bin/sh"), path)
    return made


# --- The document -----------------------------------------------------------------------------------------------------


def test_json_is_one_document_of_the_published_schema(linkscope: Linkscope, hello: list[Path]) -> None:
    schema = jsonschema.Draft202012Validator(json.loads(linkscope("schema", "compare").stdout))
    for options in ((), SHORT):
        ran = linkscope("compare", *options, "--format", "json", *hello)
        assert ran.returncode == 0, ran.stderr
        schema.validate(json.loads(ran.stdout))
        again = msgspec.json.encode(msgspec.json.decode(ran.stdout, type=CompareDocument))
        assert json.loads(again) == json.loads(ran.stdout)


def test_the_keys_of_the_contract_say_what_they_are_to_say(linkscope: Linkscope, hello: list[Path]) -> None:
    """Bytes and seconds; the sizes are those of stat(2)."""
    document = json.loads(linkscope("compare", *SHORT, "--format", "json", *hello).stdout)
    assert document["schema"] == "linkscope/compare/1"
    assert [program["path"] for program in document["programs"]] == [str(path) for path in hello]
    assert [program["linkage"] for program in document["programs"]] == ["dynamic", "static"]
    assert [program["pie"] for program in document["programs"]] == [True, False]
    for program, path in zip(document["programs"], hello, strict=True):
        size = path.stat().st_size
        assert program["size"] == size == sum(part["size"] for part in program["parts"])
        assert program["mapped_size"] >= program["memory_size"] > 0
        assert program["libraries"] == len(program["files"])
        run = program["run"]
        assert 0 < run["seconds"]["low"] <= run["seconds"]["median"] <= run["seconds"]["high"] < 10
        assert run["minor_faults"] > 0
        assert [one["count"] for one in run["copies"]] == [1, 3]
        for one in run["copies"]:
            assert 4096 <= one["private"] <= one["pss"] <= one["rss"]
        one, three = run["copies"]
        assert run["one_more_copy"] == round((three["pss"] - one["pss"]) / 2)
    assert [one["criterion"] for one in document["verdict"]] == CRITERIA
    for one in document["verdict"]:
        assert (one["better"] is None) == (len(one["tied"]) > 1)
        assert one["better"] is None or one["better"] in {str(path) for path in hello}
    assert document["measurement"]["rounds"] == 11
    assert document["errors"] == []


def test_without_run_nothing_is_measured_and_nothing_is_started(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """strace sees every execve(2) of the command and of whoever it starts."""
    trace = tmp_path / "trace"
    programs = _shells(tmp_path, "one", "two")
    traced = [require_tool("strace"), "-f", "-qq", "-e", "trace=execve,execveat", "-o", str(trace)]
    ran = subprocess.run(
        [*traced, *COMMAND, "compare", "--format", "json", *programs],
        env=environment(),
        capture_output=True,
        timeout=60,
    )
    document = json.loads(ran.stdout)
    assert [program["run"] for program in document["programs"]] == [None, None]
    assert document["measurement"] is None
    started = [line for line in trace.read_text().splitlines() if "exec" in line and " = 0" in line]
    assert len(started) == 1
    assert not any(str(path) in line for line in started for path in programs)


def test_what_is_run_is_said_before_and_how_often_and_how_long_that_takes(
    linkscope: Linkscope, hello: list[Path]
) -> None:
    ran = linkscope("compare", *SHORT, *hello)
    first, second = ran.stderr.decode().splitlines()
    assert first == f"linkscope runs {hello[0]}, {hello[1]}, many times"
    assert re.fullmatch(r"each is started \d+ times at most, which takes some \d+ s", second)


def test_how_often_it_says_is_how_often_each_is_started(linkscope: Linkscope, tmp_path: Path) -> None:
    """The programs count themselves."""
    _shells(tmp_path, "one", "two")
    words = ("--run", "--runs", "3", "--copies", "1,2", "--format", "json", "one", "two")
    ran = linkscope("compare", *words, "--", "-c", "echo >> $0.runs")
    counted = max(len((tmp_path / f"{name}.runs").read_text()) for name in ("one", "two"))
    foreseen = re.search(r"started ([\d,]+) times at most", ran.stderr.decode())
    assert json.loads(ran.stdout)["measurement"]["starts"] == counted
    assert foreseen is not None
    assert counted <= int(foreseen[1].replace(",", "")) <= counted * 2


def test_how_often_one_that_failed_was_started_is_told_too(linkscope: Linkscope, tmp_path: Path) -> None:
    """It is tried again with input that is silent, and with a terminal."""
    _shells(tmp_path, "one", "two")
    ran = linkscope("compare", *SHORT, "--format", "json", "one", "two", "--", "-c", "echo >> $0.runs; exit 3")
    counted = max(len((tmp_path / f"{name}.runs").read_text()) for name in ("one", "two"))
    assert json.loads(ran.stdout)["measurement"]["starts"] == counted == 3


def test_who_waits_at_a_terminal_sees_what_is_done_and_how_much_there_is(tmp_path: Path) -> None:
    """The sign of life is drawn about each tenth of a second, and lines above it stay."""
    for name in ("one", "two"):
        shutil.copy(os.path.realpath("/bin/sleep"), tmp_path / name)
    ours, theirs = pty.openpty()
    words = ("compare", "--run", "--runs", "4", "--copies", "1", "--format", "json", "one", "two", "--", "0.12")
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs, env=environment(TERM="xterm")
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        while piece := os.read(ours, 1 << 16):
            shown += piece
    os.close(ours)
    assert process.wait(60) == 0
    text = shown.decode()
    said = [text.index(one) for one in ("many times", "one: a first run", "each is started about ", "round 2 of 4")]
    assert said == sorted(said)


def test_a_slow_program_takes_about_as_long_as_it_says(linkscope: Linkscope, tmp_path: Path) -> None:
    """A busy machine makes it longer, and what is left out for a slow one shorter."""
    for name in ("one", "two"):
        shutil.copy(os.path.realpath("/bin/sleep"), tmp_path / name)
    start = time.monotonic()
    ran = linkscope("compare", "--run", "--copies", "1,4", "--runs", "11", "one", "two", "--", "0.1")
    took = time.monotonic() - start
    foreseen = re.search(r"takes some (\d+) s", ran.stderr.decode())
    assert foreseen is not None
    assert 11 * 2 * 0.1 < int(foreseen[1]) < 9
    assert int(foreseen[1]) / 2 < took < int(foreseen[1]) + 15


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ("1", ["one run says nothing of the spread", "one round is too few to call a program faster: that takes 11"]),
        ("7", ["low and high of 7 rounds are the least and the most", "7 rounds are too few to call a program faster"]),
        ("8", ["8 rounds are too few to call a program faster"]),
        ("11", []),
    ],
)
def test_what_few_runs_do_not_say_is_a_note(
    linkscope: Linkscope, hello: list[Path], runs: str, said: list[str]
) -> None:
    """Eight is the least number of which half to the power of it is no more than 0.5 %, on either side."""
    words = ("--run", "--runs", runs, "--copies", "1", "--format", "json")
    notes = json.loads(linkscope("compare", *words, *hello).stdout)["measurement"]["notes"]
    found = [note for note in notes if "spread" in note or "rounds" in note or "round is" in note]
    assert len(found) == len(said)
    assert all(one in note for one, note in zip(said, found, strict=True))


def test_times_are_told_in_nanoseconds(linkscope: Linkscope, hello: list[Path]) -> None:
    """As the clock does; the mean of two such times would have a digit more."""
    words = ("--run", "--runs", "12", "--copies", "1", "--format", "json")
    document = json.loads(linkscope("compare", *words, *hello).stdout, parse_float=str)
    figures = [document["measurement"]["overhead"] or "0"]
    for program in document["programs"]:
        run = program["run"]
        figures += [run["user"], run["system"], *run["seconds"].values()]
    assert all(isinstance(figure, str) for figure in figures)
    assert all(len(f"{Decimal(figure):f}".partition(".")[2]) <= 9 for figure in figures), figures


# --- What programs read, and how they end -----------------------------------------------------------------------------


def test_a_filter_reads_the_whole_file_in_each_run(linkscope: Linkscope, tmp_path: Path) -> None:
    """It fails if it reads anything else, and /proc has the name of what it reads."""
    _shells(tmp_path, "one", "two")
    (tmp_path / "words").write_text("some words\n")
    script = 'test "$(readlink /proc/$$/fd/0) $(cat)" = "$PWD/words some words"'
    words = (*SHORT, "--input", "words", "--format", "json", "one", "two", "--", "-c", script)
    document = json.loads(linkscope("compare", *words).stdout)
    assert document["errors"] == []
    assert document["measurement"]["input"] == "words"
    assert all(program["run"] for program in document["programs"])


def test_what_a_filter_computes_is_what_it_does_by_hand_with_the_same_input(
    linkscope: Linkscope, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Processor time, which a busy machine changes little; without the file it would be a tenth."""
    for name in ("one", "two"):
        shutil.copy(os.path.realpath(require_tool("xz")), tmp_path / name)
    (tmp_path / "words").write_bytes(random.Random(1).randbytes(100_000))
    by_hand = [_by_hand(tmp_path / "one", tmp_path / "words") for _ in range(5)]
    words = ("--run", "--runs", "5", "--copies", "1", "--input", "words", "--format", "json", "one", "two", "--", "-c")
    runs = [program["run"] for program in json.loads(linkscope("compare", *words).stdout)["programs"]]
    by_hand += [_by_hand(tmp_path / "one", tmp_path / "words") for _ in range(5)]
    for run in runs:
        computed = run["user"] + run["system"]
        assert min(by_hand) / 2 < computed < max(by_hand) * 2
        assert run["seconds"]["median"] > 0.9 * computed
    assert min(_by_hand(tmp_path / "one", Path(os.devnull)) for _ in range(5)) < min(by_hand) / 3


def _by_hand(program: Path, source: Path) -> float:
    """Seconds of processor time, as bash tells them (`times`)."""
    with open(source, "rb") as opened:
        said = subprocess.run(
            ["bash", "-c", 'TIMEFORMAT="%U %S"; time "$0" -c > /dev/null', program],
            stdin=opened, capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
    return sum(map(float, said.split()))


def test_the_time_of_a_filter_is_what_its_input_tells_it_to_take(linkscope: Linkscope, tmp_path: Path) -> None:
    _shells(tmp_path, "one", "two")
    (tmp_path / "words").write_text("0.06\n")
    words = ("--run", "--runs", "5", "--copies", "1", "--input", "words", "--format", "json", "one", "two")
    document = json.loads(linkscope("compare", *words, "--", "-c", "read time; sleep $time").stdout)
    assert all(0.06 <= program["run"]["seconds"]["low"] < 0.5 for program in document["programs"])


def test_who_does_less_work_for_dev_null_is_told(
    linkscope: Linkscope, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """GNU grep ends at the first match where its output is /dev/null (src/grep.c, dev_null_output); awk does not."""
    for name in ("grep", "awk"):
        shutil.copy(os.path.realpath(require_tool(name)), tmp_path / name)
    (tmp_path / "words").write_text("7\n" * (1 << 22))
    words = ("--run", "--runs", "3", "--copies", "1", "--input", "words", "--format", "json", "grep", "awk", "--", "7")
    document = json.loads(linkscope("compare", *words).stdout)
    assert document["errors"] == []
    assert [note.split(":")[0] for note in document["measurement"]["notes"] if "/dev/null" in note] == ["grep"]


def test_a_filter_may_write_more_than_others_of_a_large_file(linkscope: Linkscope, tmp_path: Path) -> None:
    """16 MiB are the bound of what nobody gave anything to read."""
    for name in ("one", "two"):
        shutil.copy(os.path.realpath("/bin/cat"), tmp_path / name)
    (tmp_path / "large").write_bytes(bytes(17 << 20))
    words = ("--run", "--runs", "1", "--copies", "1", "--input", "large", "--format", "json", "one", "two")
    assert json.loads(linkscope("compare", *words).stdout)["errors"] == []


@pytest.mark.parametrize(("accepted", "wrong"), [("0", "two"), ("1", "one"), ("1,255", "one"), ("0,1", "")])
def test_the_codes_that_are_accepted_are_a_good_end_and_no_others(
    linkscope: Linkscope, tmp_path: Path, accepted: str, wrong: str
) -> None:
    """grep(1) has 0 where it finds something, and 1 where it does not; here each is one of two programs."""
    _shells(tmp_path, "one", "two")
    words = ("--run", "--runs", "2", "--copies", "1,2", "--accept", accepted, "--format", "json", "one", "two")
    ran = linkscope("compare", *words, "--", "-c", "case $0 in one) exit 0 ;; two) exit 1 ;; esac")
    document = json.loads(ran.stdout)
    assert [error["path"] for error in document["errors"]] == [wrong] * bool(wrong)
    assert ran.returncode == (2 if wrong else 0)
    assert document["measurement"]["accepted"] == [int(code) for code in accepted.split(",")]
    differ = "not all end with the same exit code, and may have done different things: one with 0, two with 1"
    assert (differ in document["measurement"]["notes"]) == (not wrong)
    assert not any("while they are held" in note for note in document["measurement"]["notes"])


def test_which_codes_to_accept_is_told_with_those_that_are_accepted_already(
    linkscope: Linkscope, tmp_path: Path
) -> None:
    _shells(tmp_path, "one", "two")
    for options, said in ((), "--accept 4)"), (("--accept", "0,2"), "--accept 0,2,4)"):
        ran = linkscope("compare", "--run", *options, "one", "two", "--", "-c", "exit 4")
        assert ran.stderr.decode().count(f"ends with exit code 4 (if that is how it should end: {said}") == 2


def test_what_ends_as_shells_and_loaders_do_who_start_nothing_is_not_to_be_accepted(
    linkscope: Linkscope, tmp_path: Path
) -> None:
    _shells(tmp_path, "one", "two")
    ran = linkscope("compare", "--run", "one", "two", "--", "-c", "no-such-program")
    assert "ends with exit code 127: " in ran.stderr.decode()
    assert "--accept" not in ran.stderr.decode()


def test_the_cost_of_measuring_is_told_in_text_and_in_json(linkscope: Linkscope, hello: list[Path]) -> None:
    """It is less than what a program takes that imports Python, and more than nothing, or lost in what disturbs."""
    words = ("--run", "--runs", "20", "--copies", "1")
    told = json.loads(linkscope("compare", *words, "--format", "json", *hello).stdout)["measurement"]
    lost = "what measuring adds to a run is lost in the noise of this machine"
    assert lost in told["notes"] if told["overhead"] is None else 0 < told["overhead"] < 0.02
    shown = linkscope("compare", *words, *hello).stdout.decode()
    assert "measuring adds " in shown or lost in shown


def test_a_file_that_is_named_twice_ties_with_itself(linkscope: Linkscope, hello: list[Path]) -> None:
    document = json.loads(linkscope("compare", *SHORT, "--format", "json", hello[1], hello[1]).stdout)
    assert [one["criterion"] for one in document["verdict"]] == CRITERIA
    assert {one["better"] for one in document["verdict"]} == {None}
    assert all(one["tied"] == [str(hello[1])] * 2 for one in document["verdict"])


# --- What goes wrong --------------------------------------------------------------------------------------------------


def test_what_a_program_does_wrong_is_told_apart_and_the_others_are_compared(
    linkscope: Linkscope, tmp_path: Path
) -> None:
    _shells(tmp_path, "good", "better", *(name for name in _NASTY if name not in ("script", "absent")))
    (tmp_path / "closed").chmod(0o644)
    (tmp_path / "script").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "script").chmod(0o755)
    with open(tmp_path / "foreign", "r+b") as foreign:  # e_machine of the gABI's ELF header: EM_S390, or not
        foreign.seek(18)
        foreign.write(struct.pack("=H", 22 if os.uname().machine != "s390x" else 183))
    (tmp_path / "tmp").mkdir()
    words = [*SHORT, "--timeout", "3", "--format", "json", "good", *_NASTY, "better", "--", "-c", _BY_NAME]
    ran = linkscope("compare", *words, env=dict([marked.command("").environment[-1]], TMPDIR=str(tmp_path / "tmp")))
    document = json.loads(ran.stdout)
    errors = {error["path"]: error["error"] for error in document["errors"]}
    assert ran.returncode == 2
    assert errors.keys() == _NASTY.keys()
    for name, said in _NASTY.items():
        assert said in errors[name], name
    assert errors["leaves-later"].endswith("), after a first run that ended well")
    measured = [program["path"] for program in document["programs"] if program["run"]]
    assert measured == ["good", "better"]
    start = next(one for one in document["verdict"] if one["criterion"] == "start")
    assert start["unit"] == "seconds"
    assert start["better"] is None
    assert marked.left() == []
    assert list((tmp_path / "tmp").iterdir()) == []


# Counts its runs without starting any other program.
_HANGS_FROM = """
echo >> $0.runs; n=0; while read line; do n=$((n + 1)); done < $0.runs
read from < from
test $n -lt $from || exec sleep 1000
"""


def test_whichever_run_of_a_program_is_the_first_that_hangs_it_ends_in_time(tmp_path: Path) -> None:
    """It is told among the errors; where it is a run for its memory, or one of the quicker program by which the cost of
    measuring is found, in a note.
    """
    words = ("--run", "--runs", "1", "--copies", "1", "--timeout", "1.5", "--format", "json", "one", "two", "--", "-c")

    def hangs_from(number: int) -> dict[str, Any]:
        folder = tmp_path / str(number)
        folder.mkdir()
        _shells(folder, "one", "two")
        (folder / "from").write_text(str(number))
        argv = [*COMMAND, "compare", *words, _HANGS_FROM]
        mark = dict([marked.command("").environment[-1]])
        ran = subprocess.run(argv, cwd=folder, env=environment(**mark), capture_output=True, timeout=60)
        document: dict[str, Any] = json.loads(ran.stdout)
        assert ran.returncode == (2 if document["errors"] else 0)
        return document

    starts = hangs_from(1000)["measurement"]["starts"]
    assert starts == max(len((tmp_path / "1000" / f"{name}.runs").read_text()) for name in ("one", "two"))
    with ThreadPoolExecutor(4) as pool:
        documents = list(pool.map(hangs_from, range(1, starts + 1)))
    for number, document in enumerate(documents, 1):
        said = [error["error"] for error in document["errors"]] + document["measurement"]["notes"]
        assert any("does not end within 1.5 s" in one or "to its end in time" in one for one in said), (number, said)
    assert all("(its first run did)" in error["error"] for error in documents[1]["errors"])
    assert marked.left() == []


def test_a_reason_is_one_line_on_standard_error_in_text(linkscope: Linkscope, tmp_path: Path) -> None:
    _shells(tmp_path, "good", "fails", "better")
    ran = linkscope("compare", *SHORT, "good", "fails", "better", "absent", "--", "-c", _BY_NAME)
    assert ran.returncode == 2
    before, _, *reasons = ran.stderr.decode().splitlines()
    assert before == "linkscope runs good, fails, better, absent, many times"
    assert reasons == [
        "linkscope: absent: no such file or directory",
        "linkscope: fails: ends with exit code 3: no such thing (if that is how it should end: --accept 3)",
    ]
    assert "exec to exit" in ran.stdout.decode()


@pytest.mark.parametrize("options", [(), SHORT], ids=["files", "run"])
def test_where_no_file_can_be_compared_that_is_all_that_is_said(linkscope: Linkscope, options: tuple[str, ...]) -> None:
    ran = linkscope("compare", *options, "absent", "/etc/passwd")
    *_, first, second = ran.stderr.decode().splitlines()
    assert ran.returncode == 2
    assert first == "linkscope: absent: no such file or directory"
    assert second.startswith("linkscope: /etc/passwd: ")
    assert ran.stdout == b""


_REFUSED = [
    (("good",), "Name two programs at least"),
    ((), "Name two programs at least"),
    (("good", "good", "--", "--version"), "ARGS is for --run, which starts the programs"),
    (("--serve", "8080", "good", "good"), "--serve is for --run, which starts the programs"),
    (("--runs", "20", "good", "good"), "--runs is for --run"),
    (("--copies", "1,4,16", "good", "good"), "--copies is for --run"),
    (("--timeout", "10", "good", "good"), "--timeout is for --run"),
    (("--input", "good", "good", "good"), "--input is for --run"),
    (("--accept", "0", "good", "good"), "--accept is for --run"),
    (("--connections", "1,8", "good", "good"), "--connections is for --serve, which says where the programs serve"),
    (("--run", "--connections", "1", "good", "good"), "--connections is for --serve"),
    (("--run", "--serve", "auto", "--input", "good", "good", "good"), "--input does not go with --serve"),
    (("--run", "--serve", "auto", "--accept", "1", "good", "good"), "--accept does not go with --serve"),
    (("--run", "--input", "absent", "good", "good"), "absent: no such file or directory"),
    (("--run", "--input", ".", "good", "good"), ".: is a directory"),
    (("--run", "--input", "", "good", "good"), "empty"),
    (("--run", "--input", "/dev/fd/0", "good", "good"), "/dev/fd/0: cannot be read from its start again"),
    (("--run", "--accept", "256", "good", "good"), "'256' is no list of whole numbers from 0 to 255, as 0,1 is"),
    (("--run", "--accept", "", "good", "good"), "'' is no list of whole numbers from 0 to 255"),
    (("--plot", "x", "good", "good"), "'x' ends neither in .svg nor in .png or .pdf"),
    (("--run", "--plot", "x.jpg", "good", "good"), "'x.jpg' ends neither in .svg nor in .png or .pdf"),
    (("--run", "--serve", "0", "good", "good"), "'0' is no port"),
    (("--run", "--serve", "65536", "good", "good"), "'65536' is no port"),
    (("--run", "--serve", "http", "good", "good"), "'http' is no port"),
    (("--run", "--serve", "\u0661", "good", "good"), "is no port"),
    (("--run", "--copies", "", "good", "good"), "is no list of whole numbers"),
    (("--run", "--copies", "1,,4", "good", "good"), "'1,,4' is no list of whole numbers"),
    (("--run", "--copies", "0", "good", "good"), "'0' is no list of whole numbers"),
    (("--run", "--copies", "-1", "good", "good"), "'-1' is no list of whole numbers"),
    (("--run", "--copies", "many", "good", "good"), "'many' is no list of whole numbers"),
    (("--run", "--copies", "1000000", "good", "good"), "is no list of whole numbers from 1 to 1024"),
    (("--run", "--serve", "auto", "--connections", "1.5", "good", "good"), "is no list of whole numbers"),
    (("--run", "--runs", "0", "good", "good"), "0 is not in the range"),
    (("--run", "--timeout", "0", "good", "good"), "0 is no number of seconds"),
    (("--run", "--timeout", "-1", "good", "good"), "-1 is no number of seconds"),
    (("--run", "--timeout", "nan", "good", "good"), "nan is no number of seconds"),
    (("--run", "--timeout", "inf", "good", "good"), "inf is no number of seconds"),
    (("--run", "--root", ".", "good", "good"), "--root does not go with it"),
    (("--plot", "", "good", "good"), "empty"),
    (("--format", "yaml", "good", "good"), "'yaml' is not one of"),
    (("--run", "--serve", "auto", "good", "good"), "{port} stands for: write that among ARGS"),
    (("--plot", "good.svg", "good.svg", "absent"), "good.svg: is not written over"),
    (("--plot", "link.svg", "good", "absent"), "link.svg: is not written over"),
    (("--run", "--input", "words.svg", "--plot", "words.svg", "good", "absent"), "words.svg: is not written over"),
    (("--run", "--plot", "nowhere/x.svg", "good", "good"), "nowhere/x.svg: no such file or directory"),
    (("--run", "--plot", "folder.svg", "good", "good"), "folder.svg: is a directory"),
]


@pytest.mark.parametrize(("words", "said"), _REFUSED, ids=[" ".join(words) for words, _ in _REFUSED])
def test_what_is_asked_wrongly_is_told_in_one_line(
    linkscope: Linkscope, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    good = _shells(tmp_path, "good")[0]
    (tmp_path / "link.svg").symlink_to("good")
    shutil.copy(good, tmp_path / "good.svg")
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "words.svg").write_text("words")
    before = good.read_bytes()
    ran = linkscope("compare", *words)
    last = ran.stderr.decode().splitlines()[-1]
    assert ran.returncode == 2
    assert said in last
    assert last.startswith(("Error: ", "linkscope: "))
    assert b"Traceback" not in ran.stderr
    assert ran.stdout == b""
    assert good.read_bytes() == before


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def strange(tmp_path: Path, hello: list[Path]) -> list[Path]:
    """Two programs whose names are no UTF-8, or hold what a terminal acts on and what markup means."""
    names = ["caf\udce9", "\x1b[31mred\nx|y<b>&_*`$"]
    for name, path in zip(names, hello, strict=True):
        shutil.copy(path, tmp_path / name)
    return [tmp_path / name for name in names]


def test_a_name_is_escaped_in_text(linkscope: Linkscope, strange: list[Path]) -> None:
    ran = linkscope("compare", *strange)
    said = ran.stdout.decode()
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert "\x1b" not in said
    assert "\ufffd" not in said
    assert r"caf\xe9 is the smallest file" in said
    assert r"\x1b[31mred\x0ax|y<b>&_*`$" in said


def test_a_name_is_no_markup_in_markdown(linkscope: Linkscope, strange: list[Path]) -> None:
    said = linkscope("compare", "--format", "markdown", *strange).stdout.decode()
    assert r"caf&#92;xe9" in said
    assert "\x1b" not in said
    assert "<b>" not in said
    tables = [line for line in said.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_a_name_leaves_the_picture_well_formed(linkscope: Linkscope, strange: list[Path], tmp_path: Path) -> None:
    ran = linkscope("compare", "--plot", "out.svg", *strange)
    assert (ran.returncode, ran.stderr) == (0, b"")
    picture = ET.parse(tmp_path / "out.svg").getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    shown = "".join(picture.itertext())
    assert r"caf\xe9" in shown
    assert "\x1b" not in shown


def test_a_name_has_its_exact_bytes_in_json_also_among_the_errors(linkscope: Linkscope, strange: list[Path]) -> None:
    """The other one is told to fail: it has no such option."""
    names = [path.name for path in strange]
    ran = linkscope("compare", "--format", "json", *SHORT, *names, "caf\udce8", "--", "x")
    document = json.loads(ran.stdout)
    assert [program["path_bytes"] for program in document["programs"]] == ["Y2Fm6Q==", None]
    assert [(error["path"], error["path_bytes"]) for error in document["errors"]] == [("caf\ufffd", "Y2Fm6A==")]


def test_two_names_that_look_alike_are_two_programs(linkscope: Linkscope, tmp_path: Path, hello: list[Path]) -> None:
    """Their times are not mixed up: the dynamic one takes longer, whichever comes first."""
    for name, path in zip(("caf\udce8", "caf\udce9"), hello, strict=True):
        shutil.copy(path, tmp_path / name)
    ran = linkscope("compare", "--format", "json", "--run", "--runs", "200", "--copies", "1", "caf\udce8", "caf\udce9")
    start = next(one for one in json.loads(ran.stdout)["verdict"] if one["criterion"] == "start")
    assert start["better"] == "caf\ufffd"
    assert start["ratio"] < 0.95


# --- Formats and pictures ---------------------------------------------------------------------------------------------


def test_markdown_begins_with_the_verdict(linkscope: Linkscope, hello: list[Path]) -> None:
    ran = linkscope("compare", *SHORT, "--format", "markdown", *hello)
    said = ran.stdout.decode()
    assert ran.returncode == 0
    assert said.index("| Criterion | Verdict |") < said.index("<details>")
    assert said.count("<details>") == said.count("</details>")


def test_a_picture_of_a_measurement_is_well_formed(linkscope: Linkscope, hello: list[Path], tmp_path: Path) -> None:
    ran = linkscope("compare", *SHORT, "--plot", "out.svg", *hello)
    assert ran.returncode == 0
    shown = "".join(ET.parse(tmp_path / "out.svg").getroot().itertext())
    assert all(path.name in shown for path in hello)


def test_without_matplotlib_nothing_is_run_and_the_remedy_is_told(tmp_path: Path) -> None:
    """-S and a path of our own: an installation without the extra."""
    program = (
        "import sys, importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'matplotlib' else found(name, *rest)\n"
        "from linkscope.cli.invocation import run; sys.exit(run(sys.argv[1:]))"
    )
    _shells(tmp_path, "one", "two")
    words = ["compare", "--run", "--plot", "x.svg", "one", "two", "--", "-c", "echo > started"]
    ran = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, env=environment(), capture_output=True, timeout=60
    )
    assert ran.returncode == 2
    assert "--plot needs matplotlib, which is not installed: pip install 'linkscope[plot]'" in ran.stderr.decode()
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(hello: list[Path], columns: int) -> None:
    shown = on_terminal(["compare", *SHORT, *map(str, hello)], columns, NO_COLOR="1")
    assert max(map(len, shown.splitlines())) <= columns
    assert "What this suggests" in shown


# --- What is imported -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["json", "markdown"])
def test_files_alone_import_nothing_that_runs_or_draws(hello: list[Path], layout: str) -> None:
    """Whatever starts a program needs `launch`."""
    loaded = _loaded("compare", "--format", layout, *map(str, hello))
    assert not {"matplotlib", "psutil", "rich", "subprocess", "linkscope.measure.launch"} & loaded


@pytest.mark.parametrize("words", [("inspect",), ("check",), ("why",), ("diff",)], ids=" ".join)
def test_another_command_imports_nothing_of_measuring(hello: list[Path], words: tuple[str, ...]) -> None:
    more = {"why": ["libc.so.6"], "diff": [str(hello[1])]}.get(words[0], [])
    assert not {name for name in _loaded(*words, str(hello[0]), *more) if name.startswith("linkscope.measure")}


def _loaded(*arguments: str) -> set[str]:
    program = (
        "import sys\nfrom linkscope.cli.invocation import run\nrun(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment(), capture_output=True, text=True, check=True
    )
    return set(ran.stderr.splitlines()[-1].split())

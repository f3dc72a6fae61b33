"""`linkscope compare`, the whole command: its document, its formats, and what it never starts."""

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import jsonschema
import msgspec
import pytest

from linkscope.model.compare import CompareDocument
from tests.cli.comparing import CRITERIA, SHORT, shells
from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.cli.processes import on_terminal

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
    programs = shells(tmp_path, "one", "two")
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
    shells(tmp_path, "one", "two")
    words = ("--run", "--runs", "3", "--copies", "1,2", "--format", "json", "one", "two")
    ran = linkscope("compare", *words, "--", "-c", "echo >> $0.runs")
    counted = max(len((tmp_path / f"{name}.runs").read_text()) for name in ("one", "two"))
    foreseen = re.search(r"started ([\d,]+) times at most", ran.stderr.decode())
    assert json.loads(ran.stdout)["measurement"]["starts"] == counted
    assert foreseen is not None
    assert counted <= int(foreseen[1].replace(",", "")) <= counted * 2


@pytest.mark.parametrize("first", ["", "test -e $0.warm || sleep 0.5; : > $0.warm"], ids=["quick", "first-is-slow"])
def test_it_is_started_no_more_often_than_it_says_where_nobody_says_how_often(
    first: str, linkscope: Linkscope, tmp_path: Path
) -> None:
    """So it is where a first run is slow, by whose time that is foreseen, and the others are quick."""
    shells(tmp_path, "one", "two")
    ran = linkscope("compare", "--run", "--format", "json", "one", "two", "--", "-c", f"echo >> $0.runs; {first}")
    counted = [len((tmp_path / f"{name}.runs").read_text()) for name in ("one", "two")]
    foreseen = re.search(r"started ([\d,]+) times at most", ran.stderr.decode())
    assert json.loads(ran.stdout)["measurement"]["starts"] == max(counted)
    assert foreseen is not None
    assert 40 < max(counted) <= int(foreseen[1].replace(",", ""))


def test_how_often_one_that_failed_was_started_is_told_too(linkscope: Linkscope, tmp_path: Path) -> None:
    """It is tried again with input that is silent, and with a terminal."""
    shells(tmp_path, "one", "two")
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
    said = [text.index(one) for one in ("many times", "one: a first run", "each is started ", "round 2 of 4")]
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
    shells(tmp_path, "one", "two")
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

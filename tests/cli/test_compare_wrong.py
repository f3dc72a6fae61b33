"""What goes wrong with `linkscope compare` is told, in a line each; strange names are told as they are."""

import json
import os
import re
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cli.comparing import SHORT, shells
from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.measure import marked

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


# --- What goes wrong --------------------------------------------------------------------------------------------------


def test_what_a_program_does_wrong_is_told_apart_and_the_others_are_compared(
    linkscope: Linkscope, tmp_path: Path
) -> None:
    shells(tmp_path, "good", "better", *(name for name in _NASTY if name not in ("script", "absent")))
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
    measuring is found, in a note. It is started as often as is told then, and not more often than was announced.
    """
    words = ("--run", "--runs", "1", "--copies", "1", "--timeout", "1.5", "--format", "json", "one", "two", "--", "-c")

    def hangs_from(number: int) -> dict[str, Any]:
        folder = tmp_path / str(number)
        folder.mkdir()
        shells(folder, "one", "two")
        (folder / "from").write_text(str(number))
        argv = [*COMMAND, "compare", *words, _HANGS_FROM]
        mark = dict([marked.command("").environment[-1]])
        ran = subprocess.run(argv, cwd=folder, env=environment(**mark), capture_output=True, timeout=60)
        document: dict[str, Any] = json.loads(ran.stdout)
        counted = max(len((folder / f"{name}.runs").read_text()) for name in ("one", "two"))
        foreseen = re.search(r"started ([\d,]+) times at most", ran.stderr.decode())
        assert ran.returncode == (2 if document["errors"] else 0)
        assert document["measurement"]["starts"] == counted
        assert foreseen is None if number == 1 else foreseen is not None and counted <= int(foreseen[1])
        return document

    starts = hangs_from(1000)["measurement"]["starts"]
    with ThreadPoolExecutor(4) as pool:
        documents = list(pool.map(hangs_from, range(1, starts + 1)))
    for number, document in enumerate(documents, 1):
        said = [error["error"] for error in document["errors"]] + document["measurement"]["notes"]
        assert any("does not end within 1.5 s" in one for one in said), (number, said)
        assert number == 1 or not any("does not end" in one and "(its first run did)" not in one for one in said), said
    assert marked.left() == []


def test_a_reason_is_one_line_on_standard_error_in_text(linkscope: Linkscope, tmp_path: Path) -> None:
    shells(tmp_path, "good", "fails", "better")
    ran = linkscope("compare", *SHORT, "good", "fails", "better", "absent", "--", "-c", _BY_NAME)
    assert ran.returncode == 2
    before, _, *reasons = ran.stderr.decode().splitlines()
    assert before == "linkscope runs good, fails, better, absent, many times"
    assert reasons == [
        "linkscope: absent: no such file or directory",
        "linkscope: fails: ends with exit code 3: no such thing (if that is how it should end: --accept 3)",
    ]
    assert "exec to exit" in ran.stdout.decode()


def test_who_failed_may_be_the_smallest_and_is_not_suggested(linkscope: Linkscope, tmp_path: Path) -> None:
    """false(1), beside shells that are larger."""
    shells(tmp_path, "good", "better")
    small = shutil.copy(os.path.realpath("/bin/false"), tmp_path / "small")
    assert os.stat(small).st_size < os.stat(tmp_path / "good").st_size
    ran = linkscope("compare", *SHORT, "--format", "json", "good", "small", "better", "--", "-c", ":")
    document = json.loads(ran.stdout)
    assert next(one for one in document["verdict"] if one["criterion"] == "size")["better"] == "small"
    assert [sentence[:5] for sentence in document["suggestions"] if "small" in sentence] == ["small"]
    assert document["suggestions"][0].startswith("small was not measured, and has no part in what follows: it ends")


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
    (("--output", "pipe", "good", "good"), "--output is for --run"),
    (("--run", "--output", "inherit", "good", "good"), "'inherit' is not one of 'null', 'pipe', 'file'"),
    (("--run", "--serve", "auto", "--output", "pipe", "good", "good"), "--output does not go with --serve"),
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
    good = shells(tmp_path, "good")[0]
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


def test_a_free_port_of_which_no_program_is_told_is_a_mistake_of_the_command_line(
    linkscope: Linkscope, tmp_path: Path
) -> None:
    """Said once, and before anything else is, whatever the files are."""
    shells(tmp_path, "good")
    ran = linkscope("compare", "--run", "--serve", "auto", "good", "absent", "--", "-p", "8080")
    *usage, error = ran.stderr.decode().splitlines()
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert error == "Error: --serve auto chooses a port, which {port} stands for: write that among ARGS."
    assert not any(word in line for line in usage for word in ("good", "absent", "{port}", "linkscope runs"))


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

"""`linkscope pid` as a program: its formats, its streams and its exit codes, with the kernel as the judge."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from linkscope.cli.schema import schema_of
from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.cli.processes import FixtureFile, as_nobody, holding
from tests.cli.test_streams import _in_terminal
from tests.process.started import started


def _document(linkscope: Linkscope, *arguments: str) -> tuple[int, Any]:
    ran = linkscope("pid", "--format", "json", *arguments)
    document = json.loads(ran.stdout)
    jsonschema.validate(document, schema_of("pid"))
    assert ran.stderr == b""
    return ran.returncode, document


def test_a_process_in_json_is_the_documents_own_and_valid(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    program = fixture_file("process/states")
    with started([program, "sleeping"]) as sleeper:
        sleeper.expect("pid ")
        code, document = _document(linkscope, str(sleeper.pid))
        mapped = {
            line.split()[5] for line in Path(f"/proc/{sleeper.pid}/maps").read_text().splitlines() if " r-xp " in line
        }
    (process,) = document["processes"]
    assert code == 0
    assert (document["trees"], document["errors"]) == (None, [])
    assert process["cmdline"] == [str(program), "sleeping"]
    assert process["executable"]["path"] == str(program)
    assert {one["path"] for one in process["objects"]} - {"[vdso]"} == {path for path in mapped if path.startswith("/")}


def test_the_text_says_what_it_runs_and_what_is_mapped(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states-static"), "sleeping"]) as static:
        static.expect("pid ")
        shown = linkscope("pid", str(static.pid)).stdout.decode()
    assert shown.startswith(f"{static.pid} ")
    assert "started      by the kernel alone: no interpreter, no libraries\n" in shown
    assert re.search(r"^  states-static +program ", shown, re.MULTILINE)
    assert re.search(r"^  memory +[█░]{20}  PSS \d", shown, re.MULTILINE)


def test_what_is_stale_makes_the_exit_code_1_until_it_is_restarted(
    linkscope: Linkscope, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    with holding(fixture_file, tmp_path) as (holder, library):
        assert linkscope("pid", str(holder.pid)).returncode == 0
        holder.ask(f"replace {library} {tmp_path / 'libheld-new.so'}")
        ran = linkscope("pid", str(holder.pid))
        code, document = _document(linkscope, str(holder.pid))
    assert (ran.returncode, code) == (1, 1)
    assert re.search(r"^  libheld\S* +needed +replaced ", ran.stdout.decode(), re.MULTILINE)
    assert "✗ " in ran.stdout.decode()
    (process,) = document["processes"]
    assert [one["path"] for one in process["objects"] if one["disk"] == "replaced"] == [str(library)]
    with holding(fixture_file, tmp_path) as (holder, _):
        assert linkscope("pid", str(holder.pid)).returncode == 0


def test_what_could_be_analysed_is_printed_beside_what_could_not(linkscope: Linkscope) -> None:
    gone = _gone()
    ran = linkscope("pid", str(os.getpid()), str(gone))
    assert ran.returncode == 2
    assert ran.stdout.startswith(f"{os.getpid()} ".encode())
    assert ran.stdout.endswith("1 process · 1 more could not be analysed\n".encode())
    assert ran.stderr == f"linkscope: process {gone}: no such process\n".encode()
    code, document = _document(linkscope, str(gone), str(os.getpid()))
    assert code == 2
    assert [one["pid"] for one in document["processes"]] == [os.getpid()]
    assert document["errors"] == [{"pid": gone, "error": "no such process"}]


def _gone() -> int:
    """A number that no process has: it was given to one that has just ended, and they are given in turn."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_of_somebody_elses_process_is_told_what_everybody_may_know() -> None:
    ran = as_nobody("pid", "--format", "json", "1")
    document = json.loads(ran.stdout)
    (process,) = document["processes"]
    assert ran.returncode == 2
    assert (process["objects"], process["memory"], process["libraries"]) == (None, None, None)
    assert process["name"] == Path("/proc/1/comm").read_text().rstrip("\n")
    assert [finding["code"] for finding in process["findings"]].count("not-permitted") == 1
    assert [error["pid"] for error in document["errors"]] == [1]
    text = as_nobody("pid", "1")
    assert text.returncode == 2
    assert text.stdout.startswith(b"1 ")
    assert text.stderr.startswith(b"linkscope: process 1: ")


def test_each_process_is_a_line_of_jsonl_and_named_twice_it_is_told_once(linkscope: Linkscope) -> None:
    own, parent = str(os.getpid()), str(os.getppid())
    ran = linkscope("pid", "--format", "jsonl", own, parent, own, f"0{own}", str(_gone()))
    assert [json.loads(line)["pid"] for line in ran.stdout.splitlines()] == [int(own), int(parent)]
    assert ran.stderr.endswith(b": no such process\n")


def test_a_tree_is_a_part_of_the_answer_where_it_is_asked_for(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/prefork"), "-p", "0", "-n", "2"]) as server:
        server.expect("ready")
        _, document = _document(linkscope, "--tree", str(server.pid))
        text = linkscope("pid", "--tree", str(server.pid)).stdout.decode()
        lines = linkscope("pid", "--tree", "--format", "jsonl", str(server.pid)).stdout.splitlines()
    (tree,) = document["trees"]
    (process,) = document["processes"]
    workers = process["family"]["children"]
    assert len(workers) == 2
    assert {server.pid, *workers} <= {member["pid"] for member in tree["members"]}
    assert f"family of {server.pid}\n" in text
    assert all(re.search(rf"^ .*[├└]─ {pid} ", text, re.MULTILINE) for pid in workers)
    assert [json.loads(line)["pid"] for line in lines] == [server.pid, server.pid]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Name at least one process by its number. `linkscope ps` lists them."),
        (["nginx"], "`linkscope pid $(pgrep nginx)` takes those of that name."),
        (["12a"], "12a is not the number of a process."),
        (["0"], "'0' is not the number of a process."),
        ([""], "'' is not the number of a process."),
        (["١٢"], "is not the number of a process."),
        (["--count", "2", "1"], "--count goes with --watch."),
        (["--watch", "--format", "json", "1"], "--watch shows text"),
        (["--watch", "5000", "1"], "was 5000 meant to be a process?"),
        (["--watch", "nan", "1"], "--watch takes a number of seconds; nan is none."),
        (["--watch", "inf", "1"], "--watch takes a number of seconds; inf is none."),
        (["--watch", "0", "1"], "0.0 is not in the range x>=0.1"),
    ],
    ids=str,
)
def test_a_wrong_command_line_is_answered_with_what_would_be_right(
    linkscope: Linkscope, words: list[str], told: str
) -> None:
    ran = linkscope("pid", *words)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert told in " ".join(ran.stderr.decode().split())


def test_the_name_of_a_file_is_answered_with_what_can_be_asked_of_it(linkscope: Linkscope, tmp_path: Path) -> None:
    program = tmp_path / "an app"
    program.touch()
    ran = linkscope("pid", program)
    said = " ".join(ran.stderr.decode().split())
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert (
        f"{program} is a file, not the number of a process. `linkscope inspect '{program}'` analyses the file;" in said
    )
    assert f"`linkscope ps --uses '{program}'` lists who has mapped it" in said
    assert "pgrep" not in said


def test_a_number_that_no_process_can_have_is_an_error_in_one_line(linkscope: Linkscope) -> None:
    ran = linkscope("pid", "99999999999999999999")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr == b"linkscope: process 99999999999999999999: no such process\n"


@pytest.mark.parametrize("layout", ["text", "json", "jsonl"])
def test_no_command_line_of_a_process_acts_on_a_terminal(fixture_file: FixtureFile, layout: str) -> None:
    evil = "\x1b[31m\u202e\x07\nevil"
    with started([fixture_file("process/states"), "sleeping", evil]) as sleeper:
        sleeper.expect("pid ")
        shown = _in_terminal(["pid", "--format", layout, str(sleeper.pid)], 200, NO_COLOR="1")
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "evil" in shown


def test_a_terminal_gets_colour_and_lines_of_its_width() -> None:
    shown = _in_terminal(["pid", str(os.getpid())], 80)
    assert "\x1b[1m" in shown
    assert all(len(line) <= 80 for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines())


def test_the_program_can_look_at_itself() -> None:
    command = ["sh", "-c", 'exec "$@" "$$"', "sh", *COMMAND, "pid", "--format", "json"]
    ran = subprocess.run(command, capture_output=True, env=environment(), timeout=60)
    (process,) = json.loads(ran.stdout)["processes"]
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert process["cmdline"] == [*COMMAND, "pid", "--format", "json", str(process["pid"])]
    assert process["state"] == "running"


def test_a_closed_pipe_ends_the_program_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*COMMAND, "pid", str(os.getpid())]
    ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment(), timeout=60)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")

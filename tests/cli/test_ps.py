"""`linkscope ps` as a program: what it lists, what it leaves out, and what an upgrade script may rely on."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from linkscope.cli.schema import schema_of
from linkscope.report.page import cells
from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.cli.processes import FixtureFile, as_nobody, holding, on_terminal
from tests.process.started import Started, started


@pytest.fixture
def sleeper(fixture_file: FixtureFile) -> Iterator[Started]:
    """A dynamic program that is there while the test runs."""
    with started([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("pid ")
        yield program


@pytest.fixture
def static(fixture_file: FixtureFile) -> Iterator[Started]:
    """The same, static."""
    with started([fixture_file("process/states-static"), "sleeping"]) as program:
        program.expect("pid ")
        yield program


def _document(linkscope: Linkscope, *arguments: str) -> Any:
    ran = linkscope("ps", "--format", "json", *arguments)
    document = json.loads(ran.stdout)
    jsonschema.validate(document, schema_of("pid"))
    return document


def _pids(linkscope: Linkscope, *arguments: str) -> list[int]:
    return [process["pid"] for process in _document(linkscope, *arguments)["processes"]]


def test_every_process_is_in_the_document_in_order_of_its_number(linkscope: Linkscope, sleeper: Started) -> None:
    before = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
    document = _document(linkscope)
    listed = [process["pid"] for process in document["processes"]]
    after = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
    assert listed == sorted(listed)
    # One that starts another program again and again while it is looked at is an error.
    assert before & after <= {*listed, *(error["pid"] for error in document["errors"])}
    assert sleeper.pid in listed


def test_the_table_has_a_row_for_each_process(linkscope: Linkscope, sleeper: Started, static: Started) -> None:
    ran = linkscope("ps")
    shown = ran.stdout.decode()
    assert ran.returncode == 0
    assert shown.split("\n")[0].split()[:5] == ["pid", "user", "name", "state", "linkage"]
    assert re.search(rf"^ *{sleeper.pid}  \S+ +states +sleeping +dynamic +\d", shown, re.MULTILINE)
    assert re.search(rf"^ *{static.pid}  \S+ +states-static +sleeping +static +0", shown, re.MULTILINE)


def test_processes_are_chosen_by_their_linkage(linkscope: Linkscope, sleeper: Started, static: Started) -> None:
    mine = {sleeper.pid, static.pid}
    assert mine & set(_pids(linkscope, "--static")) == {static.pid}
    assert mine & set(_pids(linkscope, "--dynamic")) == {sleeper.pid}


def test_processes_are_chosen_by_what_they_use(linkscope: Linkscope, sleeper: Started, static: Started) -> None:
    using = _document(linkscope, "--uses", "libc.so.6")["processes"]
    assert sleeper.pid in {process["pid"] for process in using}
    assert static.pid not in {process["pid"] for process in using}
    assert {process["objects"] is None for process in using} == {True}
    assert _pids(linkscope, "--uses", "libnobody-has-this.so.1") == []


def test_a_library_with_a_slash_is_a_file_however_it_is_called(fixture_file: FixtureFile, tmp_path: Path) -> None:
    (tmp_path / "link.so").symlink_to("libheld.so")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with holding(fixture_file, tmp_path) as (holder, library):
        for folder, name, found in (
            (tmp_path, "./libheld.so", True),
            (tmp_path, str(library), True),
            (tmp_path, f"{tmp_path}/./libheld.so", True),
            (tmp_path, "./link.so", True),
            (elsewhere, "../link.so", True),
            (elsewhere, "./libheld.so", False),
        ):
            command = [*COMMAND, "ps", "--uses", name, "--format", "jsonl"]
            ran = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, timeout=60)
            assert (holder.pid in [json.loads(line)["pid"] for line in ran.stdout.splitlines()]) is found, name


def test_processes_are_chosen_by_their_user(linkscope: Linkscope, sleeper: Started) -> None:
    own = Path(f"/proc/{sleeper.pid}").stat().st_uid
    assert sleeper.pid in _pids(linkscope, "--user", str(own))
    assert sleeper.pid not in _pids(linkscope, "--user", "4000000000")
    ran = linkscope("ps", "--user", "no-such-user")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr == b"linkscope: no-such-user: there is no user of that name\n"


def test_objects_are_listed_where_they_are_asked_for(linkscope: Linkscope, sleeper: Started) -> None:
    by_pid = {process["pid"]: process for process in _document(linkscope, "--objects")["processes"]}
    assert "libc.so.6" in {one["soname"] for one in by_pid[sleeper.pid]["objects"]}
    assert re.search(r"^    libc.so.6 +needed ", linkscope("ps", "--objects").stdout.decode(), re.MULTILINE)


def test_the_largest_comes_first_unless_the_order_is_reversed(linkscope: Linkscope) -> None:
    for options in ([], ["--reverse"]):
        processes = _document(linkscope, "--sort", "pss", *options)["processes"]
        costs = [process["memory"]["pss"] for process in processes if process["memory"]]
        assert costs == sorted(costs, reverse=not options)
        unknown = [process["memory"] is None for process in processes]
        assert unknown == sorted(unknown)


def test_each_process_is_a_line_of_jsonl(linkscope: Linkscope, sleeper: Started) -> None:
    lines = linkscope("ps", "--format", "jsonl").stdout.splitlines()
    assert sleeper.pid in [json.loads(line)["pid"] for line in lines]


def test_kernel_threads_are_in_the_text_only_where_they_are_asked_for(linkscope: Linkscope) -> None:
    """2 is kthreadd in a pid namespace of the machine's own; elsewhere there are none to be seen."""
    told = [process for process in _document(linkscope)["processes"] if _is_kernel_thread(process)]
    shown = linkscope("ps").stdout.decode()
    assert " kernel " not in shown.partition("\n\n")[0]
    assert ("kernel threads left out" in shown) is bool(told)
    assert (" kernel " in linkscope("ps", "--kernel-threads").stdout.decode()) is bool(told)


def _is_kernel_thread(process: Any) -> bool:
    return "kernel-thread" in {finding["code"] for finding in process["findings"]}


def test_what_must_be_restarted_makes_the_exit_code_1_until_it_is(
    linkscope: Linkscope, fixture_file: FixtureFile, sleeper: Started, tmp_path: Path
) -> None:
    with holding(fixture_file, tmp_path) as (holder, library):
        assert holder.pid not in _pids(linkscope, "--stale")
        holder.ask(f"replace {library} {tmp_path / 'libheld-new.so'}")
        text = linkscope("ps", "--stale")
        json_ = linkscope("ps", "--stale", "--format", "json")
        assert linkscope("ps").returncode == 0
    shown = text.stdout.decode()
    assert (text.returncode, json_.returncode) == (1, 1)
    assert re.search(rf"^{holder.pid} .*\n(    .*\n)*    replaced +{re.escape(str(library))}$", shown, re.MULTILINE)
    by_pid = {process["pid"]: process for process in json.loads(json_.stdout)["processes"]}
    assert sleeper.pid not in by_pid
    assert [one["path"] for one in by_pid[holder.pid]["findings"] if one["code"] == "stale-object"] == [str(library)]
    assert by_pid[holder.pid]["objects"] is None
    assert holder.pid not in _pids(linkscope, "--stale")


def test_where_nothing_is_stale_one_line_says_so(linkscope: Linkscope) -> None:
    """Nobody's processes: there are none of that user."""
    ran = linkscope("ps", "--stale", "--user", "4000000000")
    assert ran.returncode == 0
    told = rb"nothing has to be restarted: no process( that could be looked into)? runs what is no longer on the disk"
    assert re.fullmatch(told, ran.stdout.splitlines()[0])


@pytest.mark.parametrize("options", [[], ["--stale"]], ids=" ".join)
def test_what_others_own_is_no_error_but_is_told(options: list[str]) -> None:
    ran = as_nobody("ps", *options)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert re.search(rb"\n! \d+ process(es)? could not be looked into, or only in part: run as root", ran.stdout)
    document = as_nobody("ps", *options, "--format", "json")
    assert document.returncode == 0
    assert 1 in {error["pid"] for error in json.loads(document.stdout)["errors"]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--static", "--dynamic"], "--static and --dynamic leave nothing together."),
        (["--stale", "--watch"], "--stale is one answer"),
        (["--count", "1"], "--count goes with --watch."),
        (["--watch", "--format", "jsonl"], "--watch shows text"),
        (["--sort", "size"], "'size' is not one of"),
        (["1234"], "unexpected extra argument"),
    ],
    ids=str,
)
def test_a_wrong_command_line_is_answered_with_what_would_be_right(
    linkscope: Linkscope, words: list[str], told: str
) -> None:
    ran = linkscope("ps", *words)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert told in " ".join(ran.stderr.decode().split())


@pytest.mark.parametrize("layout", ["text", "json", "jsonl"])
def test_no_command_line_of_a_process_acts_on_a_terminal(fixture_file: FixtureFile, layout: str) -> None:
    evil = "\x1b[31m\u202e\x07\nevil"
    with started([fixture_file("process/states"), "sleeping", evil]) as sleeper:
        sleeper.expect("pid ")
        shown = on_terminal(["ps", "--format", layout], 400, NO_COLOR="1")
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "evil" in shown


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(["ps"], columns))
    assert max(map(cells, shown.splitlines())) <= columns

"""What programs read that `linkscope compare` runs, and which of their ends are good ones."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.comparing import SHORT, shells
from tests.cli.conftest import Linkscope


def test_a_filter_reads_the_whole_file_in_each_run(linkscope: Linkscope, tmp_path: Path) -> None:
    """It fails if it reads anything else, and /proc has the name of what it reads."""
    shells(tmp_path, "one", "two")
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
    shells(tmp_path, "one", "two")
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


@pytest.mark.parametrize("output", ["pipe", "file"])
def test_who_does_less_work_for_dev_null_does_all_of_it_elsewhere(
    output: str, linkscope: Linkscope, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """By hand and into a file, GNU grep computes as long."""
    for name in ("one", "two"):
        shutil.copy(os.path.realpath(require_tool("grep")), tmp_path / name)
    (tmp_path / "words").write_text("7\n" * (1 << 20))
    words = ("--run", "--runs", "5", "--copies", "1,2", "--input", "words", "--format", "json", "one", "two", "--", "7")
    computed = dict[str, float]()
    for where in ("null", output):
        document = json.loads(linkscope("compare", "--output", where, *words).stdout)
        assert (document["errors"], document["measurement"]["output"]) == ([], where)
        computed[where] = min(program["run"]["user"] + program["run"]["system"] for program in document["programs"])
    assert not any("/dev/null" in note for note in document["measurement"]["notes"])
    assert computed[output] > 3 * computed["null"]


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
    shells(tmp_path, "one", "two")
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
    shells(tmp_path, "one", "two")
    for options, said in ((), "--accept 4)"), (("--accept", "0,2"), "--accept 0,2,4)"):
        ran = linkscope("compare", "--run", *options, "one", "two", "--", "-c", "exit 4")
        assert ran.stderr.decode().count(f"ends with exit code 4 (if that is how it should end: {said}") == 2


def test_what_ends_as_shells_and_loaders_do_who_start_nothing_is_not_to_be_accepted(
    linkscope: Linkscope, tmp_path: Path
) -> None:
    shells(tmp_path, "one", "two")
    ran = linkscope("compare", "--run", "one", "two", "--", "-c", "no-such-program")
    assert "ends with exit code 127: " in ran.stderr.decode()
    assert "--accept" not in ran.stderr.decode()

"""Rules on symbols, build ids and debug files: readelf and gdb are the judges."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.request import Assumptions
from linkscope.model.check import Finding
from linkscope.policy.terms import Group, Policy
from tests.elf.samples import PROGRAMS, FixtureFile, RequireTool, elf_files, readelf, spread, tool

HERE = Assumptions()


def _findings(path: str | Path, rule: str, assumptions: Assumptions = HERE, **settings: object) -> list[Finding]:
    policy = Policy(groups=(Group(paths=("**",), settings=settings),))
    document = check([os.fspath(path)], policy, assumptions)
    assert not document.errors
    return [finding for finding in document.findings if finding.rule == rule]


def test_programs_of_the_machine_are_stripped_where_readelf_shows_no_symbols() -> None:
    """And the two rules are each other's opposite."""
    paths = spread(elf_files(*PROGRAMS), 150)
    headers = readelf("-SW", paths)
    wrong = {True: "not-stripped", False: "stripped"}
    policies = {asked: Policy(groups=(Group(paths=("**",), settings={"stripped": asked}),)) for asked in wrong}
    found = {
        asked: {finding.path for finding in check(paths, policy).findings if finding.rule == wrong[asked]}
        for asked, policy in policies.items()
    }
    with_symbols = {path for path in paths if re.search(r" \.symtab ", headers[path])}
    with_debug = {path for path in paths if re.search(r" \.z?debug_info ", headers[path])}
    assert found[True] == with_symbols | with_debug
    assert found[False] == set(paths) - with_symbols


def test_programs_of_the_machine_have_the_build_ids_that_readelf_shows() -> None:
    paths = spread(elf_files(*PROGRAMS), 150)
    notes = readelf("-nW", paths)
    without = {finding.path for path in paths for finding in _findings(path, "no-build-id")}
    assert without == {path for path in paths if "NT_GNU_BUILD_ID" not in notes[path]}
    assert without != set(paths)


@pytest.fixture
def split(tmp_path: Path, fixture_file: FixtureFile) -> tuple[Path, Path]:
    """A stripped program without a debug link, and its debug file, which lies nowhere in particular."""
    program, debug = tmp_path / "app", tmp_path / "elsewhere/app.debug"
    debug.parent.mkdir()
    whole = fixture_file("policy-hardening/split-whole")
    subprocess.run(["objcopy", "--only-keep-debug", whole, debug], check=True)
    subprocess.run(["strip", "-o", program, whole], check=True)
    return program, debug


def _link(program: Path, debug: Path) -> None:
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", program], check=True)


def _gdb_reads(gdb: str, program: Path) -> bool:
    """Whether gdb finds line numbers for the program."""
    command = [gdb, "-nx", "-batch", "-iex", "set debuginfod enabled off", "-ex", "info line main", os.fspath(program)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ("starts at address" in said.stdout) is not ("not defined" in said.stderr), said
    return "starts at address" in said.stdout


def test_a_debug_file_counts_where_gdb_finds_it(split: tuple[Path, Path], require_tool: RequireTool) -> None:
    """Beside the program or in .debug, under the name that the link has; not elsewhere, and not without a link."""
    gdb, (program, debug) = require_tool("gdb"), split
    beside, below = program.parent / debug.name, program.parent / ".debug" / debug.name
    below.parent.mkdir()
    verdicts = []
    for place in (None, beside, below):
        if place is not None:
            shutil.copy(debug, place)
        missing = bool(_findings(program, "no-debug-file", debug_file=True))
        assert missing is not _gdb_reads(gdb, program)
        verdicts.append(missing)
        if place is None:
            _link(program, debug)
            assert _findings(program, "no-debug-file", debug_file=True)
        else:
            place.unlink()
    assert verdicts == [True, False, False]


def test_a_debug_file_of_another_build_does_not_count(
    split: tuple[Path, Path], require_tool: RequireTool, fixture_file: FixtureFile
) -> None:
    """gdb passes it over as well: its build id is another."""
    gdb, (program, debug) = require_tool("gdb"), split
    _link(program, debug)
    other = program.parent / debug.name
    shutil.copy(fixture_file("kinds/hello.debug"), other)
    assert not _gdb_reads(gdb, program)
    (found,) = _findings(program, "no-debug-file", debug_file=True)
    assert found.level == "error"
    assert any("none of this build" in line for line in found.evidence)


@pytest.mark.parametrize("changed", [False, True], ids=["same", "changed"])
def test_without_a_build_id_the_checksum_of_the_link_decides(
    changed: bool, require_tool: RequireTool, tmp_path: Path
) -> None:
    gdb = require_tool("gdb")
    source, whole, debug = tmp_path / "source.c", tmp_path / "whole", tmp_path / "app.debug"
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run(["cc", "-g", "-Wl,--build-id=none", source, "-o", whole], check=True)
    subprocess.run(["objcopy", "--only-keep-debug", whole, debug], check=True)
    program = tmp_path / "app"
    subprocess.run(["strip", "-o", program, whole], check=True)
    _link(program, debug)
    if changed:
        with open(debug, "ab") as file:
            file.write(b"\0")
    assert _gdb_reads(gdb, program) is not changed
    assert bool(_findings(program, "no-debug-file", debug_file=True)) is changed


def test_a_debug_file_is_found_by_build_id_below_the_root_that_is_named(split: tuple[Path, Path]) -> None:
    """As the packages of distributions install it: /usr/lib/debug/.build-id/xx/….debug."""
    program, debug = split
    root = program.parent / "root"
    (root / "opt").mkdir(parents=True)
    shutil.copy(program, root / "opt/app")
    assumptions = Assumptions(root=os.fspath(root))
    (found,) = _findings("/opt/app", "no-debug-file", assumptions, debug_file=True)
    build_id = re.search(r"Build ID: (\w+)", tool("readelf", "-n", program))
    assert build_id
    place = f"usr/lib/debug/.build-id/{build_id[1][:2]}/{build_id[1][2:]}.debug"
    assert f"none of this build at /{place}" in found.evidence
    (root / place).parent.mkdir(parents=True)
    shutil.copy(debug, root / place)
    assert _findings("/opt/app", "no-debug-file", assumptions, debug_file=True) == []


@pytest.mark.parametrize("damage", ["cut", "nameless", "empty"])
def test_a_damaged_debug_link_leads_nowhere(damage: str, split: tuple[Path, Path], tmp_path: Path) -> None:
    program, _ = split
    content = {"cut": b"app.debug\0\0\0\1\2", "nameless": bytes(12), "empty": b"\0"}[damage]
    (tmp_path / "link").write_bytes(content)
    subprocess.run(["objcopy", "--add-section", f".gnu_debuglink={tmp_path / 'link'}", program], check=True)
    assert len(_findings(program, "no-debug-file", debug_file=True)) == 1

"""A file as rules see it, judged by readelf, objdump, stat and the loader's own words."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.circumstances import environment_for, place, system_for
from linkscope.analysis.inspect import Run
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.subject import FileSubject

FixtureFile = Callable[[str], Path]
WITH_VERSIONS = (
    "hello/hello-dynamic-pie",
    "hello/hello-cpp",
    "hello/hello-rust",
    "versions/relr",
    "versions/v2-with-new",
)


def subject_of(path: Path, *, symbols: bool = False, top: str | None = None) -> FileSubject:
    assumptions = Assumptions(clean_env=True)
    system = system_for(assumptions)
    run = Run(system, environment_for(assumptions, system, {}), Depth(symbols=symbols))
    return FileSubject(run, run.examined(place(str(path), system)), rooted=False, top=top)


def tool(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", WITH_VERSIONS)
def test_wanted_versions_are_those_that_readelf_lists(name: str, fixture_file: FixtureFile) -> None:
    path = fixture_file(name)
    listed = re.findall(r"File: (\S+)|Name: (\S+)  Flags: (\S+)", tool("readelf", "-VW", path).partition("_r")[2])
    expected: set[tuple[str, str, bool]] = set()
    provider = ""
    for file, version, flags in listed:
        provider = file or provider
        if version:
            expected.add((provider, version, flags == "WEAK"))
    own = [one for one in subject_of(path).wanted if one.asker == str(path)]
    brought = subject_of(path).brought
    assert {(one.provider, one.name, one.weak) for one in own} == {row for row in expected if row[0] not in brought}


@pytest.mark.parametrize("name", WITH_VERSIONS)
def test_carriers_of_a_version_are_the_symbols_that_objdump_lists_with_it(name: str, fixture_file: FixtureFile) -> None:
    path = fixture_file(name)
    expected: dict[str, set[tuple[str, bool]]] = {}
    for line in tool("objdump", "-T", path).splitlines():
        match = re.match(r"\S+ (.)(.).{5} \*UND\*\s+\S+ [ (]{1,2}([^)\s]+)\)?\s+(\S+)$", line)
        if match:
            expected.setdefault(match[3], set()).add((match[4], "w" in match[1] + match[2]))
    subject = subject_of(path)
    found: dict[str, set[tuple[str, bool]]] = {}
    for wanted, carriers in subject.carriers(one for one in subject.wanted if one.asker == str(path)).items():
        for one in carriers:
            found.setdefault(wanted.name, set()).add((one.symbol, one.weak))
    expected.pop("Base", None)  # without a version
    expected.pop("V2", None)  # of a library that is brought along
    assert found == expected


def test_compact_relocations_ask_for_a_version_that_no_symbol_carries(fixture_file: FixtureFile) -> None:
    subject = subject_of(fixture_file("versions/relr"))
    (relr,) = [one for one in subject.wanted if one.name == "GLIBC_ABI_DT_RELR"]
    assert (relr.family, relr.number) == ("GLIBC", (2, 36))
    assert subject.carriers([relr]) == {relr: ()}


def test_libraries_found_by_the_files_own_search_path_are_brought_along(fixture_file: FixtureFile) -> None:
    """And what they ask for counts as the file's own."""
    path = fixture_file("chain/lib-runpath-serves-own-needs/app")
    subject = subject_of(path)
    names = {"libmid.so", "libleaf.so"}
    assert subject.brought == names
    assert {Path(part.path).name for part in subject.parts} == names | {"app"}


def test_the_systems_libraries_are_not_brought_along_by_a_search_path_that_names_their_folder(
    fixture_file: FixtureFile,
) -> None:
    """RUNPATH is searched first, and finds libc in /usr/lib or its multiarch folder."""
    subject = subject_of(fixture_file("policy/runpath-system"))
    assert "libc.so.6" not in subject.brought
    assert "libleaf.so" in subject.brought


@pytest.mark.parametrize("name", ["policy/runpath-gone", "policy/runpath-idle", "chain/runpath-empty-element/app"])
def test_elements_of_the_search_path_are_what_the_loader_says_that_it_searches(
    name: str, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    path = fixture_file(name)
    elements = subject_of(path).search_path
    (written,) = re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", tool("readelf", "-dW", path))
    assert [one.element for one in elements] == written.split(":")
    found = subprocess.run([path], env={"LD_DEBUG": "libs"}, cwd=tmp_path, capture_output=True, text=True).stderr
    searched = re.search(r"search path=(\S*)\s+\(RUNPATH from file", found)
    assert searched is not None
    own = [one.folder for one in elements]
    folders = searched[1].split(":")  # hwcaps and legacy folders stand below each, and before it
    assert [folder for folder in folders if folder in own] == own
    assert all(any(folder.startswith(prefix or "") for prefix in own) for folder in folders)


def test_an_element_finds_what_the_loader_takes_from_it(fixture_file: FixtureFile) -> None:
    first, second = subject_of(fixture_file("policy/runpath-idle")).search_path
    assert first.finds == ("libleaf.so",)
    assert second.finds == ()


def test_privileges_of_a_program_are_those_of_its_mode(fixture_file: FixtureFile, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copy(fixture_file("hello/hello-dynamic-pie"), copy)
    for mode, expected in ((0o755, ()), (0o4755, ("setuid",)), (0o6755, ("setuid", "setgid")), (0o2744, ())):
        copy.chmod(mode)
        assert subject_of(copy).privileges == expected


def test_undefined_symbols_are_those_that_nm_lists_and_that_no_part_defines(fixture_file: FixtureFile) -> None:
    path = fixture_file("chain/rpath-serves/app")
    listed = re.findall(r"^ +U ([^@\s]+)", tool("nm", "-D", path), re.MULTILINE)
    assert subject_of(path).undefined == set(listed) - {"leaf"}
    assert "leaf" in listed


def test_a_borrowed_library_is_one_without_which_the_program_ends(fixture_file: FixtureFile) -> None:
    """Without what libmid.so needs, the symbol that the program takes from there is undefined."""
    borrowed = subject_of(fixture_file("policy/borrowed/app"), symbols=True).borrowed
    assert borrowed is not None
    assert [(Path(one.library).name, one.symbols) for one in borrowed] == [("libleaf.so", ("leaf",))]
    assert subject_of(fixture_file("policy/borrowed/declared"), symbols=True).borrowed == []
    assert subject_of(fixture_file("policy/borrowed/declared")).borrowed is None


def test_a_name_is_looked_for_in_all_that_is_checked(fixture_file: FixtureFile) -> None:
    path = fixture_file("chain/no-search-path/app")
    assert subject_of(path).within("libleaf.so") is None
    assert subject_of(path, top=str(path.parent)).within("libleaf.so") == "leaf/libleaf.so"
    assert subject_of(path, top=str(path.parent)).within("libgone.so") is None


def test_a_name_is_looked_for_in_folders_of_any_depth(fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = tmp_path / "app"
    shutil.copy(fixture_file("chain/no-search-path/app"), program)
    depth = 1200  # more than the interpreter lets calls be nested
    deepest = "/".join("a" * depth)
    tool("mkdir", "-p", tmp_path / deepest)  # os.makedirs is recursive
    (tmp_path / deepest / "libleaf.so").symlink_to("elsewhere")
    assert subject_of(program, top=str(tmp_path)).within("libleaf.so") == f"{deepest}/libleaf.so"
    tool("rm", "-r", tmp_path / "a")  # and so is shutil.rmtree


def test_debug_file_is_found_where_gdb_looks(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """By .gnu_debuglink, beside the program and below .debug."""
    program, debug = tmp_path / "app", tmp_path / "app.debug"
    shutil.copy(fixture_file("kinds/with-debug"), program)
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["objcopy", "--strip-debug", f"--add-gnu-debuglink={debug}", program], check=True)
    assert ".gnu_debuglink" in subject_of(program).sections
    assert subject_of(program).debug_file == str(debug)
    (tmp_path / ".debug").mkdir()
    debug.rename(tmp_path / ".debug/app.debug")
    assert subject_of(program).debug_file == str(tmp_path / ".debug/app.debug")
    (tmp_path / ".debug/app.debug").unlink()
    assert subject_of(program).debug_file is None


def test_a_file_of_another_machine_is_foreign_and_was_not_searched(fixture_file: FixtureFile, tmp_path: Path) -> None:
    from tests.policy.preparations import for_another_machine

    copy = tmp_path / "copy"
    shutil.copy(fixture_file("policy/runpath-gone"), copy)
    for_another_machine(copy)
    assert subject_of(copy).foreign
    assert not subject_of(copy).searched
    assert not subject_of(fixture_file("policy/runpath-gone")).foreign
    assert not subject_of(fixture_file("needed/missing-interpreter")).foreign

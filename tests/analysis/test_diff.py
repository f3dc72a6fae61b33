"""What changed between two releases of the fixtures: nm, readelf and the file sizes on disk are the judges."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.diff import _snapshots, diff
from linkscope.analysis.request import Assumptions
from linkscope.model.diff import Change, DiffDocument
from linkscope.model.inspect import Content
from linkscope.policy.changes import Snapshot, changes
from tests.elf.samples import RequireTool, tool

FixtureFile = Callable[[str], Path]


def _snapshots_of(path: str) -> list[Snapshot]:
    return [one for one in _snapshots(path, Assumptions()) if isinstance(one, Snapshot)]


def _by_code(document: DiffDocument) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for change in document.changes:
        found.setdefault(change.code, []).append(change)
    return found


def _diff(fixture_file: FixtureFile, old: str, new: str) -> dict[str, list[Change]]:
    document = diff(str(fixture_file(old)), str(fixture_file(new)))
    assert document.errors == []
    return _by_code(document)


def _defined(nm: str, path: Path) -> set[str]:
    rows = tool(nm, "-D", "--defined-only", path).splitlines()
    return {row.split()[2].partition("@")[0] for row in rows if row.split()[1] != "A"} - {"_init", "_fini"}


def test_removed_and_added_symbols_are_those_that_nm_no_longer_or_newly_lists(
    fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    found = _diff(fixture_file, "diff/old/libpart.so.1", "diff/new/libpart.so.1")
    old, new = (_defined(require_tool("nm"), fixture_file(f"diff/{one}/libpart.so.1")) for one in ("old", "new"))
    assert {change.subject for change in found["symbol-removed"]} == old - new == {"gone"}
    assert {change.subject for change in found["symbol-added"]} == new - old == {"fresh"}
    assert [change.impact for change in found["symbol-removed"]] == ["abi-break"]


def test_a_variable_that_grows_is_an_abi_break_for_programs_that_hold_a_copy(
    fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    (grown,) = _diff(fixture_file, "diff/old/libpart.so.1", "diff/new/libpart.so.1")["symbol-size"]
    rows = [
        tool(require_tool("readelf"), "-W", "--dyn-syms", fixture_file(f"diff/{one}/libpart.so.1"))
        for one in ("old", "new")
    ]
    sizes = [re.search(r"(\d+) OBJECT +GLOBAL +DEFAULT +\d+ table@", text) for text in rows]
    assert (grown.old, grown.new) == tuple(size[1] for size in sizes if size)
    assert (grown.subject, grown.impact) == ("table", "abi-break")


def test_nobody_is_linked_with_a_module_that_is_opened_by_its_path(fixture_file: FixtureFile) -> None:
    found = _diff(fixture_file, "diff/old/plugin.so", "diff/new/plugin.so")
    assert {change.subject for change in found["symbol-removed"]} == {"gone"}
    assert {change.impact for changes in found.values() for change in changes if "symbol" in change.code} == {"none"}


def test_a_version_that_is_kept_for_old_programs_is_no_abi_break(fixture_file: FixtureFile) -> None:
    (kept,) = _diff(fixture_file, "diff/old/libpart.so.1", "diff/new/libpart.so.1")["symbol-version"]
    assert (kept.subject, kept.old, kept.new, kept.impact) == ("kept", "@@PART_1", "@@PART_2, @PART_1", "none")


def test_a_version_that_is_lost_is_one(fixture_file: FixtureFile) -> None:
    """Programs that ask for V1 do not start with the library that has none."""
    (change,) = _diff(fixture_file, "versions/old/libver.so", "versions/plain/libver.so")["symbol-version"]
    assert (change.subject, change.impact) == ("frob", "abi-break")


def test_versions_given_to_an_unversioned_library_break_nothing(fixture_file: FixtureFile) -> None:
    (change, *_) = _diff(fixture_file, "versions/plain/libver.so", "versions/old/libver.so")["symbol-version"]
    assert (change.subject, change.impact) == ("frob", "none")


def test_a_raised_floor_is_a_deployment_risk_and_no_abi_break(
    fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    found = _diff(fixture_file, "diff/old/app", "diff/new/app")
    raised = {change.subject: change for change in found["floor-raised"]}
    assert (raised["GLIBC"].new, raised["GLIBC"].impact) == ("2.36", "deployment-risk")
    versions = tool(require_tool("readelf"), "-V", fixture_file("diff/new/app"))
    assert "GLIBC_ABI_DT_RELR" in versions
    assert "floor-lowered" in _diff(fixture_file, "diff/new/app", "diff/old/app")


def test_lost_protections_are_named_and_regained_ones_are_no_fault(fixture_file: FixtureFile) -> None:
    lost = _diff(fixture_file, "diff/old/app", "diff/new/app")["hardening-lost"]
    assert {change.subject: (change.old, change.new) for change in lost} == {
        "relro": ("full", "none"),
        "bind_now": ("true", "false"),
    }
    assert {change.impact for change in lost} == {"security"}
    gained = _diff(fixture_file, "diff/new/app", "diff/old/app")
    assert "hardening-lost" not in gained
    assert {change.impact for change in gained["hardening-gained"]} == {"none"}


def test_sizes_are_those_of_the_files_and_of_their_sections(
    fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    paths = [fixture_file(f"hello/hello-{linked}") for linked in ("dynamic-pie", "static")]
    sizes = {change.subject: change for change in _by_code(diff(str(paths[0]), str(paths[1])))["size"]}
    assert (sizes[""].old, sizes[""].new) == tuple(str(path.stat().st_size) for path in paths)
    rows = [
        dict(re.findall(r"^(\.\S+)\s+(\d+)", tool(require_tool("size"), "-A", path), re.MULTILINE)) for path in paths
    ]
    assert (sizes[".text"].old, sizes[".text"].new) == (rows[0][".text"], rows[1][".text"])
    assert sizes[".text"].bytes == int(rows[1][".text"]) - int(rows[0][".text"])


def test_linkage_interpreter_and_needs_are_told(fixture_file: FixtureFile) -> None:
    found = _diff(fixture_file, "hello/hello-static", "hello/hello-dynamic-pie")
    (linkage,) = found["linkage"]
    assert (linkage.old, linkage.new, linkage.impact) == ("static", "dynamic", "deployment-risk")
    assert [change.new for change in found["needed-added"]] == ["libc.so.6"]
    assert found["interpreter"][0].old is None
    assert found["pie"][0].impact == "none"


def test_nothing_changes_from_a_file_to_itself_under_another_name(fixture_file: FixtureFile, tmp_path: Path) -> None:
    copy = tmp_path / "renamed"
    shutil.copy(fixture_file("diff/old/app"), copy)
    assert diff(str(fixture_file("diff/old/app")), str(copy)).changes == []


def test_folders_are_compared_file_by_file(fixture_file: FixtureFile) -> None:
    found = _by_code(diff(str(fixture_file("diff/old")), str(fixture_file("diff/new"))))
    assert {(change.subject, os.path.basename(change.path)) for change in found["symbol-removed"]} == {
        ("gone", "libpart.so.1"),
        ("gone", "plugin.so"),
    }
    assert [change.new for change in found["file-added"]] == ["tool"]
    assert {os.path.basename(change.path) for change in found["floor-raised"]} == {"app"}


def test_what_cannot_be_read_is_an_error_and_no_change(fixture_file: FixtureFile, tmp_path: Path) -> None:
    document = diff(str(fixture_file("diff/old/app")), str(tmp_path / "nothing"))
    assert document.changes == []
    assert [error.error for error in document.errors] == ["no such file or directory"]


def test_privileges_that_are_gained_concern_security(fixture_file: FixtureFile, tmp_path: Path) -> None:
    copy = tmp_path / "app"
    shutil.copy(fixture_file("diff/old/app"), copy)
    copy.chmod(0o4755)
    (change,) = diff(str(fixture_file("diff/old/app")), str(copy)).changes
    assert (change.code, change.new, change.impact) == ("privileges", "setuid", "security")


def test_sections_are_not_compared_with_a_file_that_has_no_headers(fixture_file: FixtureFile) -> None:
    found = _diff(fixture_file, "hello/hello-static", "kinds/sectionless-dynamic")
    assert not [change for change in found["size"] if change.subject.startswith(".")]


def test_a_library_inside_whose_version_rises_is_told_by_both_versions(fixture_file: FixtureFile) -> None:
    """Of a crate there may be several versions in one file."""
    (old,) = _snapshots_of(str(fixture_file("diff/new/tool")))
    held = [
        Content(name="a", ecosystem="cargo", version=version, evidence=[]) for version in ("0.1.0", "0.2.0", "0.3.0")
    ]
    before, after = (
        msgspec.structs.replace(old, file=msgspec.structs.replace(old.file, contents=contents))
        for contents in (held[:2], held[1:])
    )
    (change,) = changes(before, after)
    assert (change.code, change.old, change.new) == ("contents-version", "0.1.0 and 0.2.0", "0.2.0 and 0.3.0")


@pytest.mark.parametrize(("flags", "code"), [((), "build-id"), (("-Wl,--build-id=none",), "bytes")])
def test_where_only_bytes_differ_that_is_the_difference(
    tmp_path: Path, require_tool: RequireTool, flags: tuple[str, ...], code: str
) -> None:
    """A security update may change a few bytes of code, and neither a size nor a name."""
    for name, number in (("old", 7), ("new", 8)):
        (tmp_path / name).mkdir()
        (tmp_path / "tool.c").write_text(f"int main(void) {{ return {number}; }}\n")
        tool(require_tool("cc"), *flags, "-o", tmp_path / name / "tool", tmp_path / "tool.c")
    shutil.copy(tmp_path / "old" / "tool", tmp_path / "copy")
    before = str(tmp_path / "old" / "tool")
    assert diff(before, str(tmp_path / "copy")).changes == []
    (change,) = diff(before, str(tmp_path / "new" / "tool")).changes
    said = f"{tool(require_tool('readelf'), '-n', before)} {tool(require_tool('sha256sum'), before)}"
    assert change.code == code
    assert change.old is not None
    assert change.old in said.split()

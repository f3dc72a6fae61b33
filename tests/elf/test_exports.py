"""What libraries export: `nm -D` is the judge, over libraries of the machine and the fixtures."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.elf.exports import exports
from linkscope.elf.sections import section_sizes
from tests.elf.samples import LIBRARIES, FixtureFile, RequireTool, ask, elf_files, spread, tool

_DEFINED = re.compile(r"^[0-9a-f]+ (?P<kind>[A-Za-z]) (?P<name>[^@\n]+)(?P<mark>@@?[^\n]+)?$", re.MULTILINE)
_HOW_MANY = 40
# Put into libraries by start files and linkers: nobody is linked against them.
EVERYWHERE = {"_init", "_fini", "__bss_start", "_edata", "_end", "_GLOBAL_OFFSET_TABLE_", "_DYNAMIC"}


def _by_nm(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in _DEFINED.finditer(text):
        name, mark = row["name"], row["mark"] or ""
        version_symbol = row["kind"] == "A" and (not mark or mark.lstrip("@") == name)
        if row["kind"] != "a" and not version_symbol and name not in EVERYWHERE:
            found.setdefault(name, set()).add(mark)
    return found


def _ours(path: str) -> dict[str, set[str]]:
    return {name: set(found.versions) for name, found in ask(exports, path).items()}


@pytest.mark.parametrize("name", ["diff/old/libpart.so.1", "diff/new/libpart.so.1", "versions/plain/libver.so"])
def test_exports_of_the_fixtures_are_what_nm_lists(
    fixture_file: FixtureFile, require_tool: RequireTool, name: str
) -> None:
    path = str(fixture_file(name))
    assert _ours(path) == _by_nm(tool(require_tool("nm"), "-D", path))


def test_exports_of_libraries_are_what_nm_lists(require_tool: RequireTool) -> None:
    """Programs are left out: what they define for others are copies of the variables of libraries."""
    nm = require_tool("nm")
    libraries = [path for path in elf_files(*LIBRARIES) if ".so" in os.path.basename(path)]
    for path in spread(libraries, _HOW_MANY):
        assert _ours(path) == _by_nm(tool(nm, "-D", "--defined-only", path)), path


def test_sizes_of_sections_are_what_size_lists(fixture_file: Callable[[str], Path], require_tool: RequireTool) -> None:
    """`size -A` leaves out what is not loaded and not debug information; what it has is the same."""
    path = str(fixture_file("hello/hello-dynamic-pie"))
    rows = re.findall(r"^(\.\S+)\s+(\d+)\s+\d+$", tool(require_tool("size"), "-A", path), re.MULTILINE)
    ours = ask(section_sizes, path)
    assert {name: int(size) for name, size in rows} == {name: ours[name] for name, _ in rows}
    assert ".symtab" in ours

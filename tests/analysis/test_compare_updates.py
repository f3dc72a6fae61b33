"""What a new release of a library asks for, by projects: dpkg knows from whose source a package was built."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.analysis.test_compare_program import compared
from tests.elf.samples import RequireTool, tool

# Projects by the source packages of Debian, without the release that some of them have in their names.
_SOURCES = {"glibc": "glibc", "gcc": "gcc"}


@pytest.mark.parametrize("name", ["hello-cpp", "hello-rust", "hello-dynamic-pie"])
def test_the_project_of_a_file_is_that_of_its_source_package(
    name: str, fixture_file: Callable[[str], Path], require_tool: RequireTool
) -> None:
    require_tool("dpkg-query")
    (program,) = compared(fixture_file(f"hello/{name}"))
    restarts = [update for update in program.updates if update.how == "restart"]
    assert restarts
    for update in restarts:
        assert update.package is not None
        source = tool("dpkg-query", "-W", "-f=${source:Package}\n", update.package).split()[0]
        assert update.project == _SOURCES[re.sub(r"-\d+$", "", source)], update.library


def test_a_library_of_the_compiler_is_of_one_project_outside_and_inside(fixture_file: Callable[[str], Path]) -> None:
    dynamic, static = compared(fixture_file("hello/hello-cpp"), fixture_file("hello/hello-static"))
    outside = {update.project for update in dynamic.updates if update.library == "libgcc_s.so.1"}
    inside = {update.project for update in static.updates if os.path.basename(update.library) == "gcc"}
    assert outside == inside == {"gcc"}

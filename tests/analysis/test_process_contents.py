"""What is inside the program that a process runs, also where its file is gone."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.process import processes
from linkscope.analysis.request import Looking
from linkscope.model.inspect import Content
from linkscope.model.pid import Process
from tests.contents.samples import linked
from tests.oracle.upx import packed
from tests.packages.upx_samples import with_wrong_checksum
from tests.process.started import started

FixtureFile = Callable[[str], Path]
_SOURCE = (
    "#include <stdio.h>\n#include <zlib.h>\n"
    'int main(void) { printf("version=%s\\n", zlibVersion()); fflush(stdout); getchar(); return 0; }\n'
)
_USE = (
    "static unsigned long n; static char b[9];\n"
    "int use(void) { return compress(b, &n, b, 1) + uncompress(b, &n, b, 1); }\n"
)


def _observed(pid: int, *, contents: bool = True, unpack: bool = False) -> Process:
    (process,) = processes([pid], Looking(memory=False, contents=contents, unpack=unpack)).processes
    return process


def _versions(found: list[Content] | None) -> dict[str, str | None]:
    return {content.name: content.version for content in found or ()}


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program with zlib inside, which says its version."""
    return linked(tmp_path_factory.mktemp("static") / "app", _SOURCE + _USE, ["-static", "-lz"])


def test_a_static_process_tells_what_is_inside_if_it_is_asked(static: Path) -> None:
    with started([static]) as program:
        told = program.expect("version=").partition("=")[2]
        assert _versions(_observed(program.pid).contents)["zlib"] == told
        assert _observed(program.pid, contents=False).contents is None


def test_a_deleted_one_does_so_too(static: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(static, tmp_path / "app"))
    with started([copy]) as program:
        told = program.expect("version=").partition("=")[2]
        copy.unlink()
        process = _observed(program.pid)
    assert process.executable is not None
    assert process.executable.disk == "deleted"
    assert _versions(process.contents)["zlib"] == told


def test_of_one_started_by_its_loader_it_is_the_program_and_not_the_loader(tmp_path: Path) -> None:
    flags = ["-Wl,-Bstatic", "-lz", "-Wl,-Bdynamic"]
    program_file = linked(tmp_path / "app", _SOURCE + _USE, flags)
    loader = "/lib64/ld-linux-x86-64.so.2"
    if not os.path.exists(loader):
        loader = "/lib/ld-linux-aarch64.so.1"
    with started([loader, program_file]) as program:
        told = program.expect("version=").partition("=")[2]
        assert _versions(_observed(program.pid).contents) == {"zlib": told}


def test_nothing_inside_is_an_answer(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/threads"), "-p", "0"]) as program:
        program.expect("port")
        assert _observed(program.pid).contents == []


def test_of_a_packed_one_it_is_said_and_told_where_that_was_asked_for(static: Path, tmp_path: Path) -> None:
    made = packed(static, tmp_path / "packed", "-1", "--lzma")
    with started([made]) as program:
        told = program.expect("version=").partition("=")[2]
        plain, asked, within = (
            _observed(program.pid, contents=contents, unpack=unpack)
            for contents, unpack in ((False, False), (True, False), (True, True))
        )
    for process in (plain, asked, within):
        (said,) = [finding for finding in process.findings if finding.code == "packed"]
        assert (said.path, said.level) == (str(made), "note")
        assert ("--unpack" in said.message) == (process is not within)
    assert (plain.contents, asked.contents) == (None, [])
    assert {"zlib": told, "upx": "4.2.4"}.items() <= _versions(within.contents).items()


def test_why_a_packed_one_cannot_be_looked_into_is_a_warning(static: Path, tmp_path: Path) -> None:
    made = with_wrong_checksum(packed(static, tmp_path / "packed", "-1", "--lzma"))
    with started([made]) as program:
        program.expect("version=")
        process = _observed(program.pid, unpack=True)
    (said,) = [finding for finding in process.findings if finding.code == "packed"]
    assert (said.level, "cannot be unpacked" in said.message) == ("warning", True)
    assert process.contents == []

"""Packed programs, by the packer itself."""

from pathlib import Path

import pytest

from linkscope.elf.libc import libc
from linkscope.elf.packing import packed
from tests.elf.samples import LIBRARIES, PROGRAMS, FixtureFile, ask, elf_files, spread, tool
from tests.oracle import upx
from tests.oracle.availability import Unavailable


@pytest.mark.parametrize("method", ["--nrv2b", "--lzma"])
@pytest.mark.parametrize("name", ["hello/hello-static", "hello/hello-static-pie", "hello/hello-go"])
def test_a_packed_program_is_said_to_be(name: str, method: str, fixture_file: FixtureFile, tmp_path: Path) -> None:
    """It still runs, and nothing is said of the library that cannot be seen any more."""
    program = fixture_file(name)
    made = upx.packed(program, tmp_path / "packed", "-1", method)
    assert tool(made) == tool(program)
    assert ask(packed, made) == "UPX"
    assert ask(packed, program) is None
    assert ask(libc, made).family == "unknown"


@pytest.mark.parametrize("suite", upx.RELEASES)
def test_a_packed_library_is_said_to_be(suite: str, tmp_path: Path) -> None:
    """Also by a release that puts the segments that it does not pack behind all that it says about the packing."""
    library = Path("/usr/lib/x86_64-linux-gnu/libz.so.1").resolve()
    if not library.exists():
        raise Unavailable("libz.so.1 is not here")
    assert ask(packed, library) is None
    assert ask(packed, upx.packed(library, tmp_path / "packed", "-1", suite=suite)) == "UPX"


def test_what_is_appended_to_a_packed_program_does_not_hide_it(fixture_file: FixtureFile, tmp_path: Path) -> None:
    made = upx.packed(fixture_file("hello/hello-static"), tmp_path / "packed", "-1")
    with open(made, "ab") as file:
        file.write(bytes(1000))
    assert ask(packed, made) == "UPX"


def test_no_program_of_the_machine_is_packed() -> None:
    assert [path for path in elf_files(*PROGRAMS) if ask(packed, path)] == []


def test_no_library_of_the_machine_is_packed() -> None:
    assert [path for path in spread(elf_files(*LIBRARIES), 400) if ask(packed, path)] == []

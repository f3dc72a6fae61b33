"""Packed programs, by the packer itself."""

import os
import subprocess
from pathlib import Path

import pytest

from linkscope.elf.libc import libc
from linkscope.elf.packing import packed
from tests.elf.conftest import Unpacked
from tests.elf.samples import PROGRAMS, FixtureFile, ask, elf_files, tool


@pytest.fixture(scope="session")
def upx(unpacked: Unpacked) -> list[str]:
    """The command that runs Debian 13's UPX, with its own loader and libraries."""
    folder = os.fspath(unpacked("upx-ucl", suite="trixie"))
    libraries = f"{folder}/usr/lib/x86_64-linux-gnu"
    return [f"{folder}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, f"{folder}/usr/bin/upx-ucl"]


@pytest.mark.parametrize("method", ["--nrv2b", "--lzma"])
@pytest.mark.parametrize("name", ["hello/hello-static", "hello/hello-static-pie", "hello/hello-go"])
def test_a_packed_program_is_said_to_be(
    name: str, method: str, upx: list[str], fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """It still runs, and nothing is said of the library that cannot be seen any more."""
    program = fixture_file(name)
    made = tmp_path / "packed"
    subprocess.run([*upx, "-qq", "-1", method, "-o", made, program], check=True)
    assert tool(made) == tool(program)
    assert ask(packed, made) == "UPX"
    assert ask(packed, program) is None
    assert ask(libc, made).family == "unknown"


def test_what_is_appended_to_a_packed_program_does_not_hide_it(
    upx: list[str], fixture_file: FixtureFile, tmp_path: Path
) -> None:
    made = tmp_path / "packed"
    subprocess.run([*upx, "-qq", "-1", "-o", made, fixture_file("hello/hello-static")], check=True)
    with open(made, "ab") as file:
        file.write(bytes(1000))
    assert ask(packed, made) == "UPX"


def test_no_program_of_the_machine_is_packed() -> None:
    assert [path for path in elf_files(*PROGRAMS) if ask(packed, path)] == []

"""Compilers and languages: readelf's view of .comment, and programs of known languages."""

import os
import re
from pathlib import Path

import pytest

from linkscope.elf.toolchain import toolchain
from tests.elf.conftest import Unpacked
from tests.elf.samples import LIBRARIES, PROGRAMS, FixtureFile, ask, elf_files, readelf

LANGUAGES = {
    "hello/hello-dynamic-pie": None,
    "hello/hello-static": None,
    "hello/hello-cpp": "C++",
    "hello/hello-rust": "Rust",
    "hello/hello-go": "Go",
    "hello/hello-go-pie": "Go",
    "kinds/bare-static": None,
    "kinds/hello.o": None,
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_fixture_shows_its_language_unless_it_is_c(name: str, fixture_file: FixtureFile) -> None:
    assert ask(toolchain, fixture_file(name)).language == LANGUAGES[name]


# A Debian package, a file of it, and what it is written in. All are stripped, and have no .comment.
PACKAGED = {
    "unison-2.52": ("bin/unison-2.52", "OCaml"),
    "gprbuild": ("bin/gprbuild", "Ada"),
    "onedrive": ("bin/onedrive", "D"),
    "fd-find": ("cargo/bin/fd", "Rust"),
    "restic": ("bin/restic", "Go"),
    "liblapack3": ("lapack/liblapack.so.3.11.0", "Fortran"),
    "gnustep-base-runtime": ("bin/gdnc", "Objective-C"),
    "ocaml-base": ("bin/ocamlrun", None),
}


@pytest.fixture(scope="session")
def packaged(unpacked: Unpacked) -> tuple[str, ...]:
    return elf_files(os.fspath(unpacked(*PACKAGED)))


@pytest.mark.parametrize("package", PACKAGED)
def test_a_program_of_debian_shows_its_language(package: str, packaged: tuple[str, ...]) -> None:
    """The interpreter of OCaml's byte code is written in C."""
    name, language = PACKAGED[package]
    (path,) = [path for path in packaged if path.endswith(f"/{name}")]
    assert ask(toolchain, path).language == language


def test_compilers_are_those_that_readelf_finds_in_comment() -> None:
    """Of every file of the machine, without the linkers that sign there too."""
    paths = list(elf_files(*PROGRAMS, *LIBRARIES))
    for path, text in readelf("-p.comment", paths).items():
        if path != "/dev/null":
            signed = [name.rstrip(" ") for name in re.findall(r"^  \[ *[0-9a-f]+\]  (.*)$", text, re.MULTILINE)]
            expected = list(dict.fromkeys(name for name in signed if not name.startswith("Linker: ")))
            assert [name.rstrip(" ") for name in ask(toolchain, path).compiler] == expected, path


def test_section_headers_that_lie_hide_the_compilers_only(fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = bytearray(fixture_file("hello/hello-cpp").read_bytes())
    program[40:48] = (1 << 40).to_bytes(8, "little")  # e_shoff
    (tmp_path / "made").write_bytes(program)
    made = ask(toolchain, tmp_path / "made")
    assert (made.compiler, made.language) == ([], "C++")

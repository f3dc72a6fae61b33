"""Which C library: files that are built with each, and Debian's own packages of them."""

import gzip
import os
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_E_MACHINE

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.libc import libc
from linkscope.elf.reader import Reader
from linkscope.model.inspect import Libc
from tests.contents.debian import deb_files
from tests.elf.conftest import STATIC_PROGRAMS, Unpacked
from tests.elf.samples import FixtureFile, RequireTool, ask, elf_files, opened, tool
from tests.oracle import elfwriter
from tests.oracle.recipe import Symbol

SYSTEMS_GLIBC = os.confstr("CS_GNU_LIBC_VERSION") or ""


def _family(reader: Reader, image: Image) -> str:
    return libc(reader, image).family


FIXTURES = {
    "hello/hello-dynamic-pie": "glibc",
    "hello/hello-static": "glibc",
    "hello/hello-static-stripped": "glibc",
    "hello/hello-static-pie": "glibc",
    "hello/hello-rust": "glibc",
    "hello/hello-cpp": "glibc",
    "hello/hello-musl-dynamic-pie": "musl",
    "hello/hello-musl-static": "musl",
    "hello/hello-musl-static-stripped": "musl",
    "hello/hello-musl-static-pie": "musl",
    "hello/hello-go": "none",
    "hello/hello-go-pie": "none",
    "kinds/sectionless-static": "glibc",
    "kinds/sectionless-dynamic": "glibc",
    "kinds/bare-static": "none",
    "kinds/bare-static-pie": "none",
    "kinds/bare-pie": "none",
    "kinds/bare-library.so": "none",
    "kinds/hello.o": "unknown",
    "kinds/hello.debug": "unknown",
}


@pytest.mark.parametrize("name", FIXTURES)
def test_a_fixture_has_the_library_that_it_was_built_with(name: str, fixture_file: FixtureFile) -> None:
    assert ask(_family, fixture_file(name)) == FIXTURES[name]


def test_a_stripped_program_without_library_is_told_by_its_first_instructions(
    fixture_file: FixtureFile, require_tool: RequireTool, tmp_path: Path
) -> None:
    tool(require_tool("strip"), "-o", tmp_path / "stripped", fixture_file("kinds/bare-static"))
    assert ask(_family, tmp_path / "stripped") == "none"


# Dynamic files as other systems have them: (interpreter, needed, version needs) and what they are made for.
DYNAMIC = {
    "glibc-s390x": ("/lib/ld64.so.1", ("libc.so.6",), (), "glibc"),
    "glibc-mips": ("/lib/ld.so.1", ("libc.so.6",), (), "glibc"),
    "glibc-alpha": ("/lib/ld-linux.so.2", ("libc.so.6.1",), (), "glibc"),
    "glibc-elsewhere": ("/nix/store/x/lib/ld-linux-x86-64.so.2", ("libfoo.so",), (), "glibc"),
    "glibc-by-versions": (None, ("libfoo.so",), (("libfoo.so", (("GLIBC_2.17", 0),)),), "glibc"),
    "musl-alpine": ("/lib/ld-musl-x86_64.so.1", ("libc.musl-x86_64.so.1",), (), "musl"),
    "musl-plain": ("/lib/ld-musl-x86_64.so.1", ("libc.so",), (), "musl"),
    "musl-library": (None, ("libc.so",), (), "musl"),
    "uclibc": ("/lib/ld-uClibc.so.0", ("libc.so.0",), (), "uclibc"),
    "uclibc-ng": ("/lib/ld64-uClibc.so.1", ("libc.so.1",), (), "uclibc"),
    "bionic": ("/system/bin/linker64", ("libc.so",), (("libc.so", (("LIBC", 0),)),), "bionic"),
    "bionic-library": (None, ("libc.so",), (("libc.so", (("LIBC", 0),)),), "bionic"),
    "no-library": ("/lib64/ld-linux-x86-64.so.2", (), (), "none"),
    "foreign": ("/libexec/ld-elf.so.1", (), (), "unknown"),
    "plugin": (None, ("libfoo.so",), (), "unknown"),
}


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_dynamic_file_names_its_library(name: str, tmp_path: Path) -> None:
    interp, needed, verneed, family = DYNAMIC[name]
    path = elfwriter.shared_object(
        tmp_path / "made", interp=interp, needed=needed, verneed=verneed, undefined=(Symbol("f"),)
    )
    assert ask(_family, path) == family


def test_bionic_marks_its_programs_with_a_note(tmp_path: Path) -> None:
    """Files for releases before symbol versions have only that, beside musl's name of the library."""
    path = elfwriter.shared_object(
        tmp_path / "made", interp="/system/bin/linker", needed=("libc.so",), notes=(("Android", 1, bytes(4)),)
    )
    assert ask(_family, path) == "bionic"


def test_glibcs_own_files_tell_their_version(foreign_files: tuple[str, ...]) -> None:
    """The banner of libc.so.6 and of the loader, of each machine; not of the libraries beside them."""
    told = {os.path.basename(path): ask(libc, path) for path in foreign_files}
    assert told["libc.so.6"] == Libc(family="glibc", version="2.36")
    assert told["ld64.so.1"] == Libc(family="glibc", version="2.36")
    assert told["libm.so.6"] == Libc(family="glibc", version=None)


def test_the_version_of_the_systems_libc_is_what_it_says_itself(require_tool: RequireTool) -> None:
    path = require_tool("/lib/x86_64-linux-gnu/libc.so.6")
    assert SYSTEMS_GLIBC == f"glibc {ask(libc, path).version}"


@pytest.mark.parametrize("architecture", ["amd64", "arm64", "armhf", "i386", "s390x"])
def test_musls_loader_tells_the_release_that_its_package_is(architecture: str, unpacked: Unpacked) -> None:
    """Where the loader of this machine's own kind runs, it prints that as well."""
    folder = unpacked("musl-dev", "dietlibc-dev", architecture=architecture)
    (path,) = [p for p in elf_files(os.fspath(folder)) if p.endswith("/libc.so") and "musl" in p]
    (changes,) = Path(folder).glob("usr/share/doc/musl/changelog.Debian.gz")
    release = re.search(r"^musl \(([0-9.]+)-", gzip.decompress(changes.read_bytes()).decode(), re.MULTILINE)
    assert release is not None
    assert ask(libc, path) == Libc(family="musl", version=release[1])


def test_musls_loader_prints_the_release_that_it_tells(require_tool: RequireTool) -> None:
    path = require_tool("/lib/ld-musl-x86_64.so.1")
    done = subprocess.run([path], capture_output=True, text=True)
    assert f"Version {ask(libc, path).version}\n" in done.stderr


def test_free_pascals_programs_have_no_library_though_they_have_glibcs_note(require_tool: RequireTool) -> None:
    """Debian's compiler is one of them; readelf shows the note, and nothing of glibc is in it."""
    paths = [p for p in elf_files(os.fspath(deb_files("fp-compiler-3.2.2"))) if p.endswith("/ppcx64")]
    assert "NT_GNU_ABI_TAG" in tool(require_tool("readelf"), "-nW", paths[0])
    assert b"GLIBC_TUNABLES" not in Path(paths[0]).read_bytes()
    assert ask(_family, paths[0]) == "none"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bash-static", ("glibc", "2.36")),
        ("busybox", ("glibc", None)),
        ("sash", ("glibc", None)),
        ("diet", ("dietlibc", None)),
        ("dnsd", ("dietlibc", None)),
        ("usr/lib/klibc/bin/gzip", ("unknown", None)),
        ("usr/lib/klibc/bin/cat", ("unknown", None)),
    ],
)
def test_debians_static_programs(name: str, expected: tuple[str, str | None], unpacked: Unpacked) -> None:
    """Stripped, each with what its package is built with; klibc has no name in the answer."""
    (path,) = [p for p in elf_files(os.fspath(unpacked(*STATIC_PROGRAMS))) if p.endswith(f"/{name}")]
    found = ask(libc, path)
    assert (found.family, found.version) == expected


def test_every_static_program_of_the_machine_with_a_glibc_note_is_glibcs(require_tool: RequireTool) -> None:
    """readelf shows the note that glibc's start files leave; nothing else leaves it."""
    require_tool("readelf")
    for path in elf_files("/usr/bin", "/usr/sbin"):
        with opened(path) as (reader, image):
            if image.interpreter is None and image.type in (c.ET_EXEC, c.ET_DYN):
                notes = tool("readelf", "-nW", path)
                assert (libc(reader, image).family == "glibc") == ("NT_GNU_ABI_TAG" in notes), path


# Start files of musl and dietlibc for other machines, by Debian's name of the architecture.
START_FILES = {
    "arm64": ("musl-dev", "dietlibc-dev"),
    "armhf": ("musl-dev", "dietlibc-dev"),
    "i386": ("musl-dev", "dietlibc-dev"),
    "s390x": ("musl-dev", "dietlibc-dev"),
    "mips64el": ("musl-dev",),
}


def _start_code(path: str) -> tuple[int, bytes]:
    """The machine of a start file, and its code at _start, with nothing yet in the places of addresses."""
    with open(path, "rb") as stream:
        elf: Any = ELFFile(stream)
        (start,) = elf.get_section_by_name(".symtab").get_symbol_by_name("_start")
        code = elf.get_section(start["st_shndx"]).data()[start["st_value"] & ~1 :]
        return ENUM_E_MACHINE[elf["e_machine"]], code


def _program(machine: int, code: bytes) -> bytes:
    """A static program that is nothing but its code: one segment, with the headers in it."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, machine, 1, 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 120 + len(code), 120 + len(code), 0x1000)
    return header + segment + code


@pytest.mark.parametrize("architecture", START_FILES)
def test_the_start_code_of_other_machines_is_known(architecture: str, unpacked: Unpacked, tmp_path: Path) -> None:
    """What the packages' start files begin with, as a static program."""
    folder = unpacked(*START_FILES[architecture], architecture=architecture)
    files = [path for path in elf_files(os.fspath(folder)) if re.search(r"/(r?crt1|start)\.o$", path)]
    assert files
    for path in files:
        (tmp_path / "made").write_bytes(_program(*_start_code(path)))
        assert ask(_family, tmp_path / "made") == ("dietlibc" if path.endswith("/start.o") else "musl"), path


@pytest.mark.parametrize("code", [b"", b"\x90" * 64, b"\xb8\x3c\0\0\0\x31\xff\x0f\x05"], ids=["empty", "nops", "exit"])
def test_code_that_no_library_starts_with_is_nobodys(code: bytes, tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(_program(62, code))
    assert ask(_family, tmp_path / "made") == ("none" if code else "unknown")

"""Run-time systems of languages: Debian's programs in each, and the compilers that made other files."""

import fcntl
import os
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.contents import languages
from linkscope.model.inspect import Content
from tests.contents import wheels
from tests.contents.debian import deb_field, deb_files
from tests.contents.samples import texts, with_constants
from tests.elf.samples import PROGRAMS, RequireTool, ask, elf_files, spread, tool
from tests.oracle import npm
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

# A package of Debian 12, a program in it, and the run-time system inside, with the version that its package was built
# with, as the compiler's package of that release says; None where the program does not tell.
PACKAGES: dict[str, tuple[str, dict[str, str | None]]] = {
    "unison-2.52": ("unison-2.52", {"ocaml": None}),
    "nim": ("nimgrep", {"nim": None}),
    "shellcheck": ("shellcheck", {"ghc": "ghc"}),
    "crystal": ("crystal", {"crystal": None}),
    "fp-compiler-3.2.2": ("ppcx64", {"fpc": "fp-compiler-3.2.2"}),
    "libphobos2-ldc-shared100": ("libdruntime-ldc-shared.so.100.1", {"druntime": None}),
    "gprbuild": ("gprbuild", {}),  # Ada's run-time system is a library beside it
    "onedrive": ("onedrive", {}),  # and so is D's
}
UPSTREAM = {"ghc": "9.0.2"}  # too large to be fetched for its version alone


def _told(path: str | os.PathLike[str]) -> dict[str, str | None]:
    contents: list[Content] = ask(languages.contents, path)
    return {one.name: one.version for one in contents}


@pytest.mark.parametrize("package", PACKAGES)
def test_debians_programs_hold_their_languages_run_time_system(package: str) -> None:
    name, expected = PACKAGES[package]
    (path,) = (file for file in elf_files(os.fspath(deb_files(package))) if file.endswith(f"/{name}"))
    versions = {
        name: by and (UPSTREAM.get(by) or re.split(r"[+~-]", deb_field(by, "Version").strip())[0])
        for name, by in expected.items()
    }
    assert _told(path) == versions


def test_programs_of_this_machine_hold_none() -> None:
    """They are in C, C++ and Go, or are Ada's and Fortran's own libraries."""
    own = {"libgfortran": r"/libgfortran\.so", "gnat": r"/libgnat-"}
    files = spread(elf_files(*PROGRAMS, "/usr/lib/x86_64-linux-gnu"), 400)
    assert len(files) > 100
    for path in files:
        assert all(re.search(own.get(name, "$^"), path) for name in _told(path)), path


ZIG = "0.13.0"
SOURCE = """const std = @import("std");
pub fn main() !void {
    var buffer: [10]u8 = undefined;
    buffer[std.os.argv.len] = 1;
    std.debug.print("{d}\\n", .{buffer[std.os.argv.len]});
}
"""


def _zig(kind: str, *command: str) -> Path:
    """What the released compiler made, kept in the cache: it compiles its own library first."""
    home = cache_folder() / f"zig-{ZIG}"
    home.mkdir(exist_ok=True)
    made = home / kind
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            compiler = wheels.unpacked("ziglang", ZIG) / "ziglang/zig"
            compiler.chmod(0o755)
            (home / "a.zig").write_text(SOURCE)
            (home / "a.c").write_text("int main(void) { return 0; }\n")
            environment = {
                **os.environ,
                "ZIG_GLOBAL_CACHE_DIR": str(home / "c"),
                "ZIG_LOCAL_CACHE_DIR": str(home / "c"),
            }
            done = subprocess.run(
                [compiler, *command], cwd=home, env=environment, capture_output=True, text=True, timeout=400
            )
            if done.returncode:
                raise Unavailable(f"zig does not build: {done.stderr[-300:]}")
            (home / "made").rename(made)
    return made


def test_what_zig_built(require_tool: RequireTool, tmp_path: Path) -> None:
    """The debugging information has the version; a text of its own library stays when that is stripped."""
    target = ("-target", "x86_64-linux-musl")
    path = _zig("safe", "build-exe", "a.zig", "-O", "ReleaseSafe", *target, "-femit-bin=made")
    assert _told(path) == {"zig": ZIG}
    tool(require_tool("strip"), "-o", tmp_path / "stripped", path)
    assert _told(tmp_path / "stripped") == {"zig": None}


def test_what_zigs_c_compiler_built(require_tool: RequireTool, tmp_path: Path) -> None:
    tool(require_tool("gcc"), "-o", tmp_path / "made", _zig("object.o", "cc", "-c", "a.c", "-o", "made"))
    assert _told(tmp_path / "made") == {"zig": None}


DART = ("sass-embedded-linux-x64", "1.89.2", "dart-sass/src/dart")


def test_darts_virtual_machine_has_the_version_that_it_prints() -> None:
    path = npm.packaged(*DART)
    path.chmod(0o755)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    number = re.search(r"Dart SDK version: (\S+)|version: (\S+)", said.stdout + said.stderr)
    told = _told(path)
    assert set(told) == {"dart"}
    if number is not None:
        assert told["dart"] in number.groups()


MENTIONS = (
    "zig 0.13.0",
    "GHC 9.0.2",
    "built with GHC version 9.0.2",
    "FPC 3.2.2",
    "GNAT Version",
    "OCAMLRUNPARAM",
    "3.13.7 (stable)",
    "GraalVM CE 25.0.2",
    "com.oracle.svm.core.VM",
    "SIGSEGV: Illegal storage access.",
)


@pytest.mark.parametrize("flags", [4, 6])
def test_a_mention_is_nothing(flags: int, tmp_path: Path) -> None:
    assert _told(with_constants(tmp_path / "made", texts(*MENTIONS), flags)) == {}


HASKELL = "    (GHC version %s for %s)\n"


@pytest.mark.parametrize(
    ("strings", "version"), [(("9.4.7",), "9.4.7"), (("9.4.7", "9.2.1"), None), ((), None), (("9.4.7 x",), None)]
)
def test_a_version_that_stands_alone_counts_if_there_is_but_one(
    strings: tuple[str, ...], version: str | None, tmp_path: Path
) -> None:
    assert _told(with_constants(tmp_path / "made", texts(HASKELL, *strings))) == {"ghc": version}


def test_runtimes_are_named_once_and_each_mark_is_of_one_kind() -> None:
    names = [runtime.name for runtime in languages.runtimes()]
    assert len(names) == len(set(names)) >= 12
    for runtime in languages.runtimes():
        for mark in runtime.mark:
            kinds = (mark.comment, mark.debug, mark.data, mark.texts, mark.symbols, mark.section)
            assert sum(bool(kind) for kind in kinds) == 1, mark
            assert bool(mark.anchor) == bool(mark.debug or mark.data), mark


def test_a_mistake_in_the_table_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "made.toml").write_text("[[runtime]]\nname = 'a'\nmark = []\n")
    with pytest.raises(msgspec.ValidationError, match=r"runtime\[0\]\.mark"):
        languages.runtimes(str(tmp_path / "made.toml"))


@given(
    words=st.lists(
        st.sampled_from([*MENTIONS, HASKELL, ' on "linux_', "GNAT Version: ", "9.4.7", "\0", " (", "x" * 300])
    )
)
def test_whatever_stands_there_is_read_in_bounds(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = with_constants(tmp_path_factory.mktemp("made") / "made", "".join(words).encode())
    assert set(_told(path)) <= {"ghc", "dart", "gnat"}

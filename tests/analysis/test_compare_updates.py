"""What a new release of a library asks for, by projects: dpkg knows from whose source a package was built."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.comparing.updates import not_its_own
from linkscope.model.inspect import Content, Evidence, EvidenceKind
from tests.analysis.test_compare_program import compared
from tests.elf.samples import RequireTool, tool
from tests.oracle.availability import Unavailable

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


def test_what_a_file_is_called_changes_nothing(fixture_file: Callable[[str], Path], tmp_path: Path) -> None:
    """By the linker, libcrypto.a and libc.a are inside: of a program that is called so, too."""
    client = fixture_file("compare/client-static")
    names = ("openssl", "glibc", "zlib")
    for name in names:
        shutil.copy(client, tmp_path / name)
    whole, *renamed = compared(client, *(tmp_path / name for name in names))
    assert {"openssl", "glibc"} <= set(whole.rebuilt_for())
    assert [one.rebuilt_for() for one in renamed] == [whole.rebuilt_for()] * 3


def test_a_program_is_of_the_project_whose_package_has_installed_it_and_a_copy_of_it_is_not(tmp_path: Path) -> None:
    """dpkg judges whose it is. That the library is inside of it makes the copy one that has to be rebuilt."""
    path = shutil.which("zstd")
    if path is None or shutil.which("dpkg-query") is None:
        raise Unavailable("zstd of a Debian package is not here")
    real = Path(path).resolve()
    if not tool("dpkg-query", "-S", str(real)).startswith("zstd:"):
        raise Unavailable("zstd is not from the package of that name")
    shutil.copy(real, tmp_path / "copy")
    own, copy = compared(real, tmp_path / "copy")
    assert "zstd" in copy.rebuilt_for()
    assert "zstd" not in own.rebuilt_for()


@pytest.mark.parametrize(
    ("kind", "text", "ecosystem", "is_kept"),
    [
        ("go-buildinfo", "mod example.org/app (devel)", "go", False),
        ("go-buildinfo", "dep example.org/app v1.2.3 h1:x=", "go", True),
        ("rust-audit", "app 1.0.0 (the program itself)", "cargo", False),
        ("rust-audit", "app 1.0.0 (crates.io)", "cargo", True),
        ("banner", "mod app", "generic", True),
    ],
)
def test_what_the_build_calls_the_program_is_no_library_inside(
    kind: EvidenceKind, text: str, ecosystem: str, is_kept: bool
) -> None:
    """Lines as `go version -m` shows them, and as contents has those of cargo-auditable."""
    content = Content(name="app", ecosystem=ecosystem, version=None, evidence=[Evidence(kind=kind, text=text)])
    assert not_its_own([content], None) == ([content] if is_kept else [])


def test_a_package_is_no_module_of_its_name() -> None:
    plain, module = (Content(name="app", ecosystem=of, version=None, evidence=[]) for of in ("generic", "go"))
    assert not_its_own([plain, module], "app") == [module]

"""A project that is forbidden by its name: `readelf -d` says what a file needs, and `who` takes the same word."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.who import who
from linkscope.elf.notes import FDO_DLOPEN
from linkscope.model.check import Finding
from linkscope.policy.terms import Group, Policy
from tests.contents.samples import linked
from tests.elf.samples import tool
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import executable, shared_object
from tests.packages.makers import deb

_ARM64 = 183  # EM_AARCH64
_OF_ZLIB = "loads libz.so.1 (zlib), which the policy forbids"


def _forbidden(path: Path | str, *names: str) -> list[Finding]:
    """What a check of the files at PATH finds where NAMES are forbidden."""
    policy = Policy(groups=(Group(paths=("**",), settings={"forbid": names}),))
    document = check([str(path)], policy)
    assert document.errors == []
    return [finding for finding in document.findings if finding.rule == "library-forbidden"]


def _told(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.subject, finding.level) for finding in findings]


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program that needs zlib, one that needs a library that does, and one that needs neither."""
    folder = tmp_path_factory.mktemp("users")
    linked(folder / "direct", "#include <zlib.h>\nint main(void) { return !zlibVersion(); }\n", ["-lz"])
    library = "#include <zlib.h>\nint packs(void) { return !zlibVersion(); }\n"
    linked(folder / "libpacks.so", library, ["-shared", "-fPIC", "-lz"])
    program = "int packs(void);\nint main(void) { return packs(); }\n"
    linked(folder / "indirect", program, [f"-L{folder}", "-lpacks", "-Wl,-rpath,$ORIGIN"])
    linked(folder / "neither", "int main(void) { return 0; }\n", [])
    for source in folder.glob("*.c"):
        source.unlink()
    assert "[libz.so.1]" in tool("readelf", "-dW", folder / "direct")
    assert "libz" not in tool("readelf", "-dW", folder / "indirect")
    return folder


@pytest.mark.parametrize("name", ["zlib", "ZLIB", "generic:zlib", "zl*", "libz", "libz.so.1", "z"])
def test_a_library_that_is_needed_is_forbidden_by_whatever_name(users: Path, name: str) -> None:
    assert _told(_forbidden(users / "direct", name)) == [("libz.so.1", "error")]
    assert _forbidden(users / "neither", name) == []


def test_whose_the_library_is_that_is_loaded_is_said_with_who_asks_for_it(users: Path) -> None:
    (found,) = _forbidden(users / "direct", "zlib")
    assert (found.message, found.evidence) == (_OF_ZLIB, [f"needed by {users / 'direct'}"])
    (found,) = _forbidden(users / "indirect", "zlib")
    assert (found.message, found.evidence) == (_OF_ZLIB, [f"needed by {users / 'libpacks.so'}"])


def test_a_soname_and_its_project_are_one_finding(users: Path) -> None:
    assert _told(_forbidden(users / "direct", "zlib", "libz.so.1", "libz", "zlib")) == [("libz.so.1", "error")]


@pytest.mark.parametrize("name", ["cargo:zlib", "example.org/zlib", "zlib-ng", "openssl"])
def test_what_is_called_alike_and_is_something_else_is_not_meant(users: Path, name: str) -> None:
    assert _forbidden(users / "direct", name) == []


def test_every_file_of_a_folder_that_who_names_is_objected_to(users: Path) -> None:
    named = {match.path for match in who("zlib", [str(users)]).matches}
    assert {os.path.basename(path) for path in named} == {"direct", "indirect", "libpacks.so"}
    assert {finding.path for finding in _forbidden(users, "zlib")} == named


def test_what_a_package_needs_of_the_system_counts(users: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tree/usr/bin"
    folder.mkdir(parents=True)
    (folder / "app").write_bytes((users / "direct").read_bytes())
    (folder / "app").chmod(0o755)
    package = deb(tmp_path / "tree", tmp_path / "app.deb")
    (found,) = _forbidden(package, "zlib")
    assert (found.path, found.message) == (f"{package}!/usr/bin/app", _OF_ZLIB)


def test_a_file_that_nothing_here_can_load_is_judged_by_its_own_needs(tmp_path: Path) -> None:
    path = executable(
        tmp_path / "app", "/lib/ld-linux-aarch64.so.1", machine=_ARM64, needed=("libssl.so.3", "libc.so.6")
    )
    assert "[libssl.so.3]" in tool("readelf", "-dW", path)
    assert _told(_forbidden(path, "openssl")) == [("libssl.so.3", "error")]


def test_a_library_that_is_missing_is_needed_all_the_same(tmp_path: Path) -> None:
    path = executable(tmp_path / "app", needed=("libssl.so.77",))
    assert _told(_forbidden(path, "openssl")) == [("libssl.so.77", "error")]


def test_what_a_file_may_open_is_a_warning(tmp_path: Path) -> None:
    said = json.dumps([{"soname": ["liblzma.so.5"], "feature": "xz"}]).encode()
    path = shared_object(tmp_path / "libopens.so", notes=(("FDO", FDO_DLOPEN, said),))
    assert [match.how for match in who("xz", [str(path)]).matches] == ["dlopen"]
    (found,) = _forbidden(path, "xz")
    assert _told([found]) == [("liblzma.so.5", "warning")]
    assert found.message == "may open liblzma.so.5 (xz) when it runs, which the policy forbids"


def test_the_library_itself_is_objected_to_though_nothing_in_it_tells(tmp_path: Path) -> None:
    path = shared_object(tmp_path / "libz.so.1", soname="libz.so.1")
    assert [match.itself for match in who("zlib", [str(path)]).matches] == [True]
    (found,) = _forbidden(path, "zlib")
    assert found.message == "is libz.so.1 (zlib), which the policy forbids"


def test_a_library_that_tells_what_it_is_is_objected_to_once() -> None:
    library = next(Path("/usr/lib").glob("*/libz.so.1"), None)
    if library is None:
        raise Unavailable("libz.so.1 is not here (Debian package zlib1g)")
    assert _told(_forbidden(library, "zlib")) == [("zlib", "error")]


def test_a_library_of_the_same_soname_may_be_another_projects(tmp_path: Path) -> None:
    """Debian's libjpeg.so.62 is libjpeg-turbo, as its package says."""
    library = next(Path("/usr/lib").glob("*/libjpeg.so.62"), None)
    if library is None:
        raise Unavailable("libjpeg.so.62 is not here (Debian package libjpeg62-turbo)")
    owner = subprocess.run(["dpkg", "-S", library], capture_output=True, text=True, check=False).stdout
    if "turbo" not in owner:
        raise Unavailable("libjpeg.so.62 is not of Debian's package libjpeg62-turbo")
    path = executable(tmp_path / "app", needed=("libjpeg.so.62", "libc.so.6"))
    assert _forbidden(path, "libjpeg") == []
    assert _told(_forbidden(path, "libjpeg-turbo")) == [("libjpeg.so.62", "error")]
    assert _told(_forbidden(path, "libjpeg.so.62")) == [("libjpeg.so.62", "error")]

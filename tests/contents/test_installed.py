"""Which package a file belongs to: dpkg and rpm are asked, and apk's file is as Alpine has it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from linkscope.contents.installed import Installed
from linkscope.loader.root import Root
from tests.contents.test_databases import dpkg
from tests.elf.samples import LIBRARIES, elf_files, spread, tool
from tests.oracle.availability import Unavailable
from tests.packages import makers


def _installed(folder: Path) -> Installed:
    return Installed(Root(os.fspath(folder)))


def test_the_owner_of_a_library_is_the_one_that_dpkg_names() -> None:
    if shutil.which("dpkg-query") is None:
        raise Unavailable("dpkg-query is not here")
    paths = [os.path.realpath(path) for path in spread(elf_files(*LIBRARIES), 40)]
    paths += [os.path.realpath(path) for path in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2")]
    found = _installed(Path("/")).of([*paths, "/nobody/has/this.so"])
    assert found.pop("/nobody/has/this.so") is None
    owners: dict[str, set[str]] = {}
    for line in tool("dpkg-query", "-S", *found, *(path.removeprefix("/usr") for path in found)).splitlines():
        names, _, path = line.partition(": ")
        if not line.startswith("diversion by"):
            owners.setdefault(path, set()).update(name.partition(":")[0] for name in names.split(", "))
    assert len(owners) > 10
    for path, package in found.items():
        names_of_it = owners.get(path, set()) | owners.get(path.removeprefix("/usr"), set())
        assert (package in names_of_it) if names_of_it else package is None, path


def merged(root: Path) -> Path:
    """ROOT, in which /lib is /usr/lib, as on a merged Debian."""
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    return root


def _judged(root: Path, path: str) -> str | None:
    """The package that dpkg-query names for exactly PATH."""
    if shutil.which("dpkg-query") is None:
        raise Unavailable("dpkg-query is not here")
    command = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-S", path]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    return said.partition(":")[0] or None


def test_another_file_of_the_other_name_is_another_package_s(tmp_path: Path) -> None:
    """/lib and /usr/lib are two folders on Alpine and on a Debian before it was merged; a file in each is two files."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "usr/lib").mkdir(parents=True)
    names = ("both.so", "old.so", "new.so")
    paths = [f"{folder}/{name}" for folder in ("/lib", "/usr/lib") for name in names]
    for path in paths:
        (tmp_path / path[1:]).write_text(path)
    dpkg(tmp_path, old=["/lib/both.so", "/lib/old.so"], tool=["/usr/lib/both.so", "/usr/lib/new.so"])
    judged = {path: _judged(tmp_path, path) for path in paths}
    assert sum(owner is None for owner in judged.values()) == 2
    assert _installed(tmp_path).of(paths) == judged
    assert {path: _installed(tmp_path).of([path])[path] for path in paths} == judged
    often = _installed(tmp_path)
    for number in range(6):
        often.of([f"/nobody/{number}"])
    assert often.of(paths) == judged


def test_where_it_is_the_same_file_the_package_that_has_it_by_its_own_name_counts(tmp_path: Path) -> None:
    dpkg(merged(tmp_path), old=["/lib/a.so", "/lib/b.so"], tool=["/usr/lib/a.so"])
    assert _installed(tmp_path).of(["/usr/lib/a.so", "/usr/lib/b.so"]) == {
        "/usr/lib/a.so": "tool",
        "/usr/lib/b.so": "old",
    }


def test_what_only_begins_as_usr_does_has_no_other_name(tmp_path: Path) -> None:
    dpkg(tmp_path, app=["local/x", "/usrlocal/x"])
    assert _installed(tmp_path).of(["/usrlocal/x", "/usrlocal/y"]) == {"/usrlocal/x": "app", "/usrlocal/y": None}


def test_what_was_asked_once_is_known(tmp_path: Path) -> None:
    dpkg(merged(tmp_path), libz1=["/lib", "/lib/libz.so.1.2"])
    known = _installed(tmp_path)
    assert known.of(["/usr/lib/libz.so.1.2"]) == {"/usr/lib/libz.so.1.2": "libz1"}
    (tmp_path / "var/lib/dpkg/info/libz1:amd64.list").unlink()
    assert known.of(["/usr/lib/libz.so.1.2", "/lib/other"]) == {"/usr/lib/libz.so.1.2": "libz1", "/lib/other": None}


def test_whoever_asks_often_is_told_the_same(tmp_path: Path) -> None:
    """Then the packages are kept, and not read again; what lies where there are hardly any programs is."""
    files = [f"/usr/lib/lib{number}.so" for number in range(9)]
    dpkg(merged(tmp_path), first=[*files[:4], "/usr/share/a/b.so"], second=files[3:])
    known = _installed(tmp_path)
    assert [known.of([path])[path] for path in files] == ["first"] * 4 + ["second"] * 5
    assert known.of(["/usr/share/a/b.so", "/usr/lib/lib8.so"])["/usr/share/a/b.so"] == "first"
    for listed in (tmp_path / "var/lib/dpkg/info").iterdir():
        listed.unlink()
    assert known.of(["/nobody"]) == {"/nobody": None}


@pytest.mark.parametrize("path", ["/lib/libz.so.1", "/lib/libz.so.1.2.3", "/x/lib/libz.so.1.2", "/lib"])
def test_only_whole_paths_count(path: str, tmp_path: Path) -> None:
    """Of a folder many packages are the owner; nobody asks for one, and the first is as good as any."""
    dpkg(tmp_path, libz1=["/lib", "/lib/libz.so.1.2"])
    assert _installed(tmp_path).of([path])[path] == ("libz1" if path == "/lib" else None)


def test_what_is_diverted_is_the_package_s_that_diverts_it_and_lies_elsewhere(tmp_path: Path) -> None:
    gl = "/usr/lib/libGL.so.1"
    dpkg(tmp_path, mesa=[gl], nvidia=[gl])
    (tmp_path / "var/lib/dpkg/diversions").write_text(f"{gl}\n/usr/lib/mesa/libGL.so.1\nnvidia\n")
    found = _installed(tmp_path).of([gl, "/usr/lib/mesa/libGL.so.1"])
    assert found == {gl: "nvidia", "/usr/lib/mesa/libGL.so.1": "mesa"}


def test_the_owner_is_the_one_that_rpm_names(tmp_path: Path) -> None:
    for place in ("usr/lib/libapp.so.1", "usr/bin/app", "etc/app.conf"):
        (tmp_path / "tree" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shutil.which("true") or "/bin/true", tmp_path / "tree" / place)
    package = makers.rpm(tmp_path / "tree", tmp_path / "app.rpm")
    database = tmp_path / "root/usr/lib/sysimage/rpm"
    makers.run("rpm", "--dbpath", database, "-i", "--justdb", "--nodeps", "--ignorearch", package)
    if not (database / "rpmdb.sqlite").exists():
        raise Unavailable("this rpm's database is not SQLite")
    names = makers.run("rpm", "--dbpath", database, "-ql", "app").decode().split()
    found = _installed(tmp_path / "root").of([*names, "/nobody"])
    assert found == {**dict.fromkeys(names, "app"), "/nobody": None}


def test_the_owner_is_read_from_apks_database(tmp_path: Path) -> None:
    """As apk-tools 2.14 writes it on Alpine 3.20."""
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    (tmp_path / "lib/apk/db/installed").write_text(
        "C:Q1f=\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\n"
        "C:Q1g=\nP:zlib\nV:1.3.1-r1\nA:x86_64\no:zlib\nF:usr\nF:usr/lib\nR:libz.so.1.3.1\nZ:Q1x=\n\n"
    )
    found = _installed(tmp_path).of(["/lib/ld-musl-x86_64.so.1", "/usr/lib/libz.so.1.3.1", "/usr/lib/libz.a"])
    assert list(found.values()) == ["musl", "zlib", None]


def test_a_database_that_cannot_be_read_has_no_owners_and_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    (tmp_path / "var/lib/rpm/rpmdb.sqlite").write_text("no database")
    known = _installed(tmp_path)
    assert known.of(["/lib/libc.so.6"]) == {"/lib/libc.so.6": None}
    known.of(["/lib/libm.so.6"])
    (problem,) = known.problems
    assert problem.startswith("/var/lib/rpm: rpm's database cannot be read: ")

"""Which package each archive of a system belongs to: dpkg and rpm are asked, and apk's file is as Alpine has it."""

import os
import shutil
from pathlib import Path

from linkscope.contents.owners import owners
from linkscope.loader.root import Root
from tests.contents.test_learning import tree
from tests.elf.samples import tool
from tests.oracle.availability import Unavailable
from tests.packages import makers

_PLACE = "usr/lib/libfoo.a"


def test_the_owner_of_an_installed_archive_is_the_one_that_dpkg_names() -> None:
    if shutil.which("dpkg-query") is None:
        raise Unavailable("dpkg-query is not here")
    known = owners(Root("/"))
    paths = sorted(known.packages)[:: max(1, len(known.packages) // 15)]
    assert paths
    for row in tool("dpkg-query", "-S", *paths).splitlines():
        names, _, path = row.partition(": ")
        if path in known.packages and not names.startswith("diversion"):
            package = known.packages[path]
            assert package.name in {name.partition(":")[0] for name in names.split(", ")}
            assert package.version in tool("dpkg-query", "-W", "-f", "${Version}\n", package.name or "").splitlines()


def test_the_owner_of_an_installed_archive_is_the_one_that_rpm_names(tmp_path: Path) -> None:
    package = makers.rpm(tree(tmp_path / "tree"), tmp_path / "app.rpm")
    database = tmp_path / "root/usr/lib/sysimage/rpm"
    makers.run("rpm", "--dbpath", database, "-i", "--justdb", "--nodeps", "--ignorearch", package)
    if not (database / "rpmdb.sqlite").exists():
        raise Unavailable("this rpm's database is not SQLite")
    known = owners(Root(os.fspath(tmp_path / "root")))
    names = makers.run("rpm", "--dbpath", database, "-ql", "app").decode().split()
    assert set(known.packages) == {name for name in names if name.endswith(".a")}
    owner = known.packages[f"/{_PLACE}"]
    source = makers.run("rpm", "-qp", "--qf", "%{SOURCERPM}", package).decode()
    assert (owner.name, owner.version, source.startswith(f"{owner.source}-2.0-3")) == ("app", "1:2.0-3", True)


def test_a_database_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    for name in ("Packages", "Packages.db", "rpmdb.sqlite"):
        (tmp_path / "var/lib/rpm" / name).write_bytes(b"no database".ljust(4096))
        (problem,) = owners(Root(os.fspath(tmp_path))).problems
        assert problem.startswith("/var/lib/rpm: rpm's database cannot be read: ")


def test_the_owner_of_an_installed_archive_is_read_from_apks_database(tmp_path: Path) -> None:
    """As apk-tools 2.14 writes it on Alpine 3.20."""
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    (tmp_path / "lib/apk/db/installed").write_text(
        "C:Q1f=\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\n"
        "C:Q1g=\nP:zlib-static\nV:1.3.1-r1\nA:x86_64\no:zlib\nF:usr\nF:usr/lib\nR:libz.a\nZ:Q1x=\n\n"
    )
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.1\n')
    known = owners(Root(os.fspath(tmp_path)))
    assert list(known.packages) == ["/usr/lib/libz.a"]
    package = known.packages["/usr/lib/libz.a"]
    assert (package.name, package.version, package.source) == ("zlib-static", "1.3.1-r1", "zlib")
    assert known.distribution == "alpine 3.20.1"


def test_a_package_that_was_removed_owns_nothing(tmp_path: Path) -> None:
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info / "libold-dev:amd64.list").write_text("/.\n/usr/lib/libold.a\n")
    (info / "libnew-dev:amd64.list").write_text("/.\n/lib/libnew.a\n")
    (tmp_path / "var/lib/dpkg/status").write_text(
        "Package: libold-dev\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
        "Package: libnew-dev\nStatus: install ok installed\nArchitecture: amd64\nSource: new (2)\nVersion: 2-1\n\n"
    )
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    known = owners(Root(os.fspath(tmp_path)))
    assert list(known.packages) == ["/lib/libnew.a"]
    owner = known.of("/usr/lib/libnew.a")
    assert owner is not None
    assert (owner.name, owner.source, owner.version) == ("libnew-dev", "new", "2-1")
    (tmp_path / "lib").unlink()
    (tmp_path / "lib").mkdir()
    assert owners(Root(os.fspath(tmp_path))).of("/usr/lib/libnew.a") is None, "another file than /lib/libnew.a"

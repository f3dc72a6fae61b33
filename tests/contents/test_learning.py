"""Archives as they come: alone, thin, for an optimiser, damaged, in packages, installed; other tools are the judges."""

import re
import shutil
from pathlib import Path

import pytest

from linkscope.contents.learning import Refused
from linkscope.contents.libraries import library_of, upstream_version
from linkscope.contents.packs import Learnt
from tests.contents.test_packs import archive, learnt, lesson
from tests.elf.samples import tool
from tests.oracle.availability import Unavailable
from tests.packages import makers

_PLACE = "usr/lib/libfoo.a"


def tree(folder: Path) -> Path:
    """What a package installs: an archive, a program, a text that is called an archive, and a link to the archive."""
    (folder / "usr/lib").mkdir(parents=True)
    (folder / "usr/bin").mkdir()
    (folder / "etc").mkdir()
    (folder / "etc/app.conf").write_text("a = 1\n")
    shutil.copy(archive(folder.with_name("objects"), "foo"), folder / _PLACE)
    shutil.copy(shutil.which("true") or "/bin/true", folder / "usr/bin/app")
    (folder / "usr/lib/libscript.a").write_text("GROUP ( libfoo.a )\n")
    (folder / "usr/lib/libbar.a").symlink_to("libfoo.a")
    return folder


@pytest.mark.parametrize(
    ("kind", "version", "upstream"),
    [("deb", "1:2.0-3", "2.0"), ("rpm", "1:2.0-3", "2.0"), ("apk", "2.0-r3", "2.0"), ("tar", None, None)],
)
def test_an_archive_is_the_same_in_every_package(
    tmp_path: Path, kind: str, version: str | None, upstream: str | None
) -> None:
    top = tree(tmp_path / "tree")
    alone = learnt(top / _PLACE)[0].archive
    package = getattr(makers, kind)(top, tmp_path / f"app.{kind}")
    (found,) = learnt(package)
    assert found.origin == f"{package}!/{_PLACE}" or found.origin == f"{package}!/./{_PLACE}"
    assert found.archive.signatures == alone.signatures
    assert (found.archive.package, found.archive.package_version) == ("app" if version else None, version)
    assert (found.archive.version, found.archive.name) == (upstream, "libfoo.a")


def test_sections_and_bytes_of_code_are_those_that_objdump_lists() -> None:
    path = Path("/usr/lib/x86_64-linux-gnu/libz.a")
    if not path.exists():
        raise Unavailable("zlib1g-dev is not installed")
    (found,) = learnt(path)
    rows = re.findall(r"^ *\d+ (\S+) +([0-9a-f]+) .*\n.*\bCODE\b", tool("objdump", "-h", path), re.MULTILINE)
    sizes = [int(size, 16) for _, size in rows if int(size, 16)]
    assert (found.archive.sections, found.archive.size) == (len(sizes), sum(sizes))
    assert {one.member for one in found.archive.signatures} <= set(tool("ar", "t", path).split())


def test_a_thin_archive_is_learnt_as_a_whole_one(tmp_path: Path) -> None:
    whole = learnt(archive(tmp_path, "thin"))[0].archive
    path = archive(tmp_path, "thin", ar="rcsT")
    assert path.read_bytes().startswith(b"!<thin>\n")
    assert learnt(path)[0].archive == whole


def test_a_thin_archive_without_its_members_says_which_one_is_missing(tmp_path: Path) -> None:
    path = archive(tmp_path, "thin", ar="rcsT")
    (tmp_path / "thin1.o").unlink()
    (refused,) = lesson(path)
    assert isinstance(refused, Refused)
    assert "thin1.o" in refused.reason
    assert (refused.weight, "\n" in refused.reason) == ("error", False)


def test_a_thin_archive_in_a_package_does_not_lead_to_files_of_this_machine(tmp_path: Path) -> None:
    top = tree(tmp_path / "tree")
    (top / _PLACE).unlink()
    shutil.copy(archive(tmp_path, "thin", ar="rcsTP"), top / _PLACE)
    (refused,) = lesson(makers.tar(top, tmp_path / "app.tar"))
    assert isinstance(refused, Refused)
    assert "thin archive" in refused.reason


def test_an_archive_for_an_optimiser_alone_says_so(tmp_path: Path) -> None:
    (refused,) = lesson(archive(tmp_path, "lto", options=("-flto",)))
    assert isinstance(refused, Refused)
    assert (refused.weight, "(LTO)" in refused.reason) == ("warning", True)
    both = lesson(archive(tmp_path, "fat", options=("-flto", "-ffat-lto-objects")))
    assert [type(one) for one in both] == [Learnt]


def test_an_archive_of_llvms_bitcode_says_so(tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        raise Unavailable("clang is not here")
    (tmp_path / "a.c").write_text("int f(int n) { return n * 31 + 7; }\n")
    tool("clang", "-O2", "-flto", "-c", tmp_path / "a.c", "-o", tmp_path / "a.o")
    tool("ar", "rcS", tmp_path / "liba.a", tmp_path / "a.o")
    (refused,) = lesson(tmp_path / "liba.a")
    assert isinstance(refused, Refused)
    assert (refused.weight, "(LTO)" in refused.reason) == ("warning", True)


def test_an_archive_without_code_is_left_out_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int only_data = 3;\n")
    tool("gcc", "-c", tmp_path / "a.c", "-o", tmp_path / "a.o")
    for members in ([], [tmp_path / "a.o"]):
        tool("ar", "rcs", tmp_path / "libempty.a", *members)
        (refused,) = lesson(tmp_path / "libempty.a")
        assert isinstance(refused, Refused)
        assert (refused.weight, "\n" in refused.reason) == ("note", False)


def test_a_damaged_archive_gives_one_clear_line_or_what_is_whole(tmp_path: Path) -> None:
    """Cut off at, and with a byte changed at, a few dozen places."""
    path = archive(tmp_path, "foo")
    whole = path.read_bytes()
    for at in range(8, len(whole), len(whole) // 40):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            path.write_bytes(data)
            for one in lesson(path):
                assert isinstance(one, Learnt) or "\n" not in one.reason


@pytest.mark.parametrize(
    ("package_version", "upstream"),
    [
        ("1:1.3.dfsg+really1.3.1-1+deb13u1", "1.3.1"),
        ("2.12.7+dfsg+really2.9.14-2.1+deb13u3", "2.9.14"),
        ("2:6.2.1+dfsg1-1.1", "6.2.1"),
        ("6.2+20201114-2+deb11u2", "6.2"),
        ("1.1.1w-0+deb11u1", "1.1.1w"),
        ("1.0.2zd-r0", "1.0.2zd"),
        ("1:3.0.7-27.el9", "3.0.7"),
        ("2.41-12+deb13u5", "2.41"),
        ("1.0.8", "1.0.8"),
        ("0.34~cvs20160606-14", "0.34"),
        ("0~20200923.3-2", "20200923.3"),
        ("20220623.1-1", "20220623.1"),
    ],
)
def test_the_upstream_version_of_a_package(package_version: str, upstream: str) -> None:
    """As the packages' own libraries say it."""
    assert upstream_version(package_version) == upstream


@pytest.mark.parametrize(
    ("archive_name", "source", "library"),
    [
        ("libstdc++.a", "gcc-12", "gcc"),
        ("liblua5.4.a", "lua5.4", "lua"),
        ("libssl.a", "openssl", "openssl"),
        ("libcrypto.a", "openssl1.1", "openssl"),
        ("libpng16.a", "libpng1.6", "libpng"),
        ("libsqlite3.a", "sqlite3", "sqlite"),
        ("liblzma.a", "xz-utils", "xz"),
        ("libz.a", None, "zlib"),
        ("libown.a", None, "libown"),
        ("libown.a", "Own", "own"),
    ],
)
def test_what_a_library_is_called(archive_name: str, source: str | None, library: str) -> None:
    """Repology's names, as https://repology.org/project/NAME has them."""
    assert library_of(archive_name, source) == library

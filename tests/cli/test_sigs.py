"""`linkscope sigs`: learnt, listed, forgotten and exchanged as a user does it."""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from linkscope.contents.packs import SHIPPED, Store
from linkscope.model.sigs import SignedArchive, SigsDocument
from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.contents.test_learning import tree
from tests.contents.test_packs import archive
from tests.elf.samples import tool
from tests.oracle.availability import Unavailable
from tests.packages import makers

Sigs = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def sigs(linkscope: Linkscope) -> Sigs:
    """The command with a store of its own, in `tmp_path`."""

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[bytes]":
        return linkscope("sigs", *arguments, env={"LINKSCOPE_STORE": "own.db"})

    return run


def archives(sigs: Sigs, *arguments: str | Path) -> list[SignedArchive]:
    """What is listed of the own store."""
    ran = sigs("list", "--no-shipped", "--format", "json", *arguments)
    return msgspec.json.decode(ran.stdout, type=SigsDocument).archives


def test_what_is_learnt_is_listed_shown_and_forgotten(sigs: Sigs, tmp_path: Path) -> None:
    path = archive(tmp_path, "foo")
    added = sigs("add", path, "--library", "foo", "--library-version", "1.2", "--distribution", "mine 3")
    assert (added.stdout, added.returncode) == (b"1 archive added to own.db\n", 0)
    (row,) = archives(sigs)
    assert (row.name, row.library, row.version, row.distribution) == ("libfoo.a", "foo", "1.2", "mine 3")
    assert (row.architecture, row.members, row.package) == (os.uname().machine, 3, None)
    (line,) = [one for one in sigs("list", "--no-shipped").stdout.decode().splitlines() if one.startswith("foo")]
    assert line.split()[1] == "1.2"
    shown = sigs("show", "foo").stdout.decode()
    assert row.id in shown
    assert str(path) in shown
    again = sigs("add", path, "--library", "foo", "--library-version", "1.2", "--distribution", "mine 3")
    assert again.stdout == b"0 archives added to own.db, 1 were there already\n"
    assert sigs("remove", row.id[:8]).stdout == b"1 archive forgotten\n"
    assert archives(sigs) == []


def test_a_folder_gives_its_archives_and_packages(sigs: Sigs, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    archive(folder / "deep", "one")
    makers.deb(tree(tmp_path / "tree"), folder / "app_2.0_amd64.deb")
    (folder / "libtext.a").write_text("GROUP ( libone.a )\n")
    (folder / "liblink.a").symlink_to("deep/libone.a")
    ran = sigs("add", folder)
    assert {(one.name, one.package) for one in archives(sigs)} == {("libone.a", None), ("libfoo.a", "app")}
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == b"2 archives added to own.db, 1 without code that could be recognised left out\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add"], b"Name at least one archive"),
        (["add", "gone.a"], b"gone.a: no such file or directory"),
        (["add", "empty"], b"empty: holds no archive (.a) and no package"),
        (["add", "text"], b"text: is neither an archive nor a package"),
        (["add", "script"], b"script: is a linker script: name the archives that it lists"),
        (["add", "--root", ".", "text"], b"--root goes with --installed"),
        (["add", "--installed", "--root", "gone"], b"gone: no such file or directory"),
        (["list", "nothing"], b"nothing: no library, package or archive of that name is known"),
        (["show", "nothing"], b"nothing: no library"),
        (["remove", "nothing"], b"nothing: no library"),
        (["remove", "openssl"], b"openssl: is brought along by LinkScope, and not in the store"),
        (["import", "text"], b"text: is no file that `linkscope sigs export` makes"),
        (["import", "gone"], b"gone: no such file or directory"),
        (["list", "--store", "text"], b"text: is no store of signatures, or damaged"),
        (["list", "--store", "empty"], b"empty: is a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_and_exit_code_2(sigs: Sigs, tmp_path: Path, arguments: list[str], said: bytes) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("some text\n" * 100)
    (tmp_path / "script").write_text("/* GNU ld script */\nGROUP ( /usr/lib/libm-2.36.a /usr/lib/libmvec.a )\n")
    ran = sigs(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert not (tmp_path / "own.db").exists()


def test_a_damaged_archive_among_good_ones_is_told_and_the_others_are_learnt(sigs: Sigs, tmp_path: Path) -> None:
    good, bad = archive(tmp_path, "good"), archive(tmp_path, "bad")
    bad.write_bytes(bad.read_bytes()[:-100])
    ran = sigs("add", good, bad)
    assert ran.returncode == 2
    assert re.fullmatch(rb"linkscope: \S*libbad.a: is truncated: [^\n]*\n", ran.stderr)
    assert [one.name for one in archives(sigs)] == ["libgood.a"]


def test_an_archive_for_an_optimiser_alone_is_told(sigs: Sigs, tmp_path: Path) -> None:
    ran = sigs("add", archive(tmp_path, "lto", options=("-flto",)))
    assert ran.returncode == 2
    assert b"link-time optimiser" in ran.stderr
    assert not (tmp_path / "own.db").exists()


def test_every_archive_of_a_root_is_learnt_with_its_owner(sigs: Sigs, tmp_path: Path) -> None:
    """Each file once, whatever its links; what belongs to nobody as well."""
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/local").mkdir()
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('ID="debian"\nVERSION_ID="12"\n')
    (root / "var/lib/dpkg/status").write_text(
        "Package: libowned-dev\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2-1\n\n"
    )
    (root / "var/lib/dpkg/info/libowned-dev.list").write_text("/lib/libowned.a\n")
    shutil.copy(archive(tmp_path, "owned"), root / "usr/lib")
    (root / "usr/lib/libagain.a").hardlink_to(root / "usr/lib/libowned.a")
    (root / "usr/lib/liblink.a").symlink_to("/usr/lib/libowned.a")
    shutil.copy(archive(tmp_path, "own"), root / "usr/local")
    ran = sigs("add", "--installed", "--root", root)
    assert ran.returncode == 0, ran.stderr
    found = {(one.origin, one.package, one.package_version, one.distribution) for one in archives(sigs)}
    assert found == {
        ("/usr/lib/libowned.a", "libowned-dev", "2-1", "debian 12"),
        ("/usr/local/libown.a", None, None, None),
    }


def test_an_archive_of_this_machine_is_filed_under_its_package(sigs: Sigs) -> None:
    path = Path("/usr/lib/x86_64-linux-gnu/libz.a")
    if not path.exists() or shutil.which("dpkg-query") is None:
        raise Unavailable("zlib1g-dev is not installed")
    sigs("add", path)
    (row,) = archives(sigs)
    said = tool("dpkg-query", "-W", "-f", "${Package} ${Version}", "zlib1g-dev")
    assert f"{row.package} {row.package_version}" == said


def test_what_is_exported_is_imported_elsewhere(sigs: Sigs, tmp_path: Path) -> None:
    sigs("add", archive(tmp_path, "one"), archive(tmp_path, "two"))
    before = archives(sigs)
    assert sigs("export", "all.sigs").stdout == b"2 archives written to all.sigs\n"
    assert sigs("export", "one.sigs", "libone").stdout == b"1 archive written to one.sigs\n"
    assert sigs("import", "one.sigs", "--store", "other.db").stdout == b"1 archive added to other.db\n"
    assert sigs("import", "all.sigs", "--store", "other.db").stdout == (
        b"1 archive added to other.db, 1 were there already\n"
    )
    assert archives(sigs, "--store", "other.db") == before


@pytest.mark.parametrize("what", ["archive", "program", "store", "text"])
def test_an_export_is_written_over_no_other_file(sigs: Sigs, tmp_path: Path, what: str) -> None:
    """`show` and `remove` take a name where `export` takes the file, so that a slip is near."""
    sigs("add", archive(tmp_path, "one"))
    (tmp_path / "notes").write_text("not to be lost")
    files = {"archive": "libone.a", "program": "true", "store": "own.db", "text": "notes"}
    shutil.copy("/bin/true", tmp_path / "true")
    before = (tmp_path / files[what]).read_bytes()
    ran = sigs("export", files[what])
    said = f"linkscope: {files[what]}: is not written over: it is no file that `linkscope sigs export` made\n"
    assert (ran.stderr.decode(), ran.returncode) == (said, 2)
    assert (tmp_path / files[what]).read_bytes() == before


def test_an_export_is_written_over_one_before_it_and_over_an_empty_file(sigs: Sigs, tmp_path: Path) -> None:
    sigs("add", archive(tmp_path, "one"), archive(tmp_path, "two"))
    (tmp_path / "all.sigs").touch()
    for names, count in (((), b"2 archives"), (("libone",), b"1 archive"), ((), b"2 archives")):
        assert sigs("export", "all.sigs", *names).stdout == count + b" written to all.sigs\n"
    assert sigs("import", "all.sigs", "--store", "other.db").stdout == b"2 archives added to other.db\n"


def test_without_an_archive_nothing_is_exported(sigs: Sigs, tmp_path: Path) -> None:
    ran = sigs("export", "all.sigs")
    said = b"linkscope: own.db: holds no archive that could be exported; `linkscope sigs add` learns some\n"
    assert (ran.stderr, ran.returncode) == (said, 2)
    assert not (tmp_path / "all.sigs").exists()
    sigs("add", archive(tmp_path, "one"))
    ran = sigs("export", "gone/file")
    assert (ran.stderr, ran.returncode) == (b"linkscope: gone/file: no such file or directory\n", 2)


def test_two_commands_at_the_same_time_both_succeed(sigs: Sigs, tmp_path: Path) -> None:
    paths = [archive(tmp_path / name, name) for name in ("left", "right", "middle")]
    with ThreadPoolExecutor(3) as pool:
        assert [ran.returncode for ran in pool.map(lambda path: sigs("add", path), paths)] == [0, 0, 0]
    assert {one.name for one in archives(sigs)} == {path.name for path in paths}


def _there(store: Path) -> set[str]:
    """The archives in a store, as SQLite reads it, which finds it whole."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {name for (name,) in connection.execute("SELECT name FROM archives")}


def test_whenever_it_is_killed_the_store_is_whole_or_as_it_was(sigs: Sigs, tmp_path: Path) -> None:
    """From its start to its end, more often while it writes, which is the last that it does."""
    sigs("add", archive(tmp_path / "before", "before"))
    store = tmp_path / "own.db"
    made = {archive(tmp_path / "new", name, 2).name for name in ("one", "two", "three")}
    untouched = store.read_bytes()
    start = time.monotonic()
    sigs("add", "new")
    whole = time.monotonic() - start
    assert _there(store) == {"libbefore.a", *made}
    after = {}
    for part in (0, 0.6, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1):
        store.write_bytes(untouched)
        process = subprocess.Popen(
            [*COMMAND, "sigs", "add", "new", "--store", store], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(part * whole)
        process.kill()
        process.communicate()
        after[part] = _there(store)
        assert after[part] in ({"libbefore.a"}, {"libbefore.a", *made})
    assert after[0] == {"libbefore.a"}
    assert sigs("add", "new").returncode == 0
    assert _there(store) == {"libbefore.a", *made}


def test_the_shipped_pack_is_listed_with_its_sources(sigs: Sigs) -> None:
    ran = sigs("list", "--format", "json", "zlib")
    rows = msgspec.json.decode(ran.stdout, type=SigsDocument).archives
    assert all(row.shipped and row.library == "zlib" for row in rows)
    found = {(row.distribution, row.architecture) for row in rows if row.name == "libz.a"}
    assert found >= {(f"debian {n}", machine) for n in (11, 12, 13) for machine in ("x86_64", "aarch64")}
    assert all(re.match(r"[^/]+\.deb!/", row.origin) for row in rows)
    assert len(Store(SHIPPED, fixed=True).filed()) > 800


# Long enough to be nobody else's: a chain of sums and products with numbers of its own.
_STEPS = " ".join(
    f"x = (x ^ {number * 2654435761 % 4294967296}u) * {number * 40503 + 7}u + (x >> {number % 23 + 3});"
    for number in range(1, 120)
)
_LIBRARY = f"unsigned secret(unsigned x) {{ {_STEPS} return x; }}\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A stripped program with a library of ours inside, whose archive lies beside it."""
    (tmp_path / "secret.c").write_text(_LIBRARY)
    (tmp_path / "main.c").write_text("unsigned secret(unsigned); int main(int n, char **v) { return secret(n); }\n")
    tool("gcc", "-O2", "-c", tmp_path / "secret.c", "-o", tmp_path / "secret.o")
    tool("ar", "rcs", tmp_path / "libsecret.a", tmp_path / "secret.o")
    tool("gcc", "-O2", "-s", tmp_path / "main.c", tmp_path / "libsecret.a", "-o", tmp_path / "app")
    return tmp_path / "app"


def test_a_library_of_ones_own_is_recognised_once_it_is_learnt(
    sigs: Sigs, linkscope: Linkscope, program: Path, tmp_path: Path
) -> None:
    def inspected(*options: str) -> dict[str, Any]:
        ran = linkscope("inspect", "--contents", "--format", "json", *options, program)
        assert ran.returncode == 0, ran.stderr
        (file,) = msgspec.json.decode(ran.stdout)["files"]
        return {one["name"]: one for one in file["contents"]} | {"code": file["code"]}

    assert "secret" not in inspected()
    sigs("add", "libsecret.a", "--library", "secret", "--library-version", "7", "--distribution", "ours")
    found = inspected("--store", "own.db")
    assert found["secret"]["version"] == "7"
    (proof,) = found["secret"]["evidence"]
    sizes = tool("size", "-A", tmp_path / "secret.o")
    (size,) = re.findall(r"^\.text +(\d+)", sizes, re.MULTILINE)
    assert (proof["archive"], proof["sections_matched"], proof["bytes_matched"]) == ("libsecret.a", 1, int(size))
    shares = {one["name"]: one["size"] for one in found["code"]["libraries"]}
    assert shares["secret"] == int(size)
    assert sum(shares.values()) == found["code"]["attributed"] <= found["code"]["size"]
    text = linkscope("inspect", "--contents", "--store", "own.db", "--no-shipped", program).stdout.decode()
    (row,) = [line for line in text.splitlines() if line.strip().startswith("code")]
    assert re.search(r"(\d+) % attributed: secret \1 %, \d+ % not attributed$", row)


def test_a_store_that_cannot_be_read_is_told_and_not_passed_over(linkscope: Linkscope, program: Path) -> None:
    program.with_name("broken").write_text("no store\n" * 100)
    gone = linkscope("inspect", "--contents", "--store", "gone", program)
    assert (gone.returncode, gone.stderr) == (2, b"linkscope: gone: no such file or directory\n")
    broken = linkscope("inspect", "--contents", "--store", "broken", program)
    assert broken.returncode == 2
    assert re.fullmatch(rb"linkscope: \S*app: [^\n]*broken: is no store of signatures[^\n]*\n", broken.stderr)
    alone = linkscope("inspect", "--store", "broken", program)
    assert (alone.returncode, b"go with --contents" in alone.stderr) == (2, True)


def test_a_database_of_packages_that_cannot_be_read_is_an_error_and_the_archives_are_learnt(
    sigs: Sigs, tmp_path: Path
) -> None:
    """Whose they are, nobody can say then; the store keeps what the archives say themselves."""
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    shutil.copy(archive(tmp_path, "foo"), root / "usr/lib/libfoo.a")
    (root / "var/lib/rpm").mkdir(parents=True)
    (root / "var/lib/rpm/rpmdb.sqlite").write_bytes(b"no database".ljust(4096))
    ran = sigs("add", "--installed", "--root", root, "--format", "json")
    document = msgspec.json.decode(ran.stdout, type=SigsDocument)
    assert ran.returncode == 2
    (error,) = document.errors
    assert (error.path, error.error[:36]) == ("/var/lib/rpm", "rpm's database cannot be read: file ")
    assert [one.name for one in document.archives] == ["libfoo.a"]

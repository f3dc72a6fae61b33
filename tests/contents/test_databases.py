"""The packages that are installed: each database as the tool itself has written it, and what it lists is the judge."""

import contextlib
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkscope.contents.bounded import MOST_PACKAGES
from linkscope.contents.databases import Package, installed_packages
from linkscope.loader.root import Root
from linkscope.packages.metadata import Metadata
from tests.elf.samples import tool
from tests.oracle import rpms
from tests.oracle.availability import Unavailable
from tests.packages import makers

_FILES = 600  # so that a header does not fit into one page


def _read(root: Path) -> tuple[list[Package], list[str]]:
    problems: list[str] = []
    return list(installed_packages(Root(os.fspath(root)), problems)), problems


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of many files, the names of which are long."""
    folder = tmp_path_factory.mktemp("rpm")
    for number in range(_FILES):
        place = folder / f"tree/etc/of-a-folder-with-a-long-name-{number % 7}/file-{number:05}.conf"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    (folder / "tree/usr/bin").mkdir(parents=True)
    shutil.copy(shutil.which("true") or "/bin/true", folder / "tree/usr/bin/app")
    return makers.rpm(folder / "tree", folder / "app.rpm")


@pytest.mark.parametrize("form", rpms.FORMS)
@pytest.mark.parametrize("place", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_rpms_database_is_read_in_each_of_its_forms(form: str, place: str, package: Path, tmp_path: Path) -> None:
    names = rpms.installed(tmp_path / place, form, package)
    assert len(names) > _FILES
    ((found,), problems) = _read(tmp_path)
    assert problems == []
    assert sorted(found.files) == sorted(names)
    assert (found.metadata.name, found.metadata.version) == ("app", "1:2.0-3")
    source = makers.run("rpm", "-qp", "--qf", "%{SOURCERPM}", package).decode()
    assert f"{found.metadata.source}-{found.metadata.source_version}.src.rpm" == source


@pytest.fixture(scope="module", params=rpms.FORMS)
def database(request: pytest.FixtureRequest, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database of each form."""
    folder = tmp_path_factory.mktemp("whole") / "var/lib/rpm"
    rpms.installed(folder, request.param, package)
    return folder / rpms.FORMS[request.param][1]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_database_of_rpm_is_a_problem_or_read(
    share: float, byte: int, cut: bool, database: Path, tmp_path: Path
) -> None:
    data = bytearray(database.read_bytes())
    at = int(share * (len(data) - 1))
    if cut:
        del data[at:]
    else:
        data[at] = byte
    folder = tmp_path / "var/lib/rpm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / database.name).write_bytes(data)
    found, problems = _read(tmp_path)
    assert len(found) <= 1
    assert all("cannot be read" in problem and "\n" not in problem for problem in problems)


def test_a_name_in_it_that_is_no_text_is_a_problem_too(tmp_path: Path) -> None:
    """SQLite repeats it in its message, which CPython then cannot decode."""
    folder = tmp_path / "var/lib/rpm"
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "rpmdb.sqlite")) as connection:
        connection.execute("CREATE TABLE Packages (blob BLOB)")
        connection.execute("CREATE INDEX Another ON Packages (blob)")
        connection.commit()
    data = (folder / "rpmdb.sqlite").read_bytes()
    (folder / "rpmdb.sqlite").write_bytes(data.replace(b"INDEX Another", b"I\x80\x80EX Another"))
    found, (problem,) = _read(tmp_path)
    assert found == []
    assert problem.startswith("/var/lib/rpm: rpm's database cannot be read: ")


_WITHIN = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from linkscope.contents.databases import installed_packages
from linkscope.loader.root import Root
problems = []
print(sum(1 for _ in installed_packages(Root(sys.argv[1]), problems)), *problems, sep="\\n")
"""


def _read_within_bounds(root: Path) -> tuple[int, list[str]]:
    """How many packages there are, and what is said, by a process that has 1 GiB and a minute."""
    ran = subprocess.run([sys.executable, "-c", _WITHIN, root], capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    count, *problems = ran.stdout.splitlines()
    return int(count), problems


_EMPTY = "x'0000000000000000'"  # a header without anything
_ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c)"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES (-1)",
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES (4611686018427387904)",
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES (3000000000)",
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES ('text')",
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES (NULL)",
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES (zeroblob(99000000))",
        "CREATE VIEW Packages AS SELECT zeroblob(900000000) AS blob",
        f"CREATE VIEW Packages AS {_ENDLESS} SELECT {_EMPTY} AS blob FROM c",
        "CREATE TABLE Packages (x, blob AS (zeroblob(900000000))); INSERT INTO Packages VALUES (1)",
        "CREATE VIRTUAL TABLE Packages USING fts5(blob)",
        "CREATE TABLE Another (blob)",
    ],
)
def test_a_database_of_sqlite_that_is_none_of_rpm_s_costs_little_and_is_one_problem(sql: str, tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/rpm"
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "rpmdb.sqlite")) as connection:
        connection.executescript(sql)
        connection.commit()
    count, (problem,) = _read_within_bounds(tmp_path)
    assert count == 0
    assert problem.startswith("/var/lib/rpm: rpm's database cannot be read: ")


def test_slots_that_all_lead_to_one_package_are_a_problem(package: Path, tmp_path: Path) -> None:
    """Of a real database: its slots follow one another up to the first package."""
    folder = tmp_path / "var/lib/rpm"
    rpms.installed(folder, "ndb", package)
    data = bytearray((folder / "Packages.db").read_bytes())
    (pages,) = struct.unpack_from("<I", data, 12)
    slots = range(32, pages * 4096, 16)
    (used,) = (at for at in slots if data[at + 8 : at + 12] != bytes(4))
    for at in slots:
        data[at : at + 16] = data[used : used + 16]
    (folder / "Packages.db").write_bytes(data)
    found, problems = _read(tmp_path)
    assert 0 < len(found) < 10 < len(slots)
    assert problems == ["/var/lib/rpm: rpm's database cannot be read: is damaged: more packages than it has bytes for"]


def test_more_packages_than_anybody_has_are_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/rpm"
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "rpmdb.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE Packages (blob);"
            f"INSERT INTO Packages {_ENDLESS} SELECT {_EMPTY} FROM c LIMIT {MOST_PACKAGES + 1}"
        )
        connection.commit()
    count, (problem,) = _read_within_bounds(tmp_path)
    assert count == MOST_PACKAGES
    assert "the rest is not looked at" in problem


@pytest.mark.parametrize("name", [name for _, name in rpms.FORMS.values()])
def test_what_is_no_file_is_not_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    os.mkfifo(tmp_path / "var/lib/rpm" / name)
    assert _read_within_bounds(tmp_path) == (
        0,
        ["/var/lib/rpm: rpm's database cannot be read: is a FIFO, not a regular file"],
    )


def test_the_packages_of_this_machine_are_those_that_dpkg_lists() -> None:
    if shutil.which("dpkg-query") is None:
        raise Unavailable("dpkg-query is not here")
    found, _ = _read(Path("/"))
    form = "${db:Status-Status} ${Package} ${Architecture} ${Version} ${source:Package} ${source:Version}\n"
    rows = tool("dpkg-query", "-W", "-f", form).splitlines()
    listed = {tuple(row.split()[1:]) for row in rows if row.startswith("installed ")}
    assert listed
    assert {_told(one.metadata) for one in found} == listed
    for one in found[:: max(1, len(found) // 10)]:
        files = set(tool("dpkg-query", "-L", f"{one.metadata.name}:{one.metadata.architecture}").splitlines())
        if not any("diver" in line and not line.startswith("/") for line in files):
            assert set(one.files) == files


def _told(said: Metadata) -> tuple[str | None, ...]:
    """What dpkg says of a package; it takes the source's version to be its own where the source says none."""
    return said.name, said.architecture, said.version, said.source, said.source_version or said.version


def dpkg(root: Path, **packages: list[str]) -> None:
    """A database as dpkg writes it."""
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    for name, files in packages.items():
        (info / f"{name}:amd64.list").write_text("\n".join(("/.", *files, "")))
    (info / "format").write_text("1\n")
    said = "Maintainer: a\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1\nDescription: a\n"
    (root / "var/lib/dpkg/status").write_text(
        "\n".join(f"Package: {name}\nStatus: install ok installed\n{said}" for name in packages)
    )


def test_what_is_diverted_lies_elsewhere_and_the_path_is_the_diverting_package_s(tmp_path: Path) -> None:
    """As dpkg-divert(1) writes it: the path, its new place, and for whom; `:` is an administrator's own."""
    gl, egl = "/usr/lib/libGL.so.1", "/usr/lib/libEGL.so.1"
    dpkg(tmp_path, mesa=["/usr", gl, egl], nvidia=[gl], wrapper=["/usr"])
    (tmp_path / "var/lib/dpkg/diversions").write_text(
        f"{gl}\n/usr/lib/mesa/libGL.so.1\nnvidia\n{egl}\n{egl}.distrib\n:\n/usr/bin/x\n/usr/bin/x.orig\nwrapper\n"
    )
    found = {one.metadata.name: set(one.files) - {"/.", "/usr"} for one in _read(tmp_path)[0]}
    assert found == {
        "mesa": {"/usr/lib/mesa/libGL.so.1", f"{egl}.distrib"},
        "nvidia": {gl},
        "wrapper": {"/usr/bin/x"},  # made when it was installed
    }


def test_a_package_that_is_said_twice_is_one_and_no_list_is_anybody_else_s(tmp_path: Path) -> None:
    dpkg(tmp_path, app=["/usr/bin/app"], other=["/usr/bin/other"])
    status, info = tmp_path / "var/lib/dpkg/status", tmp_path / "var/lib/dpkg/info"
    said = status.read_text()
    (info / "app:amd64.list").rename(info / "app.list")
    strange = said.replace("Package: ", "Package: ../info/")
    status.write_text("\n".join((said, said, said.replace("amd64", "arm64"), strange)))
    packages, (problem,) = _read(tmp_path)
    found = {(one.metadata.name, one.metadata.architecture): one.files for one in packages}
    assert len(packages) == len(found) == 4
    assert problem.endswith(": app: no list of its files (and 1 more)")
    assert found["app", "amd64"] == ["/.", "/usr/bin/app"]
    assert found["other", "amd64"] == ["/.", "/usr/bin/other"]
    assert found["app", "arm64"] == found["other", "arm64"] == []


def test_many_diversions_take_no_time(tmp_path: Path) -> None:
    names = [f"/usr/bin/{number}" for number in range(80_000)]
    dpkg(tmp_path, app=names)
    (tmp_path / "var/lib/dpkg/diversions").write_text("".join(f"{name}\n{name}.real\nother\n" for name in names))
    assert _read_within_bounds(tmp_path) == (1, [])


def test_a_package_of_apk_that_would_take_gigabytes_is_a_problem(tmp_path: Path) -> None:
    """Its folder is said once, and stands before each of its files."""
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    text = f"P:musl\nF:lib\nR:libc.so\n\nP:app\nF:{'x' * 1_000_000}\n" + "R:a\n" * 10_000
    (tmp_path / "lib/apk/db/installed").write_text(text)
    count, (problem,) = _read_within_bounds(tmp_path)
    assert count == 1
    assert problem.startswith("/lib/apk/db/installed: apk's database cannot be read: has files whose names take more")


_SCRIPT = "#!/bin/sh\n{}\n"


def test_what_is_unpacked_and_not_configured_is_there_too(tmp_path: Path) -> None:
    """dpkg itself brings packages into each state, in a root of its own, and says which one it is."""
    if shutil.which("dpkg") is None or os.geteuid() != 0:
        raise Unavailable("dpkg is not here, or gives files to root in vain")
    admin = tmp_path / "root/var/lib/dpkg"
    for folder in ("info", "updates", "triggers"):
        (admin / folder).mkdir(parents=True)
    (admin / "status").touch()

    def by_dpkg(*arguments: str | Path) -> None:
        command = ["dpkg", f"--root={tmp_path}/root", f"--admindir={admin}", "--force-not-root,script-chrootless"]
        subprocess.run([*command, "--log=/dev/null", *arguments], capture_output=True)

    def made(name: str, **parts: str) -> Path:
        tree = tmp_path / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/bin").mkdir(parents=True)
        (tree / "usr/bin" / name).write_text(name)
        said = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n"
        (tree / "DEBIAN/control").write_text(said)
        for part, text in parts.items():
            (tree / "DEBIAN" / part).write_text(text)
            (tree / "DEBIAN" / part).chmod(0o755)
        output = tmp_path / f"{name}.deb"
        makers.run("dpkg-deb", "--root-owner-group", "--build", tree, output)
        return output

    by_dpkg("--install", made("whole"))
    by_dpkg("--unpack", made("unpacked"))
    by_dpkg("--install", made("failing", postinst=_SCRIPT.format("exit 1")))
    by_dpkg("--install", made("leftover", postrm=_SCRIPT.format("exit 0")))
    by_dpkg("--remove", "leftover")
    by_dpkg("--install", made("interested", triggers="interest /usr/bin\n", postinst=_SCRIPT.format("exit 0")))
    by_dpkg("--no-triggers", "--install", made("awaiting"))
    form = "${Package} ${db:Status-Status}\n"
    rows = tool("dpkg-query", f"--admindir={admin}", "-W", "-f", form).splitlines()
    states = dict(row.split() for row in rows)
    assert set(states.values()) == {
        "installed",
        "unpacked",
        "half-configured",
        "triggers-pending",
        "triggers-awaited",
        "config-files",
    }, states
    found = {one.metadata.name: one.files for one in _read(tmp_path / "root")[0]}
    for name in states:
        listed = tool("dpkg-query", f"--admindir={admin}", "-L", name).splitlines()
        assert found.get(name, []) == [path for path in listed if (tmp_path / "root" / path[1:]).exists()], name


def test_an_image_without_dpkg_has_a_file_for_each_package(tmp_path: Path) -> None:
    """As distroless makes it: what dpkg-deb says are the fields, and the md5sums of the control archive."""
    tree, admin = tmp_path / "tree", tmp_path / "root/var/lib/dpkg/status.d"
    admin.mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/app").write_text("app")
    (tree / "usr/bin/an other").write_text("other")
    sums = makers.run("md5sum", "usr/bin/app", "usr/bin/an other", cwd=tree)
    package = makers.deb(tree, tmp_path / "app.deb")
    (admin / "app").write_bytes(makers.run("dpkg-deb", "--field", package))
    (admin / "app.md5sums").write_bytes(sums)
    (admin / "tzdata").write_text("Package: tzdata\nVersion: 2024a-0\nArchitecture: all\n")
    (admin / "tzdata.md5sums").write_text("")
    found, problems = _read(tmp_path / "root")
    assert problems == []
    name, version = makers.run("dpkg-deb", "-W", "--showformat=${Package} ${Version}", package).decode().split()
    (app,) = (one for one in found if one.metadata.name == name)
    assert (app.metadata.version, app.manager) == (version, "deb")
    inside = {line.split("./", 1)[1] for line in makers.run("dpkg-deb", "-c", package).decode().splitlines()}
    assert sorted(app.files) == sorted(f"/{path}" for path in inside if path and not path.endswith("/"))
    assert {one.metadata.name for one in found} == {name, "tzdata"}


def _fifo(place: Path) -> None:
    os.mkfifo(place)


def _loop(place: Path) -> None:
    place.symlink_to(place.name)


def _huge(place: Path) -> None:
    place.touch()
    os.truncate(place, 1 << 40)


@pytest.mark.parametrize("spoiled", [_fifo, _loop, _huge, Path.mkdir])
@pytest.mark.parametrize(
    "name",
    [
        "var/lib/dpkg/status",
        "var/lib/dpkg/info/app:amd64.list",
        "var/lib/dpkg/diversions",
        "lib/apk/db/installed",
        "var/lib/rpm/rpmdb.sqlite",
        "var/lib/rpm/Packages",
    ],
)
def test_what_is_there_and_cannot_be_read_is_one_problem(
    name: str, spoiled: Callable[[Path], None], tmp_path: Path
) -> None:
    """It is not as if there were none: then an SBOM is without packages, and nobody is told."""
    if "dpkg" in name:
        dpkg(tmp_path, app=["/usr/bin/app"], other=["/usr/bin/other"])
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    spoiled(place)
    found, (problem,) = _read(tmp_path)
    assert "database cannot be read: " in problem
    assert "\n" not in problem
    assert ("other" in {one.metadata.name for one in found}) == ("info" in name or "diversions" in name)


def test_what_rpm_has_not_yet_taken_over_from_its_log_is_read_too(tmp_path: Path) -> None:
    folder = tmp_path / "root/var/lib/rpm"
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "rpmdb.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # as rpm has it
        connection.execute("CREATE TABLE Packages (blob)")
        connection.execute(f"INSERT INTO Packages VALUES ({_EMPTY})")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute(f"INSERT INTO Packages VALUES ({_EMPTY})")
        connection.commit()
        for name in ("rpmdb.sqlite", "rpmdb.sqlite-wal"):
            shutil.copy(tmp_path / name, folder / name)
    found, problems = _read(tmp_path / "root")
    assert (len(found), problems) == (2, [])

"""What a path holds: packages are looked at as if they were installed, and by name below folders."""

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.diff import diff
from linkscope.model.check import CheckDocument
from tests.oracle.availability import Unavailable

FixtureFile = Callable[[str], Path]


def _rules(document: CheckDocument) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in document.findings:
        found.setdefault(finding.path, set()).add(finding.rule)
    return found


@pytest.fixture
def chain(fixture_file: FixtureFile) -> Path:
    """A program whose libraries lie beside it, found by $ORIGIN."""
    return fixture_file("diff/new/app").parent


def _zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"pkg/{path.name}")
    return target


def test_a_program_finds_the_libraries_of_its_own_package(chain: Path, tmp_path: Path) -> None:
    document = check([str(_zipped(chain, tmp_path / "release.zip"))])
    assert document.summary.files == len(list(chain.iterdir()))
    assert document.summary.errors == 0
    assert f"{tmp_path}/release.zip!/pkg/app" in _rules(document)


def test_without_its_library_the_same_program_does_not_start(chain: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        archive.write(chain / "app", "pkg/app")
    (error,) = [f for f in check([str(tmp_path / "release.zip")]).findings if f.level == "error"]
    assert (error.rule, error.subject) == ("missing-library", "libpart.so.1")


def test_a_debian_package_is_seen_as_installed(chain: Path, tmp_path: Path) -> None:
    """Its library lies in a folder that the loader searches, and its program has no search path at all."""
    if shutil.which("dpkg-deb") is None:
        raise Unavailable("dpkg-deb is not here")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: part\nVersion: 1\nArchitecture: amd64\nMaintainer: nobody <n@example.org>\nDescription: part\n"
    )
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/bin").mkdir()
    shutil.copy(chain / "libpart.so.1", tree / "usr/lib")
    shutil.copy(chain / "app", tree / "usr/bin")
    (tree / "usr/bin/app").chmod(0o4755)
    package = tmp_path / "part.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, package], check=True, capture_output=True)
    found = _rules(check([str(package)]))
    assert "missing-library" not in found[f"{package}!/usr/bin/app"]
    assert "setuid-file" in found[f"{package}!/usr/bin/app"]


def test_packages_below_a_folder_are_looked_into(chain: Path, tmp_path: Path) -> None:
    _zipped(chain, tmp_path / "release.whl")
    shutil.copy(chain / "tool", tmp_path / "tool")
    (tmp_path / "notes.txt").write_text("nothing to see")
    document = check([str(tmp_path)])
    assert document.summary.files == 1 + len(list(chain.iterdir()))
    assert document.errors == []


def test_a_file_below_a_folder_that_is_only_called_a_package_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.whl").write_text("not a zip")
    (error,) = check([str(tmp_path)]).errors
    assert os.path.basename(error.path) == "broken.whl"
    assert error.error.startswith("is called a package, and is none")


def test_two_packages_are_compared_file_by_file(fixture_file: FixtureFile, tmp_path: Path) -> None:
    old, new = (
        _zipped(fixture_file(f"diff/{one}/app").parent, tmp_path / f"part-{number}.zip")
        for number, one in enumerate(("old", "new"))
    )
    found = {
        (change.code, change.path.partition("!/")[2], change.subject) for change in diff(str(old), str(new)).changes
    }
    assert ("symbol-removed", "pkg/libpart.so.1", "gone") in found
    assert ("floor-raised", "pkg/app", "GLIBC") in found
    assert ("file-added", "pkg/tool", "") in found


def test_nothing_of_a_package_is_left_behind(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    check([str(_zipped(chain, tmp_path / "release.zip"))])
    assert list(place.iterdir()) == []

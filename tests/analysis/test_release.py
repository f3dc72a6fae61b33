"""What a path holds: packages are looked at as if they were installed, and by name below folders."""

import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check, check_each
from linkscope.analysis.diff import diff
from linkscope.analysis.initial import observe_each
from linkscope.analysis.request import Assumptions
from linkscope.analysis.targets import targets
from linkscope.model.check import CheckDocument
from linkscope.policy.initial import Observed, written
from linkscope.policy.terms import Group, Policy, Waiver
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import executable, shared_object
from tests.policy.preparations import for_another_machine

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


def _image(tmp_path: Path, chain: Path) -> Path:
    """A root file system as a tar: with a symlink to what the kernel mounts, and a device."""
    link, device = tarfile.TarInfo("etc/mtab"), tarfile.TarInfo("dev/null")
    link.type, link.linkname = tarfile.SYMTYPE, "/proc/self/mounts"
    device.type = tarfile.CHRTYPE
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        archive.add(chain, "opt")
        archive.addfile(link)
        archive.addfile(device)
    return tmp_path / "image.tar"


def test_what_is_odd_about_an_archive_is_a_finding_that_can_be_accepted(chain: Path, tmp_path: Path) -> None:
    """An image of a system has no other choice; an error is only what could not be read."""
    image = str(_image(tmp_path, chain))
    document = check([image])
    assert document.errors == []
    odd = [finding for finding in document.findings if finding.rule == "odd-archive"]
    assert [(one.path, one.level, one.subject) for one in odd] == [
        (image, "warning", "symlink-out"),
        (image, "warning", "special-file"),
    ]
    assert document.summary.files == len(list(chain.iterdir()))
    waiver = Waiver(rule="odd-archive", path="image.tar", reason="it is one of a whole system")
    accepted = check([image], Policy(waivers=(waiver,))).findings
    assert {one.status for one in accepted if one.rule == "odd-archive"} == {"waived"}
    silent = Policy(groups=(Group(paths=("**",), levels={"odd-archive": "off"}),))
    assert not any(one.rule == "odd-archive" for one in check([image], silent).findings)


def test_a_policy_made_of_an_image_is_obeyed_by_it(chain: Path, tmp_path: Path) -> None:
    found = [one for one in observe_each([str(_image(tmp_path, chain))]) if isinstance(one, Observed)]
    assert "odd-archive" not in written(found)


@pytest.mark.parametrize("name", ["release", "lib", "usr", "opt2"])
def test_what_a_package_is_called_finds_it_nothing(name: str, tmp_path: Path) -> None:
    """`lib` is not laid over /lib, and /opt2/lib does not lie in what is called opt2."""
    machine = "x86_64-linux-gnu"
    tree = tmp_path / "tree"
    for folder in ("lib", machine, f"lib/{machine}"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
        shared_object(tree / folder / "libonly.so.1", soname="libonly.so.1")
    executable(tree / "app", needed=("libonly.so.1",), runpath="/opt2/lib")
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(tree.rglob("*")):
            archive.write(file, file.relative_to(tree))
    assert "missing-library" in _rules(check([str(path)]))[f"{path}!/app"]


def test_only_one_package_at_a_time_lies_unpacked(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a folder as well as named one by one; and the results come in the order of the names."""
    place, release = tmp_path / "tmp", tmp_path / "release"
    place.mkdir()
    release.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    for number in (1, 2, 4, 5):
        _zipped(chain, release / f"{number}.zip")
    shutil.copy(chain / "tool", release / "3")
    for paths in ([str(release)], [str(path) for path in sorted(release.iterdir())]):
        seen: list[int] = []
        names: list[str] = []
        for result in check_each(paths, Policy(), Assumptions(), frozenset()):
            seen.append(len(list(place.iterdir())))
            names.append(result.path.partition("!/")[0])
        assert set(seen) == {0, 1}
        assert sorted(set(names)) == list(dict.fromkeys(names))
        assert len(names) == 1 + 4 * len(list(chain.iterdir()))
    for command in (lambda: diff(str(release), str(release)), lambda: targets([str(release)], ["debian:12"])):
        command()
        assert list(place.iterdir()) == []


def _in_lzma(content: bytes, dictionary: int) -> bytes:
    """CONTENT in the older format of xz, with the claim of a DICTIONARY of so many bytes (lzma-file-format.txt)."""
    packed = lzma.compress(content, lzma.FORMAT_ALONE)
    return packed[:1] + dictionary.to_bytes(4, "little") + packed[5:]


def _greedy(kind: str, chain: Path) -> bytes:
    """A package that takes 192 MiB to be unpacked: as a whole, so that its kind cannot even be told, or within."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        archive.add(chain / "app", "app")
    data = _in_lzma(output.getvalue(), 192 << 20)
    if kind == "tar":
        return data
    head = b"%-16s%-12d%-6d%-6d%-8s%-10d`\n"
    return b"!<arch>\n" + b"".join(
        head % (name, 0, 0, 0, b"100644", len(part)) + part + b"\n" * (len(part) % 2)
        for name, part in ((b"debian-binary", b"2.0\n"), (b"data.tar.lzma", data))
    )


_LIMITED = """
import resource, sys
from linkscope.analysis.check import check
import linkscope.packages.unpacked, linkscope.policy.catalogue
linkscope.policy.catalogue.rules()
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (100 << 20), now + (100 << 20)))
found = check(sys.argv[1:])
print(*(f"{error.path} {error.error}" for error in found.errors), found.summary.files, sep="\\n")
"""


@pytest.mark.parametrize("kind", ["tar", "deb"])
def test_a_package_that_takes_too_much_memory_costs_no_other_its_answer(kind: str, chain: Path, tmp_path: Path) -> None:
    (tmp_path / "1.pkg").write_bytes(_greedy(kind, chain))
    _zipped(chain, tmp_path / "2.zip")
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, tmp_path / "1.pkg", tmp_path / "2.zip"], capture_output=True, text=True
    )
    error, files = done.stdout.splitlines()
    assert error.startswith(f"{tmp_path}/1.pkg takes more memory than there is")
    assert int(files) == len(list(chain.iterdir()))


def test_nothing_of_a_package_is_left_behind(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    check([str(_zipped(chain, tmp_path / "release.zip"))])
    assert list(place.iterdir()) == []


def test_a_folder_or_package_without_files_is_an_error(tmp_path: Path) -> None:
    """A gate that looked at nothing must not be green."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.txt").write_text("nothing")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    for name in ("empty", "empty.zip"):
        document = check([str(tmp_path / name)])
        assert [error.error for error in document.errors] == [
            "holds no ELF file and no package, so that nothing was looked at"
        ]
        assert diff(str(tmp_path / name), str(tmp_path / name)).errors


def test_a_setuid_program_is_judged_as_an_ordinary_user_starts_it(fixture_file: FixtureFile) -> None:
    """Whoever runs the check: the loader drops $ORIGIN, and finds nothing in the folder beside the program."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        shutil.copytree(fixture_file("diff/old/app").parent, f"{place}/old")
        program = Path(place, "old/app")
        assert not {finding.rule for finding in check([str(program)]).findings if finding.level == "error"}
        program.chmod(0o4755)
        (error,) = [finding for finding in check([str(program)]).findings if finding.level == "error"]
        assert (error.rule, error.subject) == ("missing-library", "libpart.so.1")
        if os.geteuid() == 0:
            said = subprocess.run([program], user=65534, group=65534, extra_groups=(), capture_output=True).stderr
            assert b"libpart.so.1: cannot open shared object file" in said


def test_the_callers_working_directory_serves_no_package(
    fixture_file: FixtureFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts what is in it is somewhere else: a relative search path finds nothing."""
    relative = fixture_file("chain/runpath-relative/app")
    monkeypatch.chdir(relative.parent)
    assert not [finding for finding in check([str(relative)]).findings if finding.rule == "missing-library"]
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        archive.write(relative, "app")
    assert [
        finding.rule for finding in check([str(tmp_path / "release.zip")]).findings if finding.level == "error"
    ] == ["missing-library"]


def test_a_file_outside_the_root_is_said_to_be_outside(fixture_file: FixtureFile, tmp_path: Path) -> None:
    (error,) = check([str(fixture_file("diff/old/app"))], assumptions=Assumptions(root=str(tmp_path))).errors
    assert error.error.startswith("not inside --root")


def test_what_a_package_for_another_machine_brings_along_is_not_asked_of_the_target(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """There is no loader here that would search: what the package has by that name is what its own loader finds."""
    shutil.copytree(fixture_file("diff/old/app").parent, tmp_path / "old")
    for name in ("app", "libpart.so.1"):
        for_another_machine(tmp_path / "old" / name)
    policy = Policy(groups=(Group(paths=("**",), settings={"target": ("manylinux_2_34",)}),))
    for path in (tmp_path / "old", _zipped(tmp_path / "old", tmp_path / "release.zip")):
        subjects = {one.subject for one in check([str(path)], policy).findings if one.rule == "library-not-in-target"}
        assert "libpart.so.1" not in subjects
    (tmp_path / "old/libpart.so.1").unlink()
    lonely = check([str(tmp_path / "old/app")], policy).findings
    assert "libpart.so.1" in {one.subject for one in lonely if one.rule == "library-not-in-target"}

"""What is in a package is what the tool of its format unpacks: ELF files, their bytes and modes, and symlinks."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.elf.reader import open_reader
from linkscope.errors import NotAPackage
from linkscope.packages.formats import FORMATS, format_of
from linkscope.packages.member import member_path
from linkscope.packages.unpacked import unpacked
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import shared_object
from tests.oracle.roots import cache_folder
from tests.packages import makers
from tests.packages.trees import furnish, in_folder, look

Maker = Callable[[Path, Path], Path]
PACKAGES: dict[str, tuple[str, Maker]] = {
    "deb, gzip": ("deb", lambda tree, output: makers.deb(tree, output, "gzip")),
    "deb, xz": ("deb", lambda tree, output: makers.deb(tree, output, "xz")),
    "deb, zstd": ("deb", lambda tree, output: makers.deb(tree, output, "zstd")),
    "deb, not compressed": ("deb", lambda tree, output: makers.deb(tree, output, "none")),
    "rpm, gzip": ("rpm", lambda tree, output: makers.rpm(tree, output, "w9.gzdio")),
    "rpm, bzip2": ("rpm", lambda tree, output: makers.rpm(tree, output, "w9.bzdio")),
    "rpm, xz": ("rpm", lambda tree, output: makers.rpm(tree, output, "w2.xzdio")),
    "rpm, lzma": ("rpm", lambda tree, output: makers.rpm(tree, output, "w2.lzdio")),
    "rpm, zstd": ("rpm", lambda tree, output: makers.rpm(tree, output, "w3.zstdio")),
    "rpm, not compressed": ("rpm", lambda tree, output: makers.rpm(tree, output, "w.ufdio")),
    "tar": ("tar", makers.tar),
    "tar, ustar": ("tar", lambda tree, output: makers.tar(tree, output, "--format=ustar")),
    "tar, v7": ("tar", lambda tree, output: makers.tar(tree, output, "--format=v7")),
    "tar, pax": ("tar", lambda tree, output: makers.tar(tree, output, "--format=pax")),
    "tar, sparse": ("tar", lambda tree, output: makers.tar(tree, output, "--sparse")),
    "tar, sparse, pax": ("tar", lambda tree, output: makers.tar(tree, output, "--sparse", "--format=pax")),
    "tar, gzip": ("tar", lambda tree, output: makers.tar(tree, output, "--gzip")),
    "tar, bzip2": ("tar", lambda tree, output: makers.tar(tree, output, "--bzip2")),
    "tar, xz": ("tar", lambda tree, output: makers.tar(tree, output, "--xz")),
    "tar, zstd": ("tar", lambda tree, output: makers.tar(tree, output, "--zstd")),
    "zip": ("zip", makers.zipped),
    "zip, stored": ("zip", lambda tree, output: makers.zipped(tree, output, "-0")),
    "zip, bzip2": ("zip", lambda tree, output: makers.zipped(tree, output, "-Z", "bzip2")),
    "apk": ("apk", makers.apk),
}


@pytest.mark.parametrize("label", PACKAGES)
def test_what_is_in_a_package_is_what_its_tool_unpacks(label: str, tmp_path: Path) -> None:
    """Setuid bits, hard links and symlinks included; and the name of the file says nothing of its format."""
    name, make = PACKAGES[label]
    tree = furnish(tmp_path / "tree")
    holey = tree / "usr/lib/libholey.so"
    shared_object(holey)
    with open(holey, "r+b") as file:
        file.truncate(3 << 20)
        file.seek(2 << 20)
        file.write(b"far away")
    made = make(tree, tmp_path / "made.zip" if name == "zip" else tmp_path / "made.package")
    found = look(made.rename(tmp_path / "anything"), tmp_path)
    judged = tmp_path / "judged"
    judged.mkdir()
    makers.UNPACKERS[name](tmp_path / "anything", judged)
    assert (found.package.format, found.problems) == (name, {})
    assert found.seen == in_folder(judged)
    assert found.package.layout == ("root" if name in ("deb", "rpm", "apk") else "folder")
    if name != "zip":  # which keeps each as a file of its own
        assert len(found.seen.files) == len(set(found.seen.files)) >= 6
    if name == "rpm":
        assert [path for path, kept in found.package.files.items() if kept.capabilities] == ["usr/bin/capable"]


LISTERS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "dpkg-deb -c": (
        "deb, xz",
        lambda path: makers.run("tar", "-t", data=makers.run("dpkg-deb", "--fsys-tarfile", path)),
    ),
    "rpm2cpio | cpio -t": (
        "rpm, zstd",
        lambda path: makers.run("cpio", "-t", "--quiet", data=makers.run("rpm2cpio", path)),
    ),
    "tar -t": ("tar, gzip", lambda path: makers.run("tar", "-tf", path)),
    "unzip -l": ("zip", lambda path: makers.run("unzip", "-Z1", path)),
}


@pytest.mark.parametrize("tool", LISTERS)
def test_no_member_goes_uncounted(tool: str, tmp_path: Path) -> None:
    """Files and links of interest, and those that are left out, are as many as the tool lists, folders aside."""
    label, listing = LISTERS[tool]
    tree = furnish(tmp_path / "tree")
    if tool != "unzip -l":
        (tree / "usr/lib/many words/lïb.so").rename(
            tree / "usr/lib/many words/lib.so"
        )  # which tar and cpio would quote
    made = PACKAGES[label][1](tree, tmp_path / "made.zip")
    found = look(made, tmp_path)
    listed = makers.without_folders(makers.names_of(listing(made)), tree)
    assert len(found.seen.files) + len(found.seen.links) + found.package.skipped == len(listed)


def test_packages_say_what_they_are(tmp_path: Path) -> None:
    """The judges are dpkg-deb and rpm."""
    debian = makers.deb(furnish(tmp_path / "a"), tmp_path / "a.deb")
    red_hat = makers.rpm(furnish(tmp_path / "b"), tmp_path / "b.rpm")
    alpine = makers.apk(furnish(tmp_path / "c"), tmp_path / "c.apk")
    said = [look(path, tmp_path).package.metadata for path in (debian, red_hat, alpine)]
    fields = "${Package}\n${Version}\n${Architecture}"
    asked = [
        makers.run("dpkg-deb", "--show", "--showformat", fields, debian).decode().split("\n"),
        makers.run("rpm", "-qp", "--qf", "%{NAME}\n%{EVR}\n%{ARCH}", red_hat).decode().split("\n"),
        ["app", "2.0-r3", "x86_64"],
    ]
    assert [[one.name, one.version, one.architecture] for one in said] == asked


def _wheel() -> Path:
    folder = cache_folder() / "wheels"
    folder.mkdir(exist_ok=True)
    command = (*(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-q", "-d", folder),)
    if not list(folder.glob("msgspec-0.19.0-*.whl")):
        done = subprocess.run([*command, "msgspec==0.19.0"], capture_output=True)
        if done.returncode:
            raise Unavailable("the wheel of msgspec cannot be downloaded")
    return next(folder.glob("msgspec-0.19.0-*.whl"))


def test_a_real_wheel(tmp_path: Path) -> None:
    """Its files are those that zipfile has, its tags those of its name."""
    wheel = _wheel()
    found = look(wheel, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}
    assert found.package.format == "wheel"
    assert {path: content for path, (_, content) in found.seen.files.items()} == {
        name: content for name, content in contents.items() if content.startswith(b"\x7fELF")
    }
    assert found.package.skipped == len(contents) - len(found.seen.files)
    python, abi, platforms = wheel.stem.split("-")[2:]
    assert set(found.package.metadata.tags) == {f"{python}-{abi}-{platform}" for platform in platforms.split(".")}
    assert (found.package.metadata.name, found.package.metadata.version) == ("msgspec", "0.19.0")
    assert found.problems == {}


def test_a_real_debian_package(tmp_path: Path) -> None:
    """With a setuid program: the judge is dpkg-deb."""
    folder = cache_folder() / "debs"
    folder.mkdir(exist_ok=True)
    if not list(folder.glob("sudo_*.deb")):
        try:
            done = subprocess.run(["apt-get", "-q", "download", "sudo"], cwd=folder, capture_output=True)
        except FileNotFoundError as error:
            raise Unavailable("apt-get is not here") from error
        if done.returncode:
            raise Unavailable("sudo cannot be downloaded")
    package = next(folder.glob("sudo_*.deb"))
    judged = tmp_path / "judged"
    judged.mkdir()
    makers.UNPACKERS["deb"](package, judged)
    found = look(package, tmp_path)
    assert found.seen == in_folder(judged)
    assert found.package.files["usr/bin/sudo"].mode == 0o4755
    assert found.problems == {}


NO_PACKAGES = {
    "empty": b"",
    "text": b"PK is no archive\n" * 100,
    "zeros": bytes(20_000),
    "an ELF file with a zip behind it": b"\x7fELF" + bytes(60) + b"PK\3\4",
    "a static library": b"!<arch>\nfoo.o/          0           0     0     644     0         `\n",
    "half a gzip header": b"\x1f\x8b\x08",
    "gzip of text": makers.run("gzip", data=b"text " * 1000),
    "bzip2 of text": makers.run("bzip2", data=b"text " * 1000),
    "xz of text": makers.run("xz", data=b"text " * 1000),
}


@pytest.mark.parametrize("label", NO_PACKAGES)
def test_what_is_no_package_is_told_apart(label: str, tmp_path: Path) -> None:
    path = tmp_path / "app.tar.gz"
    path.write_bytes(NO_PACKAGES[label])
    with open_reader(str(path)) as reader:
        assert format_of(reader) is None
        with pytest.raises(NotAPackage), unpacked(reader):
            pass


def test_packages_in_an_archive_are_looked_into(tmp_path: Path) -> None:
    """What continuous integration keeps: a zip of packages. In one that is installed, an archive is just a file."""
    out = tmp_path / "out"
    out.mkdir()
    inner = makers.tar(furnish(tmp_path / "a"), out / "app.tar.xz", "--xz")
    makers.deb(furnish(tmp_path / "b"), out / "app.deb")
    carrier = furnish(tmp_path / "carrier")
    (carrier / "usr/share/data.tar.xz").write_bytes(inner.read_bytes())
    makers.deb(carrier, out / "carrier.deb")
    found = look(makers.zipped(out, tmp_path / "artefact.zip"), tmp_path)
    inside = {one.path: (one.format, one.layout, len(one.files)) for one in found.package.inner}
    assert inside == {
        "P!/app.tar.xz": ("tar", "folder", 5),
        "P!/app.deb": ("deb", "root", 5),
        "P!/carrier.deb": ("deb", "root", 5),
    }
    assert found.problems == {}
    assert [one.path for one in found.package.all()] == ["P", *(one.path for one in found.package.inner)]


def test_a_member_is_named_behind_its_archive() -> None:
    assert member_path("dist/app.whl", "pkg/_ext.so") == "dist/app.whl!/pkg/_ext.so"


def test_every_format_is_made_here() -> None:
    """apk3 is only told apart."""
    assert {name for name, _ in PACKAGES.values()} | {"wheel", "apk3"} == set(FORMATS)


def test_a_failure_while_it_is_looked_at_leaves_nothing_behind(tmp_path: Path) -> None:
    package = makers.tar(furnish(tmp_path / "tree"), tmp_path / "app.tar")
    into = tmp_path / "into"
    into.mkdir()

    def interrupted() -> None:
        with open_reader(str(package)) as reader, unpacked(reader, str(into)) as found:
            assert os.listdir(found.folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(into.iterdir()) == []

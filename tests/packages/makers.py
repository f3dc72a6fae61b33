"""Packages of every format, made by the real tools out of a tree; and the same tools as judges of what is in them."""

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.oracle.availability import Unavailable

_CONTROL = "Package: app\nVersion: 1:2.0-3\nArchitecture: amd64\nMaintainer: A <a@example.org>\nDescription: d\n more\n"
_SPEC = """
Name: app
Epoch: 1
Version: 2.0
Release: 3
Summary: s
License: MIT
AutoReqProv: no
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _build_id_links none
%description
d
%install
mkdir -p %{{buildroot}}
cp -a {tree}/. %{{buildroot}}/
%files
%defattr(-,root,root)
"/etc"
"/usr"
%caps(cap_net_raw=ep) /usr/bin/capable
"""


def run(*command: object, cwd: Path | None = None, data: bytes | None = None) -> bytes:
    """What a tool prints. Raises Unavailable where it is not here."""
    try:
        done = subprocess.run([os.fspath(str(word)) for word in command], cwd=cwd, input=data, capture_output=True)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not here") from error
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def deb(tree: Path, output: Path, compression: str = "xz") -> Path:
    """By dpkg-deb; compression: gzip, xz, zstd or none."""
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(_CONTROL)
    run("dpkg-deb", "--root-owner-group", f"-Z{compression}", "--build", tree, output)
    return output


def rpm(tree: Path, output: Path, payload: str = "w3.zstdio") -> Path:
    """By rpmbuild; payload: as its macro _binary_payload has it (`w9.gzdio`). A file with capabilities is added."""
    (tree / "usr/bin/capable").write_bytes((tree / "usr/bin/app").read_bytes())
    spec, top = output.with_suffix(".spec"), output.with_suffix(".top")
    spec.write_text(_SPEC.format(tree=tree))
    run("rpmbuild", "-bb", "-D", f"_topdir {top}", "-D", f"_binary_payload {payload}", "--quiet", spec)
    (built,) = top.glob("RPMS/*/*.rpm")
    return built.rename(output)


def tar(tree: Path, output: Path, *options: str) -> Path:
    """By GNU tar."""
    run("tar", *options, "-cf", output, "-C", tree, ".")
    return output


def zipped(tree: Path, output: Path, *options: str) -> Path:
    """By Info-ZIP."""
    run("zip", "-q", "-r", "-y", *options, output, ".", cwd=tree)
    return output


def apk(tree: Path, output: Path) -> Path:
    """As abuild makes it: three gzip streams, the first two of tars that lack their end."""
    parts = output.with_suffix(".parts")
    parts.mkdir()
    (parts / ".SIGN.RSA.someone.rsa.pub").write_bytes(b"s" * 256)
    (parts / ".PKGINFO").write_text("# made by hand\npkgname = app\npkgver = 2.0-r3\narch = x86_64\n")
    (parts / ".post-install").write_text("#!/bin/sh\n")
    names = (".SIGN.RSA.someone.rsa.pub",), (".PKGINFO", ".post-install")
    streams = [run("tar", "-c", *group, cwd=parts).rstrip(b"\0") for group in names]
    streams = [stream + bytes(-len(stream) % 512) for stream in streams]
    top = sorted(os.listdir(tree))
    streams.append(run("tar", "-c", *top, cwd=tree))
    output.write_bytes(b"".join(run("gzip", "-9", data=stream) for stream in streams))
    return output


def _by_dpkg(package: Path, into: Path) -> None:
    run("dpkg-deb", "-x", package, into)


def _by_rpm(package: Path, into: Path) -> None:
    run("cpio", "-idm", "--quiet", cwd=into, data=run("rpm2cpio", package))


def _by_tar(package: Path, into: Path) -> None:
    run("tar", "-xpf", package, "-C", into)


def _by_unzip(package: Path, into: Path) -> None:
    run("unzip", "-q", "-K", package, "-d", into)  # -K: setuid stays


def _by_apk_and_tar(package: Path, into: Path) -> None:
    run("tar", "-xpzf", package, "-C", into, "--exclude=.[A-Zp]*")


UNPACKERS: dict[str, Callable[[Path, Path], None]] = {
    "deb": _by_dpkg,
    "rpm": _by_rpm,
    "tar": _by_tar,
    "zip": _by_unzip,
    "wheel": _by_unzip,
    "apk": _by_apk_and_tar,
}


def names_of(listing: bytes) -> set[str]:
    """The names that a tool lists one a line, without `./` and the slash of folders."""
    return {name for line in listing.decode().splitlines() if (name := line.removeprefix("./").rstrip("/"))}


def without_folders(names: Iterable[str], tree: Path) -> set[str]:
    """Those that are no folder below TREE."""
    return {name for name in names if (tree / name).is_symlink() or not (tree / name).is_dir()}

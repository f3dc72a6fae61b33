"""The real UPX of several Debian releases, each with the loader and libraries of its own release."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.oracle import packages
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

# Debian 12 has none.
RELEASES: Final = {"bullseye": "3.96", "trixie": "4.2.4"}
_LOADERS = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
_LOADER = "ld-linux-x86-64.so.2"


def upx(suite: str) -> list[str]:
    """The beginning of a command line of that release's UPX. Raises Unavailable."""
    folder = _unpacked(suite)
    libraries = [folder / name for name in _LOADERS if (folder / name / _LOADER).exists()]
    if not libraries:
        raise Unavailable(f"the packages of {suite} have no {_LOADER}")
    path = os.pathsep.join(os.fspath(folder / name) for name in _LOADERS)
    return [os.fspath(libraries[0] / _LOADER), "--library-path", path, os.fspath(folder / "usr/bin/upx-ucl")]


def packed(source: Path, target: Path, *options: str, suite: str = "trixie") -> Path:
    """TARGET, which is SOURCE packed with these options. Raises Unavailable where that UPX refuses to."""
    copy = target.with_name(f"{target.name}.plain")
    shutil.copy(source, copy)
    copy.chmod(0o755)  # of others it packs none
    target.unlink(missing_ok=True)
    _run([*upx(suite), "-q", *options, "-o", os.fspath(target), os.fspath(copy)])
    return target


def unpacked_by_upx(source: Path, target: Path, suite: str = "trixie") -> bytes:
    """What `upx -d` makes of a packed file. Raises Unavailable where it cannot."""
    target.unlink(missing_ok=True)
    _run([*upx(suite), "-q", "-d", "-o", os.fspath(target), os.fspath(source)])
    return target.read_bytes()


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Unavailable(f"upx does not: {' '.join((done.stderr or done.stdout).split())[-200:]}")


def _unpacked(suite: str) -> Path:
    """The folder with the files of upx-ucl and of what it depends on, made now where it is not there."""
    home = cache_folder() / "upx"
    home.mkdir(exist_ok=True)
    made = home / suite
    with open(home / f"{suite}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = made.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for archive in packages.download(home / f"{suite}.packages", suite, "amd64", ("upx-ucl",)):
                packages.unpack(archive, part)
            part.rename(made)
            shutil.rmtree(home / f"{suite}.packages")
    return made

"""Tools of several Debian releases, each with the loader and libraries of its own release."""

import fcntl
import os
import shutil
from pathlib import Path

from tests.oracle import packages
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
_LOADER = "ld-linux-x86-64.so.2"


def command(suite: str, package: str, program: str) -> list[str]:
    """The beginning of a command line of the PROGRAM (its path in the PACKAGE) of that release. Raises Unavailable."""
    folder = unpacked(suite, package)
    libraries = [folder / name for name in _LIBRARIES if (folder / name).is_dir()]
    loader = next((place / _LOADER for place in libraries if (place / _LOADER).exists()), None)
    if loader is None:
        raise Unavailable(f"the packages of {suite} have no {_LOADER}")
    return [os.fspath(loader), "--library-path", os.pathsep.join(map(os.fspath, libraries)), f"{folder}/{program}"]


def unpacked(suite: str, package: str) -> Path:
    """The folder with the files of a PACKAGE and of what it depends on, made now where it is not there."""
    home = cache_folder() / package
    home.mkdir(parents=True, exist_ok=True)
    made = home / suite
    with open(home / f"{suite}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = made.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for archive in packages.download(home / f"{suite}.packages", suite, "amd64", (package,)):
                packages.unpack(archive, part)
            part.rename(made)
            shutil.rmtree(home / f"{suite}.packages")
    return made

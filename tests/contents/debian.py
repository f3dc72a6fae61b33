"""Single packages of Debian 12 without what they depend on: programs in languages that have no compiler here.

They are fetched by this machine's own apt with a state of its own (tests/oracle/packages.py), and kept in the cache.
"""

import fcntl
import os
import shutil
from pathlib import Path

from tests.oracle import packages
from tests.oracle.roots import cache_folder

_SUITE, _ARCHITECTURE = "bookworm", "amd64"
_ALONE = "gcc-12-base"  # a package that depends on nothing: fetching it fetches apt's lists


def deb_files(package: str) -> Path:
    """The folder with the files of one package. Raises Unavailable."""
    return _package(package) / "files"


def deb_field(package: str, field: str) -> str:
    """A field of the package's control file, "" where it has none. Raises Unavailable."""
    (archive,) = _package(package).glob("*.deb")
    return packages.run(["dpkg-deb", "--field", os.fspath(archive), field])


def _package(package: str) -> Path:
    home = cache_folder() / "programs"
    home.mkdir(exist_ok=True)
    made = home / package
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = home / f"{package}.part"
            shutil.rmtree(part, ignore_errors=True)
            (part / "files").mkdir(parents=True)
            packages.unpack(_fetched(home / "apt", package, part), part / "files")
            part.rename(made)
    return made


def _fetched(apt: Path, package: str, target: Path) -> Path:
    configuration = apt / "apt.conf"
    if not configuration.exists():
        packages.download(apt, _SUITE, _ARCHITECTURE, [_ALONE])
    packages.run(["env", "-C", os.fspath(target), "apt-get", "-c", os.fspath(configuration), "-q", "download", package])
    return next(target.glob("*.deb"))

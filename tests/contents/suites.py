"""Static libraries of several Debian releases, each out of its own package and nothing else of it.

They are fetched by this machine's own apt with a state of its own (tests/oracle/packages.py), and kept in the cache.
"""

import fcntl
import os
from pathlib import Path

from tests.oracle import packages
from tests.oracle.roots import cache_folder

_ALONE = "debian-archive-keyring"  # depends on nothing: fetching it fetches apt's lists


def package_files(suite: str, package: str, architecture: str = "amd64") -> Path:
    """The folder with the files of one package. Raises Unavailable."""
    home = cache_folder() / "suites" / f"{suite}-{architecture}"
    home.mkdir(parents=True, exist_ok=True)
    made = home / package
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            configuration = home / "apt.conf"
            if not configuration.exists():
                packages.download(home, suite, architecture, [_ALONE])
            apt = ["apt-get", "-c", os.fspath(configuration), "-q", "download", package]
            part = home / f"{package}.part"
            part.mkdir(exist_ok=True)
            packages.run(["env", "-C", os.fspath(part), *apt])
            (archive,) = part.glob("*.deb")
            packages.unpack(archive, part)
            part.rename(made)
    return made


def package_version(suite: str, package: str, architecture: str = "amd64") -> str:
    """The upstream version of the package's file, as dpkg-deb says it. Raises Unavailable."""
    (archive,) = package_files(suite, package, architecture).glob("*.deb")
    version = packages.run(["dpkg-deb", "--field", os.fspath(archive), "Version"]).strip()
    return version.rpartition(":")[2].rpartition("-")[0]

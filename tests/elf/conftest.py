"""Real files that this machine does not have: of other machines, C libraries and languages, out of Debian packages."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.elf.samples import elf_files
from tests.oracle import packages
from tests.oracle.roots import cache_folder

# glibc for six machines: 32 and 64 bits, both byte orders; all of them packages of amd64.
CROSS_LIBRARIES = tuple(f"libc6-{name}-cross" for name in ("armhf", "i386", "mips", "powerpc", "riscv64", "s390x"))
# Static programs of three C libraries, and a shared library for each of several languages.
STATIC_PROGRAMS = ("bash-static", "busybox-static", "dietlibc-dev", "klibc-utils", "sash")


def _unpacked(suite: str, architecture: str, names: tuple[str, ...]) -> Path:
    """A folder with the files of Debian packages and of what they depend on, fetched once; may raise Unavailable."""
    label = hashlib.sha256(repr((suite, architecture, names)).encode()).hexdigest()[:12]
    folder = cache_folder() / "samples"
    folder.mkdir(exist_ok=True)
    made, downloads = folder / f"{suite}-{architecture}-{label}", folder / f"{label}.packages"
    with open(folder / f"{label}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = made.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for archive in packages.download(downloads, suite, architecture, names):
                packages.unpack(archive, part)
            part.rename(made)
            shutil.rmtree(downloads)
    return made


Unpacked = Callable[..., Path]


@pytest.fixture(scope="session")
def unpacked() -> Unpacked:
    """Call it with packages (and a suite or architecture): the folder they are unpacked in; may raise Unavailable."""

    def unpack(*names: str, suite: str = "bookworm", architecture: str = "amd64") -> Path:
        return _unpacked(suite, architecture, names)

    return unpack


@pytest.fixture(scope="session")
def foreign_files(unpacked: Unpacked) -> tuple[str, ...]:
    """The files of glibc for other machines."""
    return elf_files(os.fspath(unpacked(*CROSS_LIBRARIES)))

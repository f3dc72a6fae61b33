"""The real UPX of several Debian releases, each with the loader and libraries of its own release."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.oracle import releasedtools
from tests.oracle.availability import Unavailable

# Debian 12 has none.
RELEASES: Final = {"bullseye": "3.96", "trixie": "4.2.4"}


def upx(suite: str) -> list[str]:
    """The beginning of a command line of that release's UPX. Raises Unavailable."""
    return releasedtools.command(suite, "upx-ucl", "usr/bin/upx-ucl")


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

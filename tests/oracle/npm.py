"""Files out of packages of the npm registry, fetched by its own client and kept in the tests' cache."""

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder


def packaged(package: str, version: str, member: str) -> Path:
    """The file MEMBER (its path inside the package) of one release, which is fetched where it is not cached yet.

    Raises Unavailable where the client or the registry cannot be reached.
    """
    kept = cache_folder() / "npm" / f"{package.replace('/', '+')}@{version}" / member
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            content = _content(_fetched(f"{package}@{version}", folder), f"package/{member}")
            fresh = Path(folder, "fresh")
            fresh.write_bytes(content)
            os.replace(fresh, kept)
    return kept


def _fetched(package: str, folder: str) -> Path:
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, package]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"npm does not fetch {package}: {error}") from error
    archives = list(Path(folder).glob("*.tgz"))
    if done.returncode or not archives:
        raise Unavailable(f"npm does not fetch {package}: {done.stderr[-200:]}")
    return archives[0]


def _content(archive: Path, member: str) -> bytes:
    with tarfile.open(archive) as opened:
        found = opened.extractfile(member)
        if found is None:
            raise Unavailable(f"{archive.name} holds no file {member}")
        return found.read()

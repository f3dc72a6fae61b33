"""Wheels of other projects as they are released, one by one, and what is inside a file as a list."""

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from linkscope.analysis.facts import file_facts
from linkscope.contents.identify import identify
from linkscope.model.inspect import Content
from tests.elf.samples import opened
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder


def unpacked(name: str, version: str) -> Path:
    """The files of one release, fetched when first asked for. Raises Unavailable."""
    folder = cache_folder() / "wheels-unpacked" / f"{name}-{version}"
    folder.parent.mkdir(exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            with zipfile.ZipFile(_fetched(f"{name}=={version}", part)) as archive:
                archive.extractall(part / "files")
            (part / "files").rename(folder)
            shutil.rmtree(part)
    return folder


def _fetched(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    platform = ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux_2_17_x86_64"]
    platform += [
        "--platform=manylinux2014_x86_64",
        "--platform=manylinux_2_12_x86_64",
        "--platform=manylinux2010_x86_64",
    ]
    try:
        done = subprocess.run(
            [*command, *platform, "-d", os.fspath(folder), requirement], capture_output=True, text=True, timeout=300
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"pip does not fetch {requirement} in time") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise Unavailable(f"pip does not fetch {requirement}: {done.stderr.strip()[-300:]}")
    return wheels[0]


def contents_of(path: str | os.PathLike[str]) -> list[Content]:
    """All that is inside a file; of crates there may be several of one name."""
    with opened(path) as (reader, image):
        return identify(reader, image, file_facts(reader, image).file)

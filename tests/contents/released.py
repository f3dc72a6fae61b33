"""Packages of other projects as they are released, installed into one folder outside the project, and what they say."""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path

import msgspec

from linkscope.contents import banners, symbols
from tests.oracle import npm
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

TABLE = Path(__file__).with_name("releases.toml")


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the table, whose head says what the keys mean."""

    package: str
    version: str
    npm: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    says: str
    called: dict[str, str]
    also: dict[str, str] = {}


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    release: tuple[Release, ...]


@functools.cache
def releases() -> tuple[Release, ...]:
    """All rows."""
    return msgspec.toml.decode(TABLE.read_bytes(), type=_Table).release


def _requirements() -> list[str]:
    rows = [row for row in releases() if not row.npm]
    return sorted({word for row in rows for word in (f"{row.package}=={row.version}", *row.needs)})


@functools.cache
def site() -> Path:
    """The folder in which the packages are; they are fetched when first asked for. Raises Unavailable."""
    key = hashlib.sha256(repr((_requirements(), sys.version_info[:2])).encode()).hexdigest()[:12]
    folder = cache_folder() / f"released-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wheels = ["--only-binary=:all:", "--no-compile", "--target", os.fspath(part)]
    done = subprocess.run([*command, *wheels, *_requirements()], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"pip cannot install the released packages: {done.stderr.strip()[-500:]}")
    part.rename(folder)


def files(release: Release) -> list[Path]:
    """The ELF files of a release, by its own list of files; of one in npm's registry those that the table names."""
    if release.npm:
        return [path for path in map(_packaged(release).joinpath, release.npm) if _is_elf(path)]
    (owner,) = [one for one in distributions(path=[os.fspath(site())]) if _same(one.name, release.package)]
    folder = site()
    paths = [folder / os.fspath(path) for path in owner.files or ()]
    return sorted(path for path in paths if path.is_file() and _is_elf(path))


def _packaged(release: Release) -> Path:
    """The folder with those files of a package in npm's registry that the table names. Raises Unavailable."""
    kept = [npm.packaged(release.package, release.version, member) for member in release.npm]
    return Path(os.path.abspath(os.fspath(kept[0])[: -len(release.npm[0])]))


def _same(one: str, other: str) -> bool:
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


_SAYS = """
import json, os, subprocess, sys
def path(name):
    return os.path.join({folder!r}, name)
def run(name, *arguments):
    os.chmod(path(name), 0o755)
    return subprocess.run([path(name), *arguments], capture_output=True, text=True, timeout=60).stdout
said = {expression}
print("\\n" + json.dumps({{name: str(version) for name, version in said.items()}}))
"""


def says(release: Release) -> dict[str, str]:
    """What a release says of the libraries inside it, in a process of its own: versions by Repology's names.

    Raises Unavailable where the packages do not run.
    """
    folder = _packaged(release) if release.npm else site()
    code = _SAYS.format(folder=os.fspath(folder), expression=release.says)
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.fspath(site()), "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Unavailable(f"{release.package} does not run here: {done.stderr.strip()[-300:]}")
    said = msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, str])
    return {release.called[name]: version for name, version in said.items() if name in release.called}


@functools.cache
def all_say() -> dict[str, dict[str, str]]:
    """What every release says, by package."""
    rows = releases()
    with ThreadPoolExecutor(4) as pool:
        return {row.package: said for row, said in zip(rows, pool.map(says, rows), strict=True)}


def called(names: Iterable[str]) -> set[str]:
    """The libraries that have these sonames or file names, with auditwheel's hashes in them or without."""
    known = [*banners.libraries(), *(_with_sonames(row) for row in symbols.libraries())]
    return {library.name for name in set(names) for library in known if banners.is_called(library, name)}


def _with_sonames(row: symbols.Library) -> banners.Library:
    return banners.Library(name=row.name, sonames=symbols.sonames_of(row), banner=())

"""What is inside released files, said by LinkScope and by others: how much of it, how much else, and how fast.

The files are those of tests/contents/releases.toml, which say themselves what is in them. The others are called as
libraries, without their databases, each in a virtual environment of its own in the tests' cache.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.contents import released
from tests.contents.samples import found_in
from tests.elf.samples import ask
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

NAME: Final = "contents"
_LARGEST: Final = 32 << 20  # bytes of a file; one of them takes minutes with the others
_TIMEOUT: Final = 1800

_CHECKERS: Final = """
import json, sys, time, logging
logging.disable(logging.CRITICAL)
from cve_bin_tool.checkers import BUILTIN_CHECKERS
from cve_bin_tool.strings import parse_strings
def loaded():
    for name, entry in BUILTIN_CHECKERS.items():
        try:
            yield entry.load()()
        except Exception:  # it wants a database of versions from the network
            print(name, "is left out: it wants a database", file=sys.stderr)
def holds(checker, lines, path):
    try:
        return bool(checker.get_version(lines, path).get("is_or_contains"))
    except Exception:
        return False
checkers = list(loaded())
for paths in json.load(sys.stdin):
    begin, names = time.perf_counter(), set()
    for path in paths:
        lines = parse_strings(path)
        found = [one for one in checkers if holds(one, lines, path)]
        names.update(one.VENDOR_PRODUCT[0][1] for one in found)
    print(json.dumps({"names": sorted(names), "seconds": time.perf_counter() - begin}), flush=True)
"""
_BLINT: Final = """
import json, os, subprocess, sys, tempfile, time
program = os.path.join(os.path.dirname(sys.executable), "blint")
def parts(component):
    for one in component.get("components") or ():
        yield one["name"]
        yield from parts(one)
with tempfile.TemporaryDirectory() as folder:
    output = os.path.join(folder, "sbom.json")
    for paths in json.load(sys.stdin):
        begin = time.perf_counter()
        subprocess.run([program, "sbom", "-q", "-i", *paths, "-o", output], capture_output=True, cwd=folder)
        seconds = time.perf_counter() - begin
        with open(output) as file:
            document = json.load(file)
        os.unlink(output)
        names = {*parts(document), *parts(document["metadata"].get("component", {}))}
        print(json.dumps({"names": sorted(names), "seconds": seconds}), flush=True)
"""
# By the package that is installed.
RIVALS: Final = {"cve-bin-tool==3.4": _CHECKERS, "blint==4.0.1": _BLINT}
# What others call libraries, where neither the same name nor one with or without `lib` is Repology's.
_CALLED: Final = {
    "kerberos_5": "krb5",
    "kerberos": "krb5",
    "little_cms": "lcms2",
    "little_cms_color_engine": "lcms2",
} | {
    "international_components_for_unicode": "icu",
    "sqlite3": "sqlite",
    "node.js": "nodejs",
    "xz_utils": "xz",
    "lzma": "xz",
    "xml2": "libxml2",
    "x265_high_efficiency_video_coding": "x265",
    "simple_directmedia_layer": "sdl2",
    "network_security_services": "nss",
    "bzip": "bzip2",
    "c-ares_project": "c-ares",
    "berkeley_db": "db",
    "gnutls28": "gnutls",
}

# What is not asked for: the system's own shared libraries, and the compiler, which left its name in nearly every file.
_RUNTIME: Final = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|gcc_s|stdc\+\+)\.so.*|gcc)")


class Answer(msgspec.Struct, frozen=True):
    """What one tool says of the files of one release."""

    names: list[str]
    seconds: float


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One tool over all files. right: of the libraries said, those that it named; false: what it named beside them."""

    said: int
    right: int
    named: int
    false: int
    seconds: float

    @property
    def precision(self) -> float:
        """The part of what it named that is there."""
        return 1 - self.false / self.named if self.named else 1.0


class Asked(msgspec.Struct, frozen=True):
    """A release: its files, what it says and has, and what else is in it."""

    paths: tuple[str, ...]
    said: frozenset[str]
    there: frozenset[str]


def print_contents() -> None:
    """The table of all tools; one that cannot be had is named with the reason."""
    try:
        asked = list(_asked())
    except Unavailable as reason:
        print(f"\n{NAME}: left out: {reason}")
        return
    paths = [path for one in asked for path in one.paths]
    size = sum(os.path.getsize(path) for path in paths) / (1 << 20)
    print(f"\n{NAME}: libraries inside {len(paths)} files ({size:.0f} MiB) of {len(asked)} released projects")
    print(f"  {'':24}{'of those said':>16}{'named':>8}{'false':>8}{'precision':>11}{'time':>10}{'speed':>12}")
    _print_row("linkscope", judged(asked, list(_ours(asked))), size)
    for requirement, script in RIVALS.items():
        try:
            _print_row(requirement, judged(asked, list(_theirs(requirement, script, asked))), size)
        except Unavailable as reason:
            print(f"  left out: {requirement}: {reason}")


def _print_row(name: str, found: Judged, size: float) -> None:
    share = f"{found.right}/{found.said} {found.right / found.said:.0%}"
    figures = f"{found.named:>8}{found.false:>8}{found.precision:>11.1%}{found.seconds:>8.1f} s"
    print(f"  {name:24}{share:>16}{figures}{size / found.seconds:>7.1f} MiB/s", flush=True)


def _asked() -> Iterator[Asked]:
    for release in released.releases():
        paths = [path for path in released.files(release) if path.stat().st_size <= _LARGEST]
        own = {path.name for path in paths}
        there = released.called(own) | set(release.also)
        needed = (name for path in paths for name in ask(lambda _, image: image.needed, path))
        outside = released.called(name for name in needed if name not in own) - there
        said = set(released.all_say()[release.package]) - outside
        if len(paths) == len(released.files(release)):
            yield Asked(tuple(map(os.fspath, paths)), frozenset(said), frozenset(said | there))


def judged(asked: Sequence[Asked], answers: Sequence[Answer]) -> Judged:
    """One tool's answers, held against what the releases say."""
    right = named = false = 0
    for one, answer in zip(asked, answers, strict=True):
        files = {os.path.basename(path) for path in one.paths}
        names = {_called(name, one.there) for name in answer.names if not _RUNTIME.fullmatch(name)} - files
        right += len(one.said & names)
        named += len(names)
        false += len(names - one.there)
    seconds = sum(answer.seconds for answer in answers)
    return Judged(said=sum(len(one.said) for one in asked), right=right, named=named, false=false, seconds=seconds)


def _called(name: str, there: Iterable[str]) -> str:
    """A name as Repology has it: of all ways to read it the one that is right, if there is any."""
    plain = re.sub(r"[ _]", "-", name.lower())
    own = [_CALLED.get(name.lower(), plain), plain.removeprefix("lib"), f"lib{plain}", plain.rstrip("0123456789")]
    ways = [*own, *released.called([name])]
    return next((way for way in ways if way in there), name)


def _ours(asked: Sequence[Asked]) -> Iterator[Answer]:
    for one in asked:
        begin = time.perf_counter()
        found = [content for path in one.paths for content in found_in(path).values()]
        names = sorted({content.name for content in found if content.ecosystem == "generic"})
        yield Answer(names, time.perf_counter() - begin)


def _theirs(requirement: str, script: str, asked: Sequence[Asked]) -> Iterator[Answer]:
    """Raises Unavailable where the tool cannot be installed or fails."""
    command = [_python(requirement), "-c", script]
    environment: Mapping[str, str] = {**os.environ, "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            command,
            input=json.dumps([one.paths for one in asked]),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"it takes more than {_TIMEOUT} s") from error
    if done.returncode:
        raise Unavailable(done.stderr.strip()[-300:])
    for line in done.stdout.splitlines():
        yield msgspec.json.decode(line, type=Answer)


def _python(requirement: str) -> str:
    """The interpreter of a virtual environment with the requirement in it, made when first asked for."""
    folder = cache_folder() / f"rival-{requirement.replace('==', '-')}-{sys.version_info[0]}.{sys.version_info[1]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin/python"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _make(folder, python, requirement)
    return os.fspath(python)


def _make(folder: Path, python: Path, requirement: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", os.fspath(folder)],
        [os.fspath(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
    ):
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise Unavailable(f"{' '.join(command[1:4])} failed: {made.stderr.strip()[-300:]}")
    (folder / "ready").touch()

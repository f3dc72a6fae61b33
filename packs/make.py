"""Makes the pack that LinkScope brings along, from Debian's packages: `python -m packs.make --help`."""

import argparse
import fnmatch
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from linkscope.analysis.sigs import lessons
from linkscope.contents.learning import Labels
from linkscope.contents.packs import SHIPPED, Learnt, Store
from tests.oracle.packages import download_alone
from tests.oracle.roots import cache_folder

_LIBRARIES = Path(__file__).parent / "libraries.toml"
_LEVEL = 19  # zstd's


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """suite: as apt calls it, name: as signatures name the distribution, compiler: the version of its GCC."""

    suite: str
    name: str
    compiler: str


class Libraries(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What the pack is made of. packages and left_out stand in groups, whose names count for nothing."""

    releases: list[Release]
    architectures: list[str]
    packages: dict[str, list[str]]
    left_out: dict[str, list[str]]


class Wanted(msgspec.Struct, frozen=True):
    """Which part of it is made: empty lists stand for everything."""

    suites: list[str]
    architectures: list[str]
    packages: list[str]


def learnt(wanted: Wanted, workers: int) -> Iterator[Learnt]:
    """The archives of the packages, which are fetched now. Raises Unavailable."""
    libraries = msgspec.toml.decode(_LIBRARIES.read_bytes(), type=Libraries)
    unwanted = [pattern for patterns in libraries.left_out.values() for pattern in patterns]
    for release in libraries.releases:
        for architecture in libraries.architectures:
            if wanted.suites and release.suite not in wanted.suites:
                continue
            if wanted.architectures and architecture not in wanted.architectures:
                continue
            for one in _of_release(libraries, release, architecture, wanted.packages, workers):
                if not any(fnmatch.fnmatchcase(one.archive.name, pattern) for pattern in unwanted):
                    yield one


def _of_release(
    libraries: Libraries, release: Release, architecture: str, packages: Sequence[str], workers: int
) -> Iterator[Learnt]:
    names = [name.format(compiler=release.compiler) for group in libraries.packages.values() for name in group]
    folder = cache_folder() / "packs" / f"{release.suite}-{architecture}"
    folder.mkdir(parents=True, exist_ok=True)
    archives = download_alone(folder, release.suite, architecture, packages or names)
    for lesson in lessons([str(path) for path in archives], Labels(distribution=release.name), workers=workers):
        for one in lesson.learnt:
            yield msgspec.structs.replace(one, origin=one.origin.removeprefix(f"{folder}/alone/"))


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="packs.make", description=__doc__)
    parser.add_argument("--output", default=SHIPPED, help="the file to make (default: the one that is shipped)")
    for name in ("suite", "architecture", "package"):
        parser.add_argument(f"--{name}", action="append", default=[], help="only this one; several times")
    given = parser.parse_args()
    made = given.output + ".part"
    Path(made).unlink(missing_ok=True)
    wanted = Wanted(given.suite, given.architecture, given.package)
    added, _ = Store(made).add(learnt(wanted, len(os.sched_getaffinity(0))), _LEVEL)
    os.replace(made, given.output)
    print(f"{added} archives, {os.path.getsize(given.output) / 1e6:.1f} MB: {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

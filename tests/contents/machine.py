"""Whose the files of this machine are, and of what they were built: dpkg says it."""

import subprocess
from collections.abc import Iterable

import msgspec

from tests.oracle.availability import Unavailable

_AT_ONCE = 500  # paths in one command line
_SHOWN = "${binary:Package}\t${source:Package}\t${Built-Using}, ${Static-Built-Using}\n"


class Built(msgspec.Struct, frozen=True):
    """package: the one that a file belongs to, source: its source package.

    using: the source packages of which parts were copied in, as its control file says (Debian Policy, 7.8).
    """

    package: str
    source: str
    using: frozenset[str]


def built(paths: Iterable[str]) -> dict[str, Built]:
    """What dpkg says of those of the files that belong to a package. Raises Unavailable."""
    owners = _owners(list(paths))
    packages: dict[str, Built] = {}
    for row in _dpkg("-W", "-f", _SHOWN).splitlines():
        package, source, using = row.split("\t")
        sources = frozenset(word.split()[0] for word in using.split(",") if word.strip())
        packages[package] = packages[package.partition(":")[0]] = Built(package, source, sources)
    return {path: packages[package] for path, package in owners.items() if package in packages}


def _owners(paths: list[str]) -> dict[str, str]:
    """The package of each path; packages of before the merged /usr have their files in /bin and /lib."""
    merged = {path.removeprefix("/usr"): path for path in paths} | {path: path for path in paths}
    owners: dict[str, str] = {}
    asked = list(merged)
    for at in range(0, len(asked), _AT_ONCE):
        for row in _dpkg("-S", *asked[at : at + _AT_ONCE]).splitlines():
            package, mark, path = row.partition(": ")
            if mark and path in merged and not package.startswith("diversion by "):
                owners[merged[path]] = package.partition(",")[0]
    return owners


def _dpkg(*arguments: str) -> str:
    try:
        return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError as error:
        raise Unavailable("dpkg-query is not here") from error

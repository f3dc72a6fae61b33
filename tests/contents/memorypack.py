"""A collection of fingerprints in memory, made of archives here and now; whose they are dpkg says."""

import functools
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec
import numpy as np

from linkscope.contents import archives, fingerprints, known
from linkscope.contents.fingerprints import Archive, Signature
from linkscope.elf.reader import open_reader
from tests.oracle.availability import Unavailable

FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/gcc/x86_64-linux-gnu/*")
_LARGEST = 3 << 20  # bytes of an archive that is only a decoy: larger ones would only take time
_LINKED = ("libc.a", "libcrypto.a", "libstdc++.a", "libsqlite3.a")


class MemoryPack:
    """A `known.Pack` of whole archives."""

    def __init__(self, whole: Iterable[Archive]) -> None:
        self._whole = list(whole)
        self._signatures: dict[str, list[Signature]] = {}
        self._places: dict[tuple[str, bytes], list[tuple[int, Signature]]] = {}
        for number, archive in enumerate(self._whole):
            for one in archive.signatures:
                places = self._places.setdefault((archive.architecture, one.digest), [])
                if not places:
                    self._signatures.setdefault(archive.architecture, []).append(one)
                places.append((number, one))

    def _of(self, architecture: str) -> list[Signature]:
        return self._signatures.get(architecture, [])

    def codes(self, architecture: str) -> known.Codes | None:
        there = self._of(architecture)
        if not there:
            return None
        columns = (
            np.array([getattr(one, name) for one in there], np.uint32)
            for name in ("anchor_at", "check", "check_at", "length")
        )
        return known.Codes(np.array([one.anchor for one in there], np.uint64), *columns)

    def proofs(self, architecture: str, codes: Sequence[int]) -> Sequence[tuple[bytes, bytes]]:
        there = self._of(architecture)
        return [(there[code].digest, there[code].changeable) for code in codes]

    def places(self, architecture: str, codes: Sequence[int]) -> Sequence[known.Place]:
        there = self._of(architecture)
        return [
            known.Place(code, number, one.member, one.section, one.shared)
            for code in codes
            for number, one in self._places[architecture, there[code].digest]
        ]

    def archives(self, numbers: Sequence[int]) -> Sequence[Archive]:
        return [msgspec.structs.replace(self._whole[number], signatures=()) for number in numbers]

    def versions(self, architecture: str) -> Mapping[str, AbstractSet[str | None]]:
        there: dict[str, set[str | None]] = {}
        for archive in self._whole:
            if archive.architecture == architecture:
                there.setdefault(archive.called, set()).add(archive.version)
        return there


def read(path: Path, **labels: str) -> list[Archive]:
    """The fingerprints of one archive."""
    with open_reader(str(path)) as reader:
        found = fingerprints.fingerprints(path.name, archives.members(reader, str(path.parent)))
    return [msgspec.structs.replace(archive, **labels) for archive in found]


@functools.cache
def installed() -> tuple[Archive, ...]:
    """Those of this machine's archives that are not too large; the library is the source package. Needs dpkg."""
    paths = [path for folder in FOLDERS for path in Path("/").glob(f"{folder[1:]}/*.a")]
    paths += Path("/usr/lib/x86_64-linux-gnu/diet/lib-x86_64").glob("*.a")
    paths += Path("/usr/lib/x86_64-linux-musl").glob("*.a")
    whole: list[Archive] = []
    for path, (library, version) in sorted(_owners([path for path in paths if not path.is_symlink()]).items()):
        if (path.stat().st_size <= _LARGEST or path.name in _LINKED) and path.open("rb").read(8) == b"!<arch>\n":
            whole += read(path, library=library, version=version)
    return tuple(archive for archive in whole if archive.signatures)


@functools.cache
def installed_pack() -> MemoryPack:
    return MemoryPack(installed())


def _owners(paths: Sequence[Path]) -> dict[Path, tuple[str, str]]:
    """The source package of each file and its upstream version, as dpkg says."""
    if not os.path.exists("/usr/bin/dpkg-query"):
        raise Unavailable("dpkg-query is not here")
    said = _dpkg("-S", *map(str, paths))
    owner = {path: package for package, mark, path in (line.partition(": ") for line in said.splitlines()) if mark}
    of_package = {}
    shown = "${binary:Package}\t${source:Package}\t${source:Upstream-Version}\n"
    for line in _dpkg("-W", "-f", shown, *sorted(set(owner.values()))).splitlines():
        package, source, version = line.split("\t")
        of_package[package] = source, version
    return {Path(path): of_package[package] for path, package in owner.items() if package in of_package}


def _dpkg(*arguments: str) -> str:
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=False).stdout

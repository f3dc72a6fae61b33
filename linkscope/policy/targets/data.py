"""Reading of the data files: one TOML file a distribution, each row of which names the source that it comes from.

A file that is not what it should be stops the reading; the error names the file and the place in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec

from linkscope.errors import LinkScopeError
from linkscope.policy.targets.offer import (
    Confidence,
    Evidence,
    Kind,
    LibcFamily,
    Library,
    Machine,
    Target,
    WheelPolicy,
)

FOLDER = Path(__file__).parent
"""Where the data files are."""
# Architectures as wheels call them: machine, class and byte order as a file's document has them (gABI, ELF Header).
ARCHITECTURES = {
    "x86_64": ("x86_64", 64, "little"),
    "i686": ("386", 32, "little"),
    "aarch64": ("aarch64", 64, "little"),
    "armv7l": ("arm", 32, "little"),
    "ppc64": ("ppc64", 64, "big"),
    "ppc64le": ("ppc64", 64, "little"),
    "s390x": ("s390", 64, "big"),
    "riscv64": ("riscv", 64, "little"),
    "loongarch64": ("loongarch", 64, "little"),
}


class DataFault(LinkScopeError):
    """A data file of the targets is not what it should be; `reason` says where and why."""


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every part of a file has in common: a key that nobody knows is an error."""


class Source(Row, frozen=True):
    """What was read, and whether a test reads it again."""

    text: str
    confidence: Confidence


class _Layout(Row, frozen=True):
    """Whether /lib and /lib64 are links to those of /usr: each names the source that says so; None: no source."""

    merged: str | None = None
    split: str | None = None


class _Machine(Row, frozen=True):
    source: str
    interpreter: str | None = None
    also: tuple[str, ...] = ()  # other names of the same file, without those that a merged /usr gives it
    cpu: int = 0


class _Library(Row, frozen=True):
    package: str
    source: str
    offers: dict[str, str]  # by soname: versions, parted by spaces
    on: tuple[str, ...] = ()


class _Release(_Layout, frozen=True, kw_only=True):
    release: str
    libc: str
    source: str
    names: tuple[str, ...] = ()
    complete: bool = False
    also: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    machines: dict[str, _Machine] = {}
    libraries: tuple[_Library, ...] = ()
    versions: dict[str, dict[str, str]] = {}  # by architecture and family: numbers, parted by spaces
    forbidden: dict[str, str] = {}  # by soname: symbols, parted by spaces


class _File(_Layout, frozen=True, kw_only=True):
    distribution: str
    libc: LibcFamily
    install: str
    sources: dict[str, Source]
    machines: dict[str, _Machine]
    releases: tuple[_Release, ...]
    kind: Kind = "system"
    libraries: tuple[_Library, ...] = ()


def distributions() -> list[str]:
    """The distributions for which there is a data file, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def releases(distribution: str) -> tuple[Target, ...]:
    """All releases of a distribution, the oldest first, as in its file. Raises DataFault."""
    return read(FOLDER / f"{distribution}.toml")


def read(path: Path) -> tuple[Target, ...]:
    """The releases in one data file. Raises DataFault."""
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise DataFault(str(path), str(error)) from error
    if file.distribution != path.stem:
        raise DataFault(str(path), f"holds {file.distribution}, which is not its name")
    rows = _accumulated(file.releases) if file.kind == "wheels" else file.releases
    return tuple([_Reading(path, file, release).target() for release in rows])


def _accumulated(rows: tuple[_Release, ...]) -> Iterator[_Release]:
    """What a tag of wheels allows, the tags after it allow as well (PEP 600), so that a row says only what it adds.

    Machines that a row is `without` are gone for good; `forbidden` symbols stay until a row has others.
    """
    machines: dict[str, _Machine] = {}
    libraries: tuple[_Library, ...] = ()
    versions: dict[str, dict[str, str]] = {}
    forbidden: dict[str, str] = {}
    for row in rows:
        machines = {name: one for name, one in (machines | row.machines).items() if name not in row.without}
        libraries += row.libraries
        for name, families in row.versions.items():
            known = versions.get(name, {})
            added = {family: f"{known.get(family, '')} {numbers}" for family, numbers in families.items()}
            versions[name] = known | added
        forbidden = row.forbidden or forbidden
        yield msgspec.structs.replace(
            row, machines=machines, libraries=libraries, versions=dict(versions), forbidden=forbidden
        )


class _Reading:
    """One release of a file, on its way to a Target."""

    def __init__(self, path: Path, file: _File, release: _Release) -> None:
        self._path = path
        self._file = file
        self._release = release
        self._said: _Layout = release if release.merged or release.split else file
        told = self._said.merged or self._said.split
        self._layout = self._evidence(told, "whether /usr is merged") if told else None
        self._machines = {
            name: row for name, row in (file.machines | release.machines).items() if name not in release.without
        }

    def target(self) -> Target:
        """The release with its sources resolved."""
        file, release = self._file, self._release
        return Target(
            name=_name(file, release.release),
            distribution=file.distribution,
            release=release.release,
            names=release.names,
            kind=file.kind,
            libc=file.libc,
            version=release.libc,
            install=file.install,
            complete=release.complete,
            also=() if file.kind == "wheels" else release.also,
            evidence=self._evidence(release.source, "libc"),
            layout=self._layout,
            machines=tuple(self._each_machine()),
            libraries=self._libraries(),
            wheels=self._wheels() if file.kind == "wheels" else None,
        )

    def _evidence(self, key: str, place: str) -> Evidence:
        source = self._file.sources.get(key)
        if source is None:
            raise self._fault(place, f"no source is called {key}")
        return Evidence(source.text, source.confidence)

    def _fault(self, place: str, reason: str) -> DataFault:
        return DataFault(str(self._path), f"release {self._release.release}, {place}: {reason}")

    def _each_machine(self) -> Iterator[Machine]:
        for name, row in self._machines.items():
            if name not in ARCHITECTURES:
                raise self._fault("machines", f"no architecture is called {name}")
            evidence = self._evidence(row.source, name)
            also, perhaps = self._other_names(row, evidence)
            yield Machine(name, *ARCHITECTURES[name], row.interpreter, also, perhaps, row.cpu, evidence)

    def _other_names(self, row: _Machine, evidence: Evidence) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names beside its own that a loader has, and those that it may have for all that was read."""
        if row.interpreter is None:
            return (), ()
        known = [row.interpreter, *row.also]
        perhaps = known.copy()
        if evidence.confidence == "cited":
            perhaps += [f"{folder}/{os.path.basename(row.interpreter)}" for folder in ("/lib", "/lib64")]
        if self._said.merged:
            known += _below_usr(known)
        if not self._said.split:
            perhaps += _below_usr(perhaps)
        return tuple(known[1:]), tuple([name for name in dict.fromkeys(perhaps) if name not in known])

    def _libraries(self) -> Mapping[str, Mapping[str, Library]]:
        known: dict[str, dict[str, Library]] = {name: {} for name in self._machines}
        for row in (*self._file.libraries, *self._release.libraries):
            evidence = self._evidence(row.source, row.package)
            for name in row.on or known:
                if name not in known:
                    raise self._fault(row.package, f"the release has no {name}")
                for soname, versions in row.offers.items():
                    offered = tuple(versions.split())
                    known[name][soname] = Library(soname, offered, row.package, evidence)
        return known

    def _wheels(self) -> WheelPolicy:
        versions = {
            name: {family: frozenset(numbers.split()) for family, numbers in families.items()}
            for name, families in self._release.versions.items()
        }
        forbidden = {soname: frozenset(symbols.split()) for soname, symbols in self._release.forbidden.items()}
        return WheelPolicy(versions, forbidden)


def _below_usr(paths: list[str]) -> list[str]:
    return [f"/usr{path}" for path in paths if path.startswith(("/lib/", "/lib64/"))]


def _name(file: _File, release: str) -> str:
    """`debian:12`; the tags of wheels are one word, `manylinux_2_17`."""
    return f"{file.distribution}_{release}" if file.kind == "wheels" else f"{file.distribution}:{release}"

"""What one release of a system offers to programs, as the data files say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from linkscope.elf.versions import version_number

LibcFamily = Literal["glibc", "musl"]
Confidence = Literal["verified", "cited"]
Kind = Literal["system", "wheels"]


class Evidence(msgspec.Struct, frozen=True):
    """Where a row comes from. verified: recomputed from real packages by a test; cited: read in the source named."""

    source: str
    confidence: Confidence


class Machine(msgspec.Struct, frozen=True):
    """One architecture of a release.

    name: as wheels call it (`x86_64`, `ppc64le`). machine, elf_class, endian: as in the document of a file.
    interpreter: the path of its dynamic loader; None where none is prescribed. also: other paths that lead to it;
    perhaps: paths that may, for all that was read.
    cpu: the x86-64 level that every computer of this system has (1 to 4), 0 on other architectures.
    """

    name: str
    machine: str
    elf_class: int
    endian: str
    interpreter: str | None
    also: tuple[str, ...]
    perhaps: tuple[str, ...]
    cpu: int
    evidence: Evidence


class Library(msgspec.Struct, frozen=True):
    """A library of a minimal install. versions: of each family the highest that it defines, and all other names.

    (): it defines no versions; ("?",): nobody has read them. package: what it is installed by.
    """

    soname: str
    versions: tuple[str, ...]
    package: str
    evidence: Evidence

    def defines(self, name: str) -> bool:
        """Whether it defines the version NAME: one that is listed, or an earlier one of a family that is listed."""
        if name in self.versions:
            return True
        wanted = version_number(name)
        if wanted is None:
            return False
        return any(
            known is not None and known[0] == wanted[0] and wanted[1] <= known[1]
            for known in map(version_number, self.versions)
        )


class WheelPolicy(msgspec.Struct, frozen=True):
    """What a platform tag allows to a wheel, beside its libraries.

    versions: by architecture and family (`CXXABI`), the versions (`1.3.7`, `TM_1`); others are free.
    forbidden: symbols of a library that may not be used, by its soname.
    """

    versions: Mapping[str, Mapping[str, frozenset[str]]]
    forbidden: Mapping[str, frozenset[str]]


class Target(msgspec.Struct, frozen=True):
    """One release. name: `debian:12`; names: other words for the release (`bookworm`).

    version: of its C library, `2.36`. install: what a minimal install is; complete: all libraries of it are listed, so
    that one that is not listed is not there. also: machines of which nothing but their being there is known; None: it
    is not known which other machines there are. evidence: of the C library's version. layout: of whether /lib and
    /lib64 are links to those of /usr, None where that is not known.
    added: symbols by the release of musl that brought them, for musl.
    """

    name: str
    distribution: str
    release: str
    names: tuple[str, ...]
    kind: Kind
    libc: LibcFamily
    version: str
    install: str
    complete: bool
    also: tuple[str, ...] | None
    evidence: Evidence
    machines: tuple[Machine, ...]
    libraries: Mapping[str, Mapping[str, Library]]
    wheels: WheelPolicy | None = None
    layout: Evidence | None = None

    @property
    def confidence(self) -> Confidence:
        """`verified` only where every row of the release is."""
        rows = [self.evidence, *(machine.evidence for machine in self.machines)]
        rows += [library.evidence for known in self.libraries.values() for library in known.values()]
        rows += [self.layout] if self.layout else []
        return "cited" if any(row.confidence == "cited" for row in rows) else "verified"

    @property
    def libc_number(self) -> tuple[int, ...]:
        """The version of its C library as numbers."""
        return tuple(map(int, self.version.split(".")))

    def machine(self, machine: str, elf_class: int, endian: str) -> Machine | None:
        """The architecture of files of that MACHINE, class and byte order; None where the release has it not."""
        for one in self.machines:
            if (one.machine, one.elf_class, one.endian) == (machine, elf_class, endian):
                return one
        return None

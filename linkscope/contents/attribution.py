"""From code found in a file to the libraries that are linked into it: each byte is explained once.

What is found is settled in three steps, each time by the most evidence first: among signatures that fit overlapping
bytes (`regions`), among libraries that hold the same code (`claims`), and among the releases of a library (`releases`).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import claims, regions
from linkscope.contents.claims import Claim
from linkscope.contents.limits import Met, unheard
from linkscope.contents.matcher import executable_ranges, matches
from linkscope.contents.regions import Known
from linkscope.contents.releases import LinkedLibrary, releases
from linkscope.contents.surroundings import Surroundings, unknown_code
from linkscope.elf import constants as c
from linkscope.elf.linkage import kind
from linkscope.elf.machines import machine_name
from linkscope.elf.sections import read_sections
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.contents.known import Pack
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader


class Explained(msgspec.Struct, frozen=True):
    """The known code of a file, and what of that each library explains."""

    known: Known
    claims: list[Claim]


class Found(msgspec.Struct, frozen=True):
    """What the packs say of a file's code. size: its executable bytes. libraries: by how many of these they explain."""

    size: int
    libraries: tuple[LinkedLibrary, ...]

    @property
    def attributed(self) -> int:
        """How many bytes the libraries explain; each counts once."""
        return sum(library.size for library in self.libraries)


def linked_in(
    reader: Reader, image: Image, packs: Sequence[Pack], told: Container[str] = (), met: Met = unheard
) -> Found:
    """The libraries whose code is in the file's executable bytes, as far as the packs know them.

    told: the names of those that its texts or symbols prove: then one source file of them is enough. met: is told of
    bounds. Raises MalformedElf, FileUnreadable, and what the packs raise.
    """
    size = _executable_size(reader, image)
    there = explained(reader, image, packs, told, met)
    versions = _versions(machine_name(image.machine), packs) if there.claims else {}
    around = _surroundings(there, image)
    libraries = [
        library
        for claim in there.claims
        for library in releases(
            claim,
            there.known.archives,
            versions.get(claim.library, set()),
            around,
            shared=kind(reader, image) != "executable",
        )
    ]
    return Found(size, tuple(sorted(libraries, key=lambda library: (-library.size, library.name))))


def explained(
    reader: Reader, image: Image, packs: Sequence[Pack], told: Container[str] = (), met: Met = unheard
) -> Explained:
    """Where code of which library stands in the file. told, met, and what it raises: as of `linked_in`."""
    known = regions.known(matches(reader, image, packs, met), machine_name(image.machine), packs)
    return Explained(known, list(claims.claims(known.regions, known.archives, told)))


def _surroundings(there: Explained, image: Image) -> Surroundings:
    before = {region.start: previous for previous, region in pairwise(there.known.regions)}
    firm = {region.start for claim in there.claims for region in claim.regions if region.is_firm}
    return Surroundings(before, tuple(unknown_code(there.known.regions, firm, executable_ranges(image))))


def _executable_size(reader: Reader, image: Image) -> int:
    """The bytes of the executable sections; without section headers, those of the executable segments."""
    segments = sum(end - start for start, end in executable_ranges(image))
    wanted = c.SHF_ALLOC | c.SHF_EXECINSTR
    try:
        sections = sum(
            s.size for s in read_sections(reader, image) if s.flags & wanted == wanted and s.type != c.SHT_NOBITS
        )
    except MalformedElf:
        return segments
    return sections if 0 < sections <= segments else segments


def _versions(architecture: str, packs: Sequence[Pack]) -> dict[str, set[str | None]]:
    """The versions of each library that the packs know."""
    versions: dict[str, set[str | None]] = {}
    for pack in packs:
        for name, known in pack.versions(architecture).items():
            versions.setdefault(name, set()).update(known)
    return versions

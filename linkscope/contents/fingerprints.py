"""What is kept of an archive's machine code so that it is recognised inside a linked file: no code, only digests.

The unit is one executable section of one member, since that is what a linker takes or leaves, and places as a whole
(gABI, Sections; ld, Input Section Basics): `.text` of `inflate.o`, `.text.png_read` where it was compiled with
-ffunction-sections.
"""

from __future__ import annotations

import msgspec


class Signature(msgspec.Struct, frozen=True):
    """One executable section that can be recognised.

    member, section: their names; equal ones may stand in an archive more than once.
    length: bytes of the section. fixed: how many of them no linker changes; the rest belongs to relocations.
    changeable: where the rest is, as `changeable.pack` writes it.
    digest: 12 bytes, over the length, `changeable` and the section with zeros in the place of what may change. Two
    sections with the same digest are the same code: all fields below `digest` are the same, too.
    anchor: 8 fixed bytes as a little-endian number, that stand at `anchor_at` in the section: what a search looks for.
    check: 4 more at `check_at`, as far from them as there are, by which most of what it finds by chance is discarded.
    """

    member: str
    section: str
    length: int
    fixed: int
    digest: bytes
    changeable: bytes
    anchor: int
    anchor_at: int
    check: int
    check_at: int


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """The fingerprints of one archive, and where it is from.

    name: the file's own (`libz.a`). architecture: the contract's `elf.machine` (`x86_64`, `aarch64`).
    members: how many hold machine code. sections, size: of the executable sections that are not empty: their number
    and bytes, those included that are too short to be recognised and so have no signature.
    bitcode: members that hold only what a link-time optimiser reads (LTO): they cannot be recognised.
    library: the upstream project, as Repology names it (`zlib`). package, package_version: of the distribution's
    package (`zlib1g-dev`, `1:1.2.13.dfsg-1`), version: the upstream version in that (`1.2.13`), distribution: whose it
    is (`debian 12`). None where it is not known.
    """

    name: str
    architecture: str
    members: int
    sections: int
    size: int
    signatures: tuple[Signature, ...]
    bitcode: int = 0
    library: str | None = None
    version: str | None = None
    package: str | None = None
    package_version: str | None = None
    distribution: str | None = None

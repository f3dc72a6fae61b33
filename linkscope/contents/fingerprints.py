"""What is kept of an archive's machine code so that it is recognised inside a linked file: no code, only digests.

The unit is one executable section of one member, since that is what a linker takes or leaves, and places as a whole
(gABI, Sections; ld, Input Section Basics): `.text` of `inflate.o`, `.text.png_read` where it was compiled with
-ffunction-sections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from linkscope.contents import changeable
from linkscope.contents.archives import Member
from linkscope.contents.changeable import Range
from linkscope.contents.objects import Code, is_bitcode, read_object

DIGEST = 12  # bytes: of a million candidates none is right by chance
_ANCHOR, _CHECK = 8, 4
_LEAST_FIXED = 16  # bytes: what is shorter stands everywhere
_LEAST_DISTINCT = 4  # values among an anchor's bytes: less are fillings, and stand in rows
_LOOKED_THROUGH = 4096  # bytes from the section's beginning among which anchor and check are chosen
_ANCHORS, _CHECKS = 256, 64  # so many places among these


class Signature(msgspec.Struct, frozen=True):
    """One executable section that can be recognised.

    member, section: their names; equal ones may stand in an archive more than once.
    length: bytes of the section. fixed: how many of them no linker changes; the rest belongs to relocations.
    changeable: where the rest is, as `changeable.pack` writes it.
    digest: 12 bytes, over the length, `changeable` and the section with zeros in the place of what may change. Two
    sections with the same digest are the same code: all fields from `length` to `check_at` are the same, too.
    anchor: 8 fixed bytes as a little-endian number, that stand at `anchor_at` in the section: what a search looks for.
    check: 4 more at `check_at`, by which most of what it finds by chance is discarded.
    shared: whether a linker keeps one for all objects that have it (COMDAT): the code of a header's template or inline
    function. Any program that uses the header may hold it, without the library.
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
    shared: bool = False


class Release(msgspec.Struct, frozen=True):
    """A release of a library, as `Archive` says it: the same one may be built by several distributions."""

    version: str | None
    package_version: str | None
    distribution: str | None


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

    @property
    def called(self) -> str:
        """The upstream project; where that is not known, the package or the archive itself."""
        return self.library or self.package or self.name

    @property
    def release(self) -> Release:
        """Which release of the library it is of."""
        return Release(self.version, self.package_version, self.distribution)


class _Tally(msgspec.Struct):
    members: int = 0
    sections: int = 0
    size: int = 0
    signatures: list[Signature] = msgspec.field(default_factory=list)


def fingerprints(name: str, members: Iterable[Member]) -> list[Archive]:
    """The fingerprints of an archive of that NAME, one for each architecture of its members that is known here.

    Nothing is said yet of where it is from. A member that is no object of such a machine counts for nothing. Where all
    have only what a link-time optimiser reads, and their machine cannot be told, the architecture is "".
    Raises MalformedElf for a member that contradicts itself.
    """
    tallies: dict[str, _Tally] = {}
    bitcode: dict[str, int] = {}
    for member in members:
        if is_bitcode(member.content):
            bitcode[""] = bitcode.get("", 0) + 1
            continue
        found = read_object(member.content, f"{name}({member.name})")
        if found is None or found.architecture not in changeable.ARCHITECTURES:
            continue
        if found.code:
            _count(tallies.setdefault(found.architecture, _Tally()), found.architecture, member.name, found.code)
        elif found.bitcode:
            bitcode[found.architecture] = bitcode.get(found.architecture, 0) + 1
    if len(tallies) == 1:  # bitcode does not say of which machine it is
        bitcode[next(iter(tallies))] = sum(bitcode.values())
        bitcode.pop("", None)
    return [
        Archive(
            name=name,
            architecture=architecture,
            members=tally.members,
            sections=tally.sections,
            size=tally.size,
            signatures=tuple(tally.signatures),
            bitcode=bitcode.get(architecture, 0),
        )
        for architecture in sorted({*tallies, *bitcode})
        for tally in (tallies.get(architecture, _Tally()),)
    ]


def _count(tally: _Tally, architecture: str, member: str, code: list[Code]) -> None:
    tally.members += 1
    for section in code:
        tally.sections += 1
        tally.size += len(section.content)
        made = signature(architecture, member, section)
        if made is not None:
            tally.signatures.append(made)


def signature(architecture: str, member: str, section: Code) -> Signature | None:
    """How the section of that member is recognised; None where too little of it is fixed."""
    code = section.content
    ranges = changeable.changeable(architecture, code, section.relocations)
    fixed = len(code) - sum(end - start for start, end in ranges)
    if fixed < _LEAST_FIXED:
        return None
    rarity = _Rarity(architecture, code[:_LOOKED_THROUGH], ranges)
    anchor_at = rarity.best(_ANCHOR, _ANCHORS, STEP[architecture], _LEAST_DISTINCT)
    if anchor_at is None:
        return None
    check_at = rarity.best(_CHECK, _CHECKS, 1, 1, (anchor_at, anchor_at + _ANCHOR))
    if check_at is None:  # no other four bytes are fixed in one piece
        check_at = anchor_at
    packed = changeable.pack(ranges)
    return Signature(
        member=member,
        section=section.name,
        length=len(code),
        fixed=fixed,
        digest=digest(packed, code, ranges),
        changeable=packed,
        anchor=int.from_bytes(code[anchor_at : anchor_at + _ANCHOR], "little"),
        anchor_at=anchor_at,
        check=int.from_bytes(code[check_at : check_at + _CHECK], "little"),
        check_at=check_at,
        shared=section.shared,
    )


def digest(packed: bytes, code: bytes | memoryview, ranges: Iterable[Range]) -> bytes:
    """The digest of a section. packed: its RANGES of what may change, as `changeable.pack` writes them."""
    from hashlib import blake2b  # it brings libcrypto, which who only reads signatures does not need

    hashed = blake2b(changeable.without(code, ranges), digest_size=DIGEST)
    hashed.update(packed)
    return hashed.digest()


# How seldom each value is among the bytes of code: -log2 of its share, one hexadecimal digit a value. Measured over
# libc.a, libcrypto.a, libz.a, libsqlite3.a and libstdc++.a of Debian 12 (6.1 MB), and for arm64 over libc.a, libm.a,
# libgcc.a, libgomp.a and libtsan.a of its cross compiler. It only decides which bytes are looked for.
_SELDOM = {
    "x86_64": (
        "2688889979aa9aa579ba99aa8bbbab978abb59bb89baab9b96baa9bb88ba99ba86a967a947aa68ba8bb988a99bb888aa"
        "9ba99b7babbbaba99baa78aa9bba8aa989b676ba95c5a6ab9ccbaaccacccbbcbacccbbccacbbbccbabcbbb9a9a9baa89"
        "6897888798abaaaa9a8aaaaa9aa9baa89a9baaa9679899989aa8aa8989899885"
    ),
    "aarch64": (
        "2664688889989aa98987788689888b8777899bb9aa8abcbbbaaa88a998c9a8c857789aaaabbabcaaba786cbbbdb8cdd7"
        "7897abba9ba8bbbab8a8bbbb9aa89ab869999bbbbcb8cccb76996cb9cc9abea8899aaacb866bcacbbbaa89bb97cbbbb9"
        "6999abbbbbb9bccc9a79b88cbcbccdca67889aaaaba8bbbba997989885999785"
    ),
}
# At which offsets an anchor may stand: instructions of arm64 are words, so that a search need not look elsewhere.
STEP = {"x86_64": 1, "aarch64": 4}


class _Rarity:
    """Where in a section its rarest fixed bytes are.

    A stretch of bytes is as rare as its distinct bytes are, which leaves fillings and runs of zeros behind.
    """

    def __init__(self, architecture: str, code: bytes, ranges: list[Range]) -> None:
        self._code = code
        self._bits = [int(digit, 16) for digit in _SELDOM[architecture]]
        self._stretches = list(_between(ranges, len(code)))

    def best(self, size: int, most: int, step: int, distinct: int, outside: Range = (0, 0)) -> int | None:
        """The offset of the rarest SIZE bytes in a row; None where there are none with so many DISTINCT values.

        most: so many places are looked at, and one in each stretch at least. step: the offset is a multiple of it.
        outside: bytes that it must not touch.
        """
        code, bits = self._code, self._bits
        stride = step * max(len(code) // (most * step), 1)
        best: tuple[int, int] | None = None
        for start, end in self._stretches:
            for at in range(start + -start % step, end - size + 1, stride):
                if at < outside[1] and at + size > outside[0]:
                    continue
                values = set(code[at : at + size])
                if len(values) >= distinct:
                    rarity = sum([bits[value] for value in values]), -at
                    best = rarity if best is None or rarity > best else best
        return None if best is None else -best[1]


def _between(ranges: list[Range], size: int) -> Iterator[Range]:
    """What lies between the ranges, up to SIZE."""
    before = 0
    for start, end in ranges:
        if start >= size:
            break
        if start > before:
            yield before, start
        before = end
    if before < size:
        yield before, size

"""What is inside one file, by all that can prove it, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import bundles, embedded, golang, languages, packagenote, rust, symbols
from linkscope.elf import constants as c
from linkscope.elf.machines import machine_name
from linkscope.elf.notes import NT_GNU_ABI_TAG, segment_notes
from linkscope.elf.packing import packed
from linkscope.model.inspect import Code, Content, Evidence, File

if TYPE_CHECKING:
    from linkscope.contents.attribution import Found
    from linkscope.contents.known import Pack
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# The families of File.libc by the names that Repology has for them; for those that are not here, as well as it can.
_LIBRARIES = {"glibc": "glibc", "musl": "musl", "uclibc": "uclibc-ng", "dietlibc": "dietlibc", "bionic": "bionic"}


class Inside(msgspec.Struct, frozen=True):
    """What is inside one file, one entry for each name of an ecosystem, in their order.

    code: how much of its machine code that accounts for; None where no pack has signatures for its machine.
    """

    contents: list[Content]
    code: Code | None = None


def inside(reader: Reader, image: Image, file: File, packs: Sequence[Pack] = ()) -> Inside:
    """What is inside the open file, by its texts, symbols and notes, and by the code that the PACKS know.

    file: what `inspect` says of it. Of a packed program, an object file, a core dump or a debug file nothing is known.
    Raises MalformedElf, FileUnreadable and what the packs raise.
    """
    if image.type not in (c.ET_EXEC, c.ET_DYN) or image.debug or packed(reader, image):
        return Inside([])
    build = golang.go_build(reader, image)
    found = _found(reader, image, packs)
    told = [
        *_c_library(reader, image, file),
        *embedded.contents(reader, image),
        *symbols.contents(reader, image),
        *(golang.contents(build) if build else ()),
        *rust.contents(reader, image),
        *languages.contents(reader, image),
        *bundles.contents(reader, image),
        *packagenote.contents(packagenote.package_notes(reader, image)),
    ]
    if found is None:
        return Inside(_together(told))
    from linkscope.contents import fingerprinted

    contents = _together(_with_fingerprints(told, fingerprinted.contents(found)))
    return Inside(contents, fingerprinted.code(found, contents))


def identify(reader: Reader, image: Image, file: File, packs: Sequence[Pack] = ()) -> list[Content]:
    """The contents alone, as `inside` has them."""
    return inside(reader, image, file, packs).contents


def _found(reader: Reader, image: Image, packs: Sequence[Pack]) -> Found | None:
    """What is found by fingerprints; None where no pack has any for the machine."""
    architecture = machine_name(image.machine)
    if not any(pack.codes(architecture) is not None for pack in packs):
        return None
    from linkscope.contents.attribution import linked_in

    return linked_in(reader, image, packs)


def _c_library(reader: Reader, image: Image, file: File) -> list[Content]:
    """The C library inside a static program, which `inspect` has told already."""
    name = _LIBRARIES.get(file.libc.family)
    if file.linkage != "static" or name is None:
        return []
    tagged = any((o, kind) == (b"GNU", NT_GNU_ABI_TAG) for o, kind, _ in segment_notes(reader, image))
    evidence = Evidence(kind="note", text="NT_GNU_ABI_TAG") if tagged and name == "glibc" else _START
    return [Content(name=name, ecosystem="generic", version=file.libc.version, evidence=[evidence])]


# What `elf/libc.py` goes by where there is no note: the library's start code, symbols of its own, or its texts.
_START = Evidence(kind="fingerprint", text="the C library's start code, symbols or texts")


def _with_fingerprints(told: list[Content], found: list[Content]) -> list[Content]:
    """TOLD with what was FOUND by fingerprints, which is the strongest evidence, before the rest of its kind.

    The version is the one that the library's own texts tell, as they are compiled in: code may be the same in several.
    Where several versions of a library are in the file, what is told of one goes to that one, or else to the first.
    """
    versions: dict[str, list[str | None]] = {}
    for one in found:
        versions.setdefault(one.name, []).append(one.version)
    several = {name for name, there in versions.items() if len(there) > 1}
    said = {one.name: one.version for one in told if one.ecosystem == "generic" and one.version}
    proven = [
        one if one.name in several else msgspec.structs.replace(one, version=said.get(one.name, one.version))
        for one in found
    ]
    placed = [
        msgspec.structs.replace(
            one, version=one.version if one.version in versions[one.name] else versions[one.name][0]
        )
        if one.ecosystem == "generic" and one.name in several
        else one
        for one in told
    ]
    return [*proven, *placed]


def _together(found: list[Content]) -> list[Content]:
    """FOUND with one entry for each name of an ecosystem: all its evidence, and the first version that was told.

    Of crates there may be several versions in one program, which Cargo keeps apart: each is an entry. So is each
    version of a library whose code is in the file in several.
    """
    fingerprints = [content.name for content in found if any(proof.archive for proof in content.evidence)]
    merged: dict[tuple[str, str, str], Content] = {}
    for content in found:
        apart = content.ecosystem == "cargo" or (
            content.ecosystem == "generic" and fingerprints.count(content.name) > 1
        )
        several = (apart and content.version) or ""
        key = content.ecosystem, content.name, several
        before = merged.get(key)
        if before is not None:
            content = Content(
                name=before.name,
                ecosystem=before.ecosystem,
                version=before.version or content.version,
                evidence=before.evidence + [proof for proof in content.evidence if proof not in before.evidence],
            )
        merged[key] = content
    return [merged[key] for key in sorted(merged)]

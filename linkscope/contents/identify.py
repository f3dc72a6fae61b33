"""What is inside one file, by all that can prove it, put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import bundles, embedded, forks, golang, itself, languages, packagenote, rust, symbols
from linkscope.contents.limits import Limits, Met
from linkscope.contents.together import together
from linkscope.elf import constants as c
from linkscope.elf.machines import machine_name
from linkscope.elf.notes import NT_GNU_ABI_TAG, segment_notes
from linkscope.elf.packing import packed
from linkscope.model.inspect import Code, Content, Evidence, File, Limit

if TYPE_CHECKING:
    from linkscope.contents.attribution import Found
    from linkscope.contents.known import Pack
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# The families of File.libc by the names that Repology has for them; for those that are not here, as well as it can.
_LIBRARIES = {"glibc": "glibc", "musl": "musl", "uclibc": "uclibc-ng", "dietlibc": "dietlibc", "bionic": "bionic"}


class Inside(msgspec.Struct, frozen=True):
    """What is inside one file, one entry for each name of an ecosystem, in their order.

    code: how much of its machine code that accounts for; None where no pack has signatures for its machine. limits:
    the bounds that the search met.
    """

    contents: list[Content]
    code: Code | None = None
    limits: tuple[Limit, ...] = ()


def inside(reader: Reader, image: Image, file: File, packs: Sequence[Pack] = ()) -> Inside:
    """What is inside the open file, by its texts, symbols and notes, and by the code that the PACKS know.

    file: what `inspect` says of it. Of a packed program, an object file, a core dump or a debug file nothing is known.
    Raises MalformedElf, FileUnreadable and what the packs raise.
    """
    if image.type not in (c.ET_EXEC, c.ET_DYN) or image.debug or packed(reader, image):
        return Inside([])
    limits = Limits()
    limits.met_by_size(reader, image)
    build = golang.go_build(reader, image)
    told = [
        *_c_library(reader, image, file),
        *embedded.contents(reader, image, met=limits.met),
        *symbols.contents(reader, image),
        *(golang.contents(build) if build else ()),
        *rust.contents(reader, image, limits.met),
        *languages.contents(reader, image, limits.met),
        *bundles.contents(reader, image, limits.met),
        *packagenote.contents(packagenote.package_notes(reader, image)),
    ]
    found = _found(reader, image, packs, told, limits.met)
    if found is None:
        return Inside(itself.marked(forks.settled(together(told))), limits=tuple(limits.listed()))
    from linkscope.contents import fingerprinted

    contents = forks.settled(together(told, fingerprinted.contents(found)))
    return Inside(
        itself.marked(fingerprinted.with_absent_code(contents, machine_name(image.machine), packs)),
        fingerprinted.code(found, contents),
        tuple(limits.listed()),
    )


def identify(reader: Reader, image: Image, file: File, packs: Sequence[Pack] = ()) -> list[Content]:
    """The contents alone, as `inside` has them."""
    return inside(reader, image, file, packs).contents


def _found(reader: Reader, image: Image, packs: Sequence[Pack], told: Iterable[Content], met: Met) -> Found | None:
    """What is found by fingerprints, with what was TOLD before; None where no pack has any for the machine."""
    architecture = machine_name(image.machine)
    if not any(pack.codes(architecture) is not None for pack in packs):
        return None
    from linkscope.contents.attribution import linked_in

    return linked_in(reader, image, packs, {one.name for one in told if one.ecosystem == "generic"}, met)


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

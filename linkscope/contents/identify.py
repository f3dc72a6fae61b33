"""What is inside one file, by all that can prove it, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.contents import embedded, golang, packagenote, rust, symbols
from linkscope.elf import constants as c
from linkscope.elf.notes import NT_GNU_ABI_TAG, segment_notes
from linkscope.elf.packing import packed
from linkscope.model.inspect import Content, Evidence, File

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# The families of File.libc by the names that Repology has for them; for those that are not here, as well as it can.
_LIBRARIES = {"glibc": "glibc", "musl": "musl", "uclibc": "uclibc-ng", "dietlibc": "dietlibc", "bionic": "bionic"}


def identify(reader: Reader, image: Image, file: File) -> list[Content]:
    """What is inside the open file, one entry for each name of an ecosystem, in their order.

    file: what `inspect` says of it. Of a packed program, an object file, a core dump or a debug file nothing is known,
    which gives []. Raises MalformedElf and FileUnreadable.
    """
    if image.type not in (c.ET_EXEC, c.ET_DYN) or image.debug or packed(reader, image):
        return []
    build = golang.go_build(reader, image)
    return _together(
        [
            *_c_library(reader, image, file),
            *embedded.contents(reader, image),
            *symbols.contents(reader, image),
            *(golang.contents(build) if build else ()),
            *rust.contents(reader, image),
            *packagenote.contents(packagenote.package_notes(reader, image)),
        ]
    )


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


def _together(found: list[Content]) -> list[Content]:
    """FOUND with one entry for each name of an ecosystem: all its evidence, and the first version that was told.

    Of crates there may be several versions in one program, which Cargo keeps apart: each is an entry.
    """
    merged: dict[tuple[str, str, str], Content] = {}
    for content in found:
        several = (content.ecosystem == "cargo" and content.version) or ""
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

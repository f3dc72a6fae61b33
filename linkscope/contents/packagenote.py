"""The note in which a distribution says from which of its packages a file comes.

Source: systemd's ELF package metadata (uapi-group.org, "Package Metadata for Executable Files"): a note of the owner
FDO whose descriptor is a JSON object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from linkscope.elf.notes import segment_notes
from linkscope.model.inspect import Content, Evidence

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_FDO_PACKAGING_METADATA = 0xCAFE1A7E
_OWNER = b"FDO"


class PackageNote(msgspec.Struct, frozen=True):
    """What the note says: name and version of the package, its type (`deb`, `rpm`, …), and the operating system."""

    name: str | None = None
    version: str | None = None
    type: str | None = None
    os: str | None = None


def package_notes(reader: Reader, image: Image) -> list[PackageNote]:
    """The notes of the file that are what the specification says; others are no notes."""
    found = []
    for owner, kind, descriptor in segment_notes(reader, image):
        if (owner, kind) == (_OWNER, _FDO_PACKAGING_METADATA):
            try:
                found.append(msgspec.json.decode(descriptor.rstrip(b"\0"), type=PackageNote))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
    return found


def contents(notes: list[PackageNote]) -> list[Content]:
    """One for each note that names a package; its ecosystem is the package's type."""
    return [
        Content(
            name=note.name,
            ecosystem=note.type or "generic",
            version=note.version,
            evidence=[Evidence(kind="note", text=_text(note))],
        )
        for note in notes
        if note.name
    ]


def _text(note: PackageNote) -> str:
    return " ".join(word for word in (note.type, note.name, note.version, note.os and f"({note.os})") if word)

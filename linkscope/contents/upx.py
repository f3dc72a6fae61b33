"""What was packed by UPX, as an open file of its own, and how that is told: nothing of it is executed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from linkscope.elf.reader import Reader
from linkscope.errors import LinkScopeError
from linkscope.model.document import text
from linkscope.model.inspect import Content, Evidence
from linkscope.packages.limits import Broken
from linkscope.packages.upx.unpacking import unpack

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.packages.upx.unpacking import Original


class CannotUnpack(LinkScopeError):
    """The file is packed, and what it was before cannot be worked out."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, f"packed by UPX, and cannot be unpacked: it {reason}")


@contextmanager
def unpacked(reader: Reader, image: Image) -> Iterator[tuple[Reader, Original]]:
    """The file that was packed, under the name of the packed one, in memory (memfd_create(2)).

    Raises CannotUnpack and FileUnreadable.
    """
    try:
        original = unpack(reader, image)
    except Broken as error:
        raise CannotUnpack(reader.path, error.reason) from error
    with _in_memory(original.content, reader.path) as inner:
        yield inner, original


def _in_memory(data: bytearray, path: str) -> Reader:
    """An open file with these bytes, called PATH. Raises CannotUnpack where there is no memory for it."""
    descriptor = -1
    try:
        descriptor = os.memfd_create("linkscope", os.MFD_CLOEXEC)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        return Reader(descriptor, path)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise CannotUnpack(path, f"does not fit into memory: {os.strerror(error.errno or 0).lower()}") from error


def content(original: Original, image: Image) -> Content:
    """UPX itself, whose stub the packed file holds: how it was unpacked, and what the program that was packed asks for.

    image: of the unpacked file.
    """
    checked = "the checksums (Adler-32) agree" if original.checked else "there was no checksum to compare it with"
    how = ", ".join(original.methods)
    told = f"UPX ({how}): unpacked in memory, {original.packed:,} bytes to {len(original.content):,}; {checked}"
    evidence = [Evidence(kind="bundle", text=told)]
    asks = [f"needs {', '.join(image.needed)}"] if image.needed else []
    asks += [f"is started by {image.interpreter}"] if image.interpreter else []
    if asks:
        evidence.append(Evidence(kind="bundle", text=text(f"what was packed {' and '.join(asks)}")))
    return Content(name="upx", ecosystem="generic", version=original.release, evidence=evidence)

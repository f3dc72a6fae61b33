"""Texts that Go's linker gives to variables of a program, where the record of its build was taken out.

The record repeats two variables: `runtime.buildVersion`, and `runtime.modinfo`, the text of the modules between two
marks. A text counts where a variable of the program is that string: its address and its length stand in the writable
data. So what the program merely carries (another program, a list of marks) is not taken for its own. Source: Go
runtime/debug/mod.go; cmd/go/internal/modload/build.go, ModInfoData; cmd/link/internal/ld/data.go, addstrdata, for the
NUL behind what the linker fills in, and behind no text of the program's sources.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from linkscope.contents import spans, texts
from linkscope.elf import gotable
from linkscope.elf.gotable import in_variables

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

FRAME = 16
"""Bytes of the mark before the modules' text, and of that behind it."""
LONGEST = 1 << 24
"""Bytes of one text; Kubernetes' list of modules has some 20 000."""

_START = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")
_END = bytes.fromhex("f932433186182072008242104116d8f2")
_VERSION_ANCHOR = b"go1."
_DEVEL = b"devel "  # before the version of a toolchain between two releases
_VERSION = re.compile(rb"go1\.\d{1,4}[!-.0-~]{0,100}+(?: [ -.0-~]{1,200}+)?+(?=\0)")  # no path: it has no `/`
_LONGEST_VERSION = 320
_MOST_PLACES = 1 << 16  # of an anchor in one file
_MOST_TEXTS = 8  # of each kind that are held against the variables; a program has one


def build_version(reader: Reader, image: Image) -> bytes | None:
    """The toolchain as `runtime.buildVersion` has it: `go1.22.3`; None where no variable is such, or several differ."""
    found = islice(_versions(reader, image), _MOST_TEXTS)
    return _only(text for text, _ in _variables(reader, image, list(found)))


def module_text(reader: Reader, image: Image) -> bytes | None:
    """The text of `runtime.modinfo` with the marks around it; None as for `build_version`."""
    return _only(text for text, _ in _variables(reader, image, list(_framed(reader, image))))


def _only(found: Iterable[bytes]) -> bytes | None:
    different = set(found)
    return different.pop() if len(different) == 1 else None


def _variables(reader: Reader, image: Image, found: list[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
    """Those of the texts FOUND, each with its offset in the file, that a variable of the program is."""
    layout = struct.Struct(image.layout.order + ("2I" if image.layout.word == 4 else "2Q"))
    headers = {
        (text, at): [layout.pack(address, len(text)) for address in gotable.addresses(image, at)] for text, at in found
    }
    there = in_variables(reader, image, (header for every in headers.values() for header in every))
    return (place for place, every in headers.items() if not there.isdisjoint(every))


def _versions(reader: Reader, image: Image) -> Iterator[tuple[bytes, int]]:
    """What may be the toolchain's version, and where it stands in the file."""
    every = spans.pieces(reader, texts.areas(reader, image), _LONGEST_VERSION)
    places = ((offset, data, at) for offset, data, size in every for at in _found(data, _VERSION_ANCHOR, size))
    for offset, data, at in islice(places, _MOST_PLACES):
        match = _VERSION.match(data, at)
        if match is not None:
            start = at - len(_DEVEL) if data.endswith(_DEVEL, 0, at) else at
            yield data[start : match.end()], offset + start


def _framed(reader: Reader, image: Image) -> Iterator[tuple[bytes, int]]:
    """What stands between the two marks, with these, and where in the file."""
    every = spans.pieces(reader, texts.areas(reader, image), FRAME)
    places = (offset + at for offset, data, size in every for at in _found(data, _START, size))
    for start in islice(places, _MOST_TEXTS):
        rest = reader.read(start, min(LONGEST, reader.size - start))
        end = rest.find(_END)
        if end >= 0:
            yield rest[: end + FRAME], start


def _found(data: bytes, text: bytes, size: int) -> Iterator[int]:
    """Where TEXT begins within the first SIZE bytes of DATA."""
    at = data.find(text, 0, size + len(text) - 1)
    while at >= 0:
        yield at
        at = data.find(text, at + 1, size + len(text) - 1)

"""The read-only data of one file, where a program's own texts stand, searched in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from linkscope.elf import constants as c

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_PIECE = 1 << 18
_OVERLAP = 256  # what stands across the border of two pieces is seen if it is not longer than this
_LIMIT = 1 << 27  # bytes that are looked at in one file
_KEPT = 1 << 25  # bytes that are kept with the open file for the next search
_LOADER_LIMIT = 1 << 22  # bytes; the largest real loader (musl, which is the C library too) has 0.7 MB


def pieces(reader: Reader, image: Image) -> Iterator[bytes]:
    """The bytes of the segments that hold constants, the last piece first, each with the beginning of the next behind.

    The C library of a static program is linked in last, so that what tells it stands near the end. Linkers either put
    constants into segments of their own (R; where there are two of these, the first has only what the linker itself
    wrote: headers, symbols, relocations), or beside the code (R E), or all into one (RWE).
    """
    places = list(_places(reader, image))
    kept = cast("dict[tuple[int, int], bytes]", reader.memory.setdefault("read-only data", {}))
    keeps = sum(size for _, size in places) <= _KEPT
    for place in places:
        piece = kept.get(place)
        if piece is None:
            piece = reader.read(*place)
            if keeps:
                kept[place] = piece
        yield piece


def _places(reader: Reader, image: Image) -> Iterator[tuple[int, int]]:
    """Where the pieces lie in the file: (offset, size)."""
    loaded = [s for s in image.segments if s.type == c.PT_LOAD and s.filesz]
    plain = [s for s in loaded if not s.flags & (c.PF_W | c.PF_X)]
    left = _LIMIT
    unwind = image.segment(c.PT_GNU_EH_FRAME)
    for segment in reversed(plain[1:] or plain or [s for s in loaded if not s.flags & c.PF_W] or loaded):
        end = min(segment.filesz, left, reader.size - segment.offset)
        left -= max(end, 0)
        if unwind is not None and 0 < unwind.offset - segment.offset < end:
            end = unwind.offset - segment.offset  # tables for unwinding are all that linkers put behind this
        for at in reversed(range(0, end, _PIECE)):
            yield segment.offset + at, min(at + _PIECE + _OVERLAP, end) - at


def loader_constants(reader: Reader, image: Image, without: int) -> bytes:
    """The bytes of the loaded segments that have none of the flags WITHOUT, in order, NUL between two of them.

    For a dynamic loader, whose facts are strings in there. Never more than 4 MiB of a file, whatever its segments say.
    """
    found = []
    left = _LOADER_LIMIT
    for segment in image.segments:
        if segment.type == c.PT_LOAD and not segment.flags & without:
            size = min(segment.filesz, left, reader.size - segment.offset)
            if size > 0:
                found.append(reader.read(segment.offset, size))
                left -= size
    return b"\0".join(found)


def found_among(reader: Reader, image: Image, texts: Iterable[bytes]) -> set[bytes]:
    """Those of TEXTS, none longer than 256 bytes, that stand in the read-only data.

    rfind: it is twice as fast as find for such texts (CPython 3.11, measured).
    """
    wanted = set(texts)
    found: set[bytes] = set()
    for piece in pieces(reader, image):
        found |= {text for text in wanted if piece.rfind(text) >= 0}
        wanted -= found
        if not wanted:
            break
    return found

"""The read-only data of one file, where a program's own texts stand, searched in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linkscope.elf import constants as c

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_PIECE = 1 << 16  # small enough to stay in the processor's cache
_OVERLAP = 256  # what stands across the border of two pieces is seen if it is not longer than this
_LIMIT = 1 << 27  # bytes that are looked at in one file


def pieces(reader: Reader, image: Image) -> Iterator[bytes]:
    """The bytes of the segments that hold constants, each piece beginning with the end of the one before.

    Linkers either put constants into segments of their own (R; where there are two of these, the first has only what
    the linker itself wrote: headers, symbols, relocations), or beside the code (R E), or all into one (RWE).
    """
    loaded = [s for s in image.segments if s.type == c.PT_LOAD and s.filesz]
    plain = [s for s in loaded if not s.flags & (c.PF_W | c.PF_X)]
    left = _LIMIT
    for segment in plain[1:] or plain or [s for s in loaded if not s.flags & c.PF_W] or loaded:
        end = min(segment.filesz, left, reader.size - segment.offset)
        left -= max(end, 0)
        for at in range(0, end, _PIECE):
            start = max(at - _OVERLAP, 0)
            yield reader.read(segment.offset + start, min(at + _PIECE, end) - start)


def found_among(reader: Reader, image: Image, texts: Iterable[bytes]) -> set[bytes]:
    """Those of TEXTS, none longer than 256 bytes, that stand in the read-only data."""
    wanted = set(texts)
    found: set[bytes] = set()
    for piece in pieces(reader, image):
        found |= {text for text in wanted if text in piece}
        wanted -= found
        if not wanted:
            break
    return found

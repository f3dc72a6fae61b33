"""The texts in a file's read-only data, found by a part of them or by what nearly every version has: `1.2`.

One pass in bounded pieces. The strings of the dynamic section are left out: the names of other libraries and of
symbols are no texts of the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents.needles import Needles, needles
from linkscope.elf import constants as c
from linkscope.elf.segments import file_offset
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_PIECE = 1 << 22
_REACH = 512  # bytes of a text before what it was found by, and behind it
_LIMIT = 1 << 30  # bytes that are looked at in one file
_MOST_WRITTEN = 1 << 28  # bytes of writable data that are
_DOT = re.compile(rb"\.[0-9]")  # with a literal in front it is searched for at 2 GB/s (CPython 3.11, measured)
_DIGITS = frozenset(b"0123456789")


class Area(msgspec.Struct, frozen=True):
    """Bytes of the file that hold constants."""

    offset: int
    size: int


def areas(reader: Reader, image: Image) -> list[Area]:
    """Where the read-only data lies, in the order of the file.

    Segments that are neither written nor executed and, where a linker put the constants beside the code, that one:
    when such a file was edited (patchelf), it has a segment without code as well. What is written by the loader alone
    (PT_GNU_RELRO) holds constants, too.
    """
    found, left = [], _LIMIT
    for start, end in _constants(reader, image):
        size = min(end - start, left)
        if size > 0:
            found.append(Area(start, size))
            left -= size
    return found


def are_too_many(reader: Reader, image: Image) -> bool:
    """Whether there is more read-only data than is looked at."""
    return sum(end - start for start, end in _constants(reader, image)) > _LIMIT


def is_too_much_written(reader: Reader, image: Image) -> bool:
    """Whether there is more writable data than is looked at."""
    loads = (s for s in image.segments if s.type == c.PT_LOAD and s.flags & c.PF_W)
    return sum(max(min(s.filesz, reader.size - s.offset), 0) for s in loads) > _MOST_WRITTEN


def _constants(reader: Reader, image: Image) -> list[tuple[int, int]]:
    """The bounds of the read-only data, all of it, in the order of the file."""
    ranges: list[tuple[int, int]] = []
    for segment in image.segments:
        loaded = segment.type == c.PT_LOAD and not segment.flags & c.PF_W
        if loaded or segment.type == c.PT_GNU_RELRO:
            end = min(segment.offset + segment.filesz, reader.size)
            if segment.offset < end:
                ranges.append((segment.offset, end))
    names = _dynamic_strings(image)
    return [part for span in merged(ranges) for part in _without(span, names)]


def written_areas(reader: Reader, image: Image) -> list[Area]:
    """The bytes of the segments that the program may write, as they are when it starts."""
    found, left = [], _MOST_WRITTEN
    for segment in image.segments:
        if segment.type == c.PT_LOAD and segment.flags & c.PF_W:
            size = min(segment.filesz, reader.size - segment.offset, left)
            if size > 0:
                left -= size
                found.append(Area(segment.offset, size))
    return found


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes without any twice."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _dynamic_strings(image: Image) -> tuple[int, int]:
    """Where DT_STRTAB lies in the file; (0, 0) where there is none."""
    address, size = image.value(c.DT_STRTAB), image.value(c.DT_STRSZ)
    if address is None or size is None:
        return 0, 0
    try:
        offset, available = file_offset(image.segments, address, image.path)
    except MalformedElf:
        return 0, 0
    return offset, offset + min(size, available)


def _without(span: tuple[int, int], hole: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The parts of SPAN that are not in HOLE."""
    (start, end), (begin, stop) = span, hole
    if not start <= begin < stop <= end:
        yield span
        return
    yield start, begin
    yield stop, end


def _pieces(reader: Reader, places: Iterable[Area]) -> Iterator[tuple[bytes, int, int]]:
    """The bytes of PLACES with what stands around them: (bytes, first, last); matches begin in [first, last).

    An area's own first and last byte have nothing around them: NUL stands for what does not belong to it.
    """
    for area in places:
        for at in range(0, area.size, _PIECE):
            start = max(at - _REACH, 0)
            stop = min(at + _PIECE + _REACH, area.size)
            data = reader.read(area.offset + start, stop - start)
            yield data, at - start, min(at + _PIECE, area.size) - start


def dotted(reader: Reader, places: Iterable[Area]) -> Iterator[bytes]:
    """Every text that has a digit, a dot and a digit, with the NUL bytes around it; of a long one what is near."""
    for data, first, last in _pieces(reader, places):
        at = first
        while True:
            found = _DOT.search(data, at)
            if found is None or found.start() >= last:
                break
            dot = found.start()
            if dot and data[dot - 1] in _DIGITS:
                start, at = _around(data, dot)
                yield data[start:at]
            else:
                at = dot + 1


def holding(reader: Reader, places: Iterable[Area], wanted: Needles) -> Iterator[tuple[bytes, bytes]]:
    """Every text that has one of the WANTED in it: (wanted, text), with the NUL bytes around it.

    What is wanted may reach over the end of a text. One that a text has twice counts once.
    """
    for data, first, last in _pieces(reader, places):
        behind: dict[bytes, int] = {}
        for needle, at in wanted.find(data):
            if first <= at < last and at >= behind.get(needle, 0):
                start, behind[needle] = _around(data, at)
                yield needle, data[start : behind[needle]]


def present(reader: Reader, places: Iterable[Area], texts: Iterable[bytes]) -> set[bytes]:
    """Those of TEXTS, none longer than 512 bytes, that stand in the data."""
    wanted, found = set(texts), set[bytes]()
    sought = needles(frozenset(wanted))
    for data, _, _ in _pieces(reader, places) if wanted else ():
        found.update(text for text, _ in sought.find(data))
        if len(found) == len(wanted):
            break
    return found


def _around(data: bytes, at: int) -> tuple[int, int]:
    """The bounds of the text at AT, the NUL bytes before and behind it included; it always reaches beyond AT."""
    low, high = max(at - _REACH, 0), at + _REACH
    start = data.rfind(b"\0", low, at)
    end = data.find(b"\0", at, high)
    return max(start, low), (end + 1 if end >= 0 else min(high, len(data)))

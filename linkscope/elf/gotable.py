"""The table of functions and lines that Go's linker puts into every program: it is there when all else was taken out.

    0       4     6          7          8
    magic | 0 0 | quantum  | word     | functions, files … names of functions, each with NUL behind
                  (code)     (4 or 8)

The run-time system reads it for stack traces and for the garbage collector, so that nobody can strip it. Its variable
`runtime.firstmoduledata` begins with its address: by that it is the program's own, and not that of a program which it
carries as data. Source: Go debug/gosym/pclntab.go; internal/abi/symtab.go for the magics; runtime/symtab.go, pcHeader
and moduledata; cmd/link/internal/ld/pcln.go.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, cast

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.sections import sections_named
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.segments import Segment

SECTIONS = frozenset((b".gopclntab", b".data.rel.ro.gopclntab"))
"""How Go's linker calls its section; the second in programs that are loaded anywhere."""
_MERGED = b".data.rel.ro"  # what other linkers make of the second (GNU ld's default script)
FUNCTION = b"runtime.main"
"""The function that starts a Go program's own: no program with Go's run-time system goes without it."""

_MAGICS = {0xFFFFFFFB: "1.2", 0xFFFFFFFA: "1.16", 0xFFFFFFF0: "1.18", 0xFFFFFFF1: "1.20"}
_QUANTA = {c.EM_X86_64: (1,), c.EM_386: (1,), c.EM_S390: (2,), c.EM_RISCV: (2, 4)}  # Go cmd/internal/sys/arch.go, MinLC
_HEADER = 8
_PIECE = 1 << 20
_SEARCHED = 1 << 28  # bytes of one file, and as many of its variables
_LONGEST_TABLE = 1 << 27  # bytes in which the name is looked for; Kubernetes' table has 20 MB
_MOST_PLACES = 1 << 16  # where a header of it may stand; a program has some
_MOST_TABLES = 4  # headers of which the rest is looked at; a program has one, and each program in it
_MOST_ADDRESSES = 2  # of one byte; segments overlap in none that a linker made


class LineTable(msgspec.Struct, frozen=True):
    """Where the table stands in the file, and the first version of Go that writes it so."""

    offset: int
    since: str


def line_table(reader: Reader, image: Image) -> LineTable | None:
    """The program's own table; None where it is no Go program. It is kept with the open file.

    It is found by its section and, where none is called so, by its first bytes. Raises FileUnreadable.
    """
    if "line table" not in reader.memory:
        reader.memory["line table"] = _line_table(reader, image)
    return cast("LineTable | None", reader.memory["line table"])


def _line_table(reader: Reader, image: Image) -> LineTable | None:
    places = islice(_places(reader, image), _MOST_PLACES)
    headers = ((place, since) for place in places if (since := _since(reader, image, place)) is not None)
    for place, since in islice(headers, _MOST_TABLES):
        if _is_own(reader, image, place):
            return LineTable(place, since)
    return None


def addresses(image: Image, offset: int) -> list[int]:
    """Where the byte at an OFFSET of the file is loaded, before the whole of it is moved."""
    holding = (s for s in _loaded(image) if s.offset <= offset < s.offset + s.filesz)
    highest = (1 << 8 * image.layout.word) - 1  # a damaged file may end beyond it
    return [(s.vaddr + offset - s.offset) & highest for s in islice(holding, _MOST_ADDRESSES)]


def in_variables(reader: Reader, image: Image, values: Iterable[bytes]) -> set[bytes]:
    """Those of VALUES, one or more words each, that stand in the writable data as variables do: at a word's place.

    Also what is relocated has its address there already: Go's linker writes it although the loader will do so again
    (cmd/link/internal/ld/data.go, dynrelocsym), and so does its output through another linker.
    """
    wanted, found = set(values), set[bytes]()
    longest = max(map(len, wanted), default=0)
    written = [segment for segment in _loaded(image) if segment.flags & c.PF_W]
    for offset, data, size in _pieces(reader, [(s.offset, s.filesz) for s in written], longest):
        found |= {one for one in wanted - found if _stands_in(data, one, size, image.layout.word, offset)}
        if found == wanted:
            break
    return found


def _stands_in(data: bytes, value: bytes, size: int, word: int, offset: int) -> bool:
    at = data.find(value)
    while 0 <= at < size and (offset + at) % word:
        at = data.find(value, at + 1)
    return 0 <= at < size


def _places(reader: Reader, image: Image) -> Iterator[int]:
    """Where a table may begin: where a section says so or, where linkers merge or nothing names sections, by a search.

    What has section headers and none of these names was linked by no linker of Go's, and is not searched.
    """
    if not image.layout.header.unpack_from(reader.head)[6]:  # e_shoff
        loaded = sorted(_loaded(image), key=lambda one: bool(one.flags & c.PF_X))  # few have it beside the code
        yield from _searched(reader, image, [(segment.offset, segment.filesz) for segment in loaded])
        return
    try:
        sections = sections_named(reader, image, SECTIONS | {_MERGED})
    except MalformedElf:
        return
    merged = sections.pop(_MERGED, None)
    yield from (section.offset for section in sections.values() if section.type != c.SHT_NOBITS)
    if merged is not None and merged.type != c.SHT_NOBITS:
        yield from _searched(reader, image, [(merged.offset, merged.size)])


def _searched(reader: Reader, image: Image, places: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Where the first bytes of a table stand in PLACES (offset, size)."""
    begins = _beginnings(image)
    for offset, data, size in _pieces(reader, places, _HEADER):
        for begin, before in begins:
            at = data.find(begin, 0, size + _HEADER)
            while at >= 0:
                yield offset + at - before
                at = data.find(begin, at + 1, size + _HEADER)


def _beginnings(image: Image) -> list[tuple[bytes, int]]:
    """What tables of the file's machine begin with, and how many bytes before that they begin.

    Of the least significant byte first the magics have all but that one in common.
    """
    ends = [struct.pack("4B", 0, 0, quantum, image.layout.word) for quantum in _QUANTA.get(image.machine, (4,))]
    if image.layout.order == "<":
        return [(b"\xff\xff\xff" + end, 1) for end in ends]
    return [(struct.pack(">I", magic) + end, 0) for magic in _MAGICS for end in ends]


def _since(reader: Reader, image: Image, place: int) -> str | None:
    """The version of Go that a header of a table at PLACE begins with; None where none stands there."""
    try:
        header = reader.read(place, _HEADER)
    except MalformedElf:
        return None
    magic, zeros, quantum, word = struct.unpack(image.layout.order + "IHBB", header)
    quanta = _QUANTA.get(image.machine, (4,))
    return _MAGICS.get(magic) if not zeros and quantum in quanta and word == image.layout.word else None


def _is_own(reader: Reader, image: Image, place: int) -> bool:
    """Whether the table names the function that every program has, and a variable of the program leads to it."""
    word = "I" if image.layout.word == 4 else "Q"
    there = [struct.pack(image.layout.order + word, one) for one in addresses(image, place)]
    return bool(there) and _names(reader, image, place) and bool(in_variables(reader, image, there))


def _names(reader: Reader, image: Image, place: int) -> bool:
    wanted = b"\0" + FUNCTION + b"\0"
    for segment in _loaded(image):
        if segment.offset <= place < segment.offset + segment.filesz:
            size = min(segment.offset + segment.filesz - place, _LONGEST_TABLE)
            return any(wanted in data for _, data, _ in _pieces(reader, [(place, size)], len(wanted)))
    return False


def _loaded(image: Image) -> list[Segment]:
    return [segment for segment in image.segments if segment.type == c.PT_LOAD]


def _pieces(reader: Reader, places: Iterable[tuple[int, int]], overlap: int) -> Iterator[tuple[int, bytes, int]]:
    """The bytes of PLACES (offset, size), as `contents.spans.pieces` has them, up to some bound altogether."""
    left = _SEARCHED
    for start, size in places:
        end = start + min(size, left, max(reader.size - start, 0))
        left -= end - start
        for at in range(start, end, _PIECE):
            own = min(_PIECE, end - at)
            yield at, reader.read(at, min(own + overlap, end - at)), own

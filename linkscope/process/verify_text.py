"""Whether the code in memory is still the code of the file: `--verify-text`.

Only pages that the process no longer shares with the file can differ from it. Writing to a private mapping of a file,
be it by the process itself, by a debugger or for a uprobe, gives the process an anonymous copy of the page (Linux
mm/memory.c, wp_page_copy and do_cow_fault; kernel/events/uprobes.c, uprobe_write_opcode), which smaps counts as
Anonymous, or as Swap once it is swapped out (fs/proc/task_mmu.c, smaps_account and smaps_pte_entry). A mapping without
either is not read. What is written through a shared mapping is written to the file.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.reader import Reader
from linkscope.elf.relocated import targets
from linkscope.elf.segments import Segment
from linkscope.elf.symbols import SymbolTable, dynamic_table, section_table
from linkscope.errors import LinkScopeError, ProcessUnreadable
from linkscope.process import procfs
from linkscope.process.mappings import Cost, Mapping

_PAGE = 4096  # the smallest of any machine
_PIECE = 1 << 20
_GAP = 16  # bytes that stayed the same between two changes that count as one
_MOST_RANGES = 64  # that are told one by one
_MOST_PAGES = 1 << 12  # of one object that are compared byte by byte
_SHOWN = 16  # bytes of a change that are shown
_LONGEST_WIDTH = 16
_BREAKPOINT, _JUMP, _OTHER = "a breakpoint", "a jump", "other code"
_UNTRACED = ", and nobody traces the process: a uprobe, or one that was left behind"
_SYMBOL = {8: "IBBHQQ", 4: "IIIBBH"}
_LONGEST_SYMBOL = 1 << 12


class Modified(msgspec.Struct, frozen=True):
    """A range of changed code. offset: in the file. symbol: the function it lies in, else the nearest one before it.

    into: how far behind the beginning of that function it begins. before: as in the file, after: as in memory; at most
    the first 16 bytes of each. what: what it looks like, in a few words.
    """

    address: int
    offset: int
    size: int
    symbol: str | None
    into: int
    before: bytes
    after: bytes
    what: str


class TextCheck(msgspec.Struct, frozen=True):
    """What became of the code of one object.

    modified: the changed ranges, in order, at most 64; total: how many there are, in so many pages. unreadable: why
    some of it could not be compared.
    """

    modified: tuple[Modified, ...] = ()
    total: int = 0
    pages: int = 0
    unreadable: tuple[str, ...] = ()


class _Change(msgspec.Struct):
    """A range of changed bytes, growing."""

    address: int
    offset: int
    size: int
    before: bytes
    after: bytes


def modified_text(
    pid: int, memory: procfs.Memory, pairs: Iterable[tuple[Mapping, Cost]], image: Image, reader: Reader
) -> TextCheck:
    """How the code in memory differs from the file. pairs: the mappings of one file; image, reader: that file itself.

    That has to be the one that is mapped (/proc/PID/map_files), not what stands at its path now; for a file that was
    written in place there is no answer. Code is what lies in segments that are executable and not writable; relocated
    places in it (DT_TEXTREL) are left out, since the loader writes there.
    """
    areas = [area for pair in pairs for area in _areas(*pair, image, reader.size)]
    if not areas:
        return TextCheck()
    unreadable: dict[str, None] = {}
    changes: list[_Change] = []
    pages = 0
    try:
        relocated = _Relocated(reader, image)
        for area in areas:
            for address, offset, before, after in _differing(memory, reader, area, unreadable):
                found = relocated.left_out(offset, before, after)
                pages += bool(found)
                _grow(changes, address, offset, before, after, found if pages <= _MOST_PAGES else [(0, len(before))])
    except LinkScopeError as error:
        unreadable[error.reason] = None
    names = _functions(reader, image) if changes else []
    breakpoint_by = _tracer(pid) if changes else ""
    told = tuple(_told(change, names, image, breakpoint_by) for change in changes[:_MOST_RANGES])
    return TextCheck(told, len(changes), pages, tuple(unreadable))


class _Area(msgspec.Struct, frozen=True):
    """A part of a mapping that is code."""

    address: int
    offset: int
    size: int


def _areas(mapping: Mapping, cost: Cost, image: Image, file_size: int) -> Iterator[_Area]:
    """What of a mapping is to be compared.

    Whole pages are, up to the end of the file: behind the code, they hold what follows it in the file, and nobody
    writes there either. Where a segment is larger in memory than in the file, the loader clears the rest of the page.
    """
    if not mapping.executable or mapping.shared or not cost.anonymous + cost.swap:
        return
    for segment in image.segments:
        if segment.type == c.PT_LOAD and segment.flags & c.PF_X and not segment.flags & c.PF_W:
            start, end = _whole_pages(segment)
            start, end = max(start, mapping.offset), min(end, mapping.offset + mapping.size, file_size)
            if start < end:
                yield _Area(mapping.start + start - mapping.offset, start, end - start)


def _whole_pages(segment: Segment) -> tuple[int, int]:
    end = segment.offset + segment.filesz
    if segment.memsz <= segment.filesz:
        end = (end + _PAGE - 1) // _PAGE * _PAGE
    return segment.offset // _PAGE * _PAGE, end


def _differing(
    memory: procfs.Memory, reader: Reader, area: _Area, unreadable: dict[str, None]
) -> Iterator[tuple[int, int, bytes, bytes]]:
    """The pages of an area that differ: address, offset, bytes of the file, bytes in memory."""
    for at in range(0, area.size, _PIECE):
        size = min(_PIECE, area.size - at)
        expected = reader.read(area.offset + at, size)
        seen = memory.read(area.address + at, size)
        if seen == expected:
            continue
        for page in range(0, size, _PAGE):
            address = area.address + at + page
            before = expected[page : page + _PAGE]
            after = seen[page : page + _PAGE] if seen is not None else memory.read(address, len(before))
            if after is None:
                unreadable["some of its code cannot be read in memory"] = None
            elif after != before:
                yield address, area.offset + at + page, before, after


class _Relocated:
    """Where the loader writes into the code, by offset in the file."""

    __slots__ = ("_places",)

    def __init__(self, reader: Reader, image: Image) -> None:
        code = [s for s in image.segments if s.type == c.PT_LOAD and s.flags & c.PF_X]
        self._places = sorted(
            (target - segment.vaddr + segment.offset, width)
            for target, width in targets(reader, image)
            for segment in code
            if segment.vaddr <= target < segment.vaddr + segment.filesz
        )

    def left_out(self, offset: int, before: bytes, after: bytes) -> list[tuple[int, int]]:
        """The ranges (start, end) of a page that differ without a relocation."""
        if self._places:
            masked = bytearray(after)
            first = bisect_left(self._places, (offset - _LONGEST_WIDTH, 0))
            for place, width in self._places[first:]:
                if place >= offset + len(before):
                    break
                start, end = max(place - offset, 0), max(place + width - offset, 0)
                masked[start:end] = before[start:end]
            after = bytes(masked)
        return list(_ranges(before, after))


def _ranges(before: bytes, after: bytes) -> Iterator[tuple[int, int]]:
    """Where two texts of one length differ; what lies close together is one range."""
    start = end = -1
    for place, (one, other) in enumerate(zip(before, after, strict=True)):
        if one != other:
            if start < 0:
                start = place
            elif place - end >= _GAP:
                yield start, end
                start = place
            end = place + 1
    if start >= 0:
        yield start, end


def _grow(
    changes: list[_Change], address: int, offset: int, before: bytes, after: bytes, ranges: Sequence[tuple[int, int]]
) -> None:
    """Add the RANGES of one page to the changes; one that goes on from the page before is the same change."""
    for start, end in ranges:
        last = changes[-1] if changes else None
        if last is not None and 0 <= address + start - (last.address + last.size) < _GAP:
            # The few bytes between the two stayed as they were, and may stand on the page before: not kept.
            last.size = address + end - last.address
            continue
        shown = slice(start, min(end, start + _SHOWN))
        changes.append(_Change(address + start, offset + start, end - start, before[shown], after[shown]))


def _told(change: _Change, names: list[tuple[int, str]], image: Image, tracer: str) -> Modified:
    symbol, into = _nearest(names, change.offset, image)
    what = _looks_like(change, image)
    if what == _BREAKPOINT:
        what += f", set by {tracer}" if tracer else _UNTRACED
    return Modified(change.address, change.offset, change.size, symbol, into, change.before, change.after, what)


def _looks_like(change: _Change, image: Image) -> str:
    """What the new bytes are: Intel SDM vol. 2, INT3 and JMP; Arm ARM, BRK and B.

    A hook of a function begins with a jump: to a near place or by a pointer behind it; or it loads the address first.
    """
    after = change.after
    if image.machine in (c.EM_X86_64, c.EM_386):
        if after == b"\xcc":
            return _BREAKPOINT
        return _JUMP if after.startswith((b"\xe9", b"\xff\x25", b"\x49\xbb", b"\x48\xb8")) else _OTHER
    if image.machine == c.EM_AARCH64 and change.offset % 4 == 0 and len(after) >= 4:
        (instruction,) = struct.unpack_from("<I", after)
        if instruction & 0xFFE0001F == 0xD4200000:
            return _BREAKPOINT
        return _JUMP if instruction & 0xFC000000 == 0x14000000 else _OTHER
    return _OTHER


def _tracer(pid: int) -> str:
    """The process that traces this one, "" where none does."""
    try:
        tracer = procfs.ids(pid).tracer
        return f"{procfs.stat(tracer).name} ({tracer})" if tracer else ""
    except ProcessUnreadable:
        return ""


def _functions(reader: Reader, image: Image) -> list[tuple[int, str]]:
    """Address and name of the functions that the symbol tables name, in order; of several names an exported one."""
    found: dict[int, str] = {}
    for read in (section_table, dynamic_table):
        try:
            table = read(reader, image)
        except LinkScopeError:
            continue
        if table is not None:
            found.update(_functions_of(table))
    return sorted(found.items())


def _functions_of(table: SymbolTable) -> Iterator[tuple[int, str]]:
    record = struct.Struct(table.order + _SYMBOL[table.word])
    records = table.records[: len(table.records) - len(table.records) % record.size]
    for fields in record.iter_unpack(records):
        if table.word == 8:
            at, info, _, shndx, value, _ = fields
        else:
            at, value, _, info, _, shndx = fields
        if info & 15 in (c.STT_FUNC, c.STT_GNU_IFUNC) and shndx != c.SHN_UNDEF:
            end = table.strings.find(b"\0", at, at + _LONGEST_SYMBOL)
            if end > at:
                yield value, table.strings[at:end].decode("utf-8", "surrogateescape")


def _nearest(names: list[tuple[int, str]], offset: int, image: Image) -> tuple[str | None, int]:
    """The function at an offset in the file, or the last one before it, and how far behind its beginning that is."""
    for segment in image.segments:
        inside = offset - segment.offset
        if segment.type == c.PT_LOAD and segment.flags & c.PF_X and 0 <= inside < segment.filesz:
            address = segment.vaddr + inside
            index = bisect_left(names, (address + 1, "")) - 1
            return (names[index][1], address - names[index][0]) if index >= 0 else (None, 0)
    return None, 0

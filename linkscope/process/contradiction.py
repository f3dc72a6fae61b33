"""Whether memory contradicts a file that was written in place after it was mapped.

Pages that nobody has written to show the new bytes already. What shows the old file is what the loader has made of it:
where it mapped which part, the dynamic section and the relocated data, which were copied when they were written to
(mmap(2), MAP_PRIVATE). A file that was only touched, or got the same bytes, contradicts nothing.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Table

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.reader import Reader
from linkscope.elf.relocated import some_relative
from linkscope.elf.segments import Segment
from linkscope.errors import LinkScopeError
from linkscope.process import procfs
from linkscope.process.image_memory import Places, load_addresses, possible_addresses, read_dynamic
from linkscope.process.mappings import Mapping
from linkscope.process.procfs import Memory

_MOST_ADDRESSES = 1 << 6  # at which a file may have been mapped; glibc has sixteen namespaces
_WORD = {8: "Q", 4: "I"}
_LOOKED_AT = 1 << 9  # relocations of one table, or twice as many; those in protected data are compared
# How many of those may differ in a file that nobody changed: loaders and libraries set some of their own protected
# variables after the relocation and before the protection (glibc include/libc-symbols.h, attribute_relro), and programs
# that hook functions write over some.
_TOLERATED = 8  # one in so many


def contradicts(
    memory: Memory,
    base: int | None,
    image: Image,
    reader: Reader,
    mappings: Sequence[Mapping],
    *,
    dynamic: int = 0,
    vector: Table[int, int] | None = None,
) -> str | None:
    """What in memory shows that the file was another one when it was mapped, in a few words; None where nothing does.

    base: l_addr of the object; None where no link map tells, and then the mappings do. image, reader: of the file as it
    is now. mappings: all of that file. dynamic: l_ld, 0 where it is unknown. vector: the auxiliary vector, for the file
    that the kernel started (/proc/PID/exe) and no other.
    """
    places = Places(mappings)
    bases = [base] if base is not None else load_addresses(image.segments, mappings, image.layout.word)
    sure = bool(bases)  # otherwise no address fits wholly; an unchanged file may have been unmapped in part
    bases = bases or possible_addresses(image.segments, mappings, image.layout.word)
    if len(bases) > _MOST_ADDRESSES or any(_is_being_mapped(image, address, places) for address in bases):
        return None
    if any(mapping.executable and mapping.offset >= reader.size for mapping in mappings):
        return "the file has become shorter than what is mapped of it"
    if not bases or not all(_is_loaded(image, mapping) for mapping in mappings if mapping.executable):
        return "its code was mapped from another place of the file"
    linked = dynamic if base is not None else 0
    all_found = [_at(memory, address, image, reader, places, linked, vector) for address in bases]
    if sure:
        return next((found for found in all_found if found), None)
    return all_found[0] if all(all_found) else None


def _at(
    memory: Memory,
    base: int,
    image: Image,
    reader: Reader,
    places: Places,
    linked: int,
    vector: Table[int, int] | None,
) -> str | None:
    """What contradicts that the file was mapped at BASE."""
    return (
        _other_code(image, base, places)
        or _other_segment(image, base, places)
        or _other_start(image, base, vector)
        or _other_dynamic(memory, image, base, linked)
        or _other_data(memory, image, base, reader, places)
    )


def _loads(image: Image) -> list[Segment]:
    return [segment for segment in image.segments if segment.type == c.PT_LOAD and segment.filesz]


def _mask(image: Image) -> int:
    return (1 << image.layout.word * 8) - 1


def _is_loaded(image: Image, mapping: Mapping) -> bool:
    """Whether some of the mapping is part of a PT_LOAD segment.

    It may reach beyond that: musl leaves the gaps between segments mapped (ldso/dynlink.c, map_library).
    """
    start, end = mapping.offset, mapping.offset + mapping.size
    return any(segment.offset < end and start < segment.offset + segment.filesz for segment in _loads(image))


def _is_being_mapped(image: Image, base: int, places: Places) -> bool:
    """Whether a loader is in the midst of mapping the file at BASE.

    It first maps the whole extent as if all were the first segment, then the others over that, in their order (glibc
    elf/dl-map-segments.h, _dl_map_segments; musl ldso/dynlink.c, map_library). So the end of the extent tells.
    """
    loads = _loads(image)
    end = base + max((s.vaddr + s.memsz for s in image.segments if s.type == c.PT_LOAD), default=0)
    mapping = places.at(end - 1 & _mask(image)) if loads else None
    if mapping is None or not end <= mapping.end < end + mmap.PAGESIZE or places.at(mapping.end) is not None:
        return False
    first, last = loads[0], loads[-1]
    flags = mapping.readable * c.PF_R | mapping.writable * c.PF_W | mapping.executable * c.PF_X
    if flags != first.flags or flags == last.flags:
        return False
    # Data that is all protected looks the same in the end, where it lies as far from the first segment as in the file.
    relro = image.segment(c.PT_GNU_RELRO)
    is_protected = relro is not None and relro.vaddr + relro.memsz >= last.vaddr + last.filesz
    shift = mapping.start - mapping.offset - base & _mask(image)
    is_as_in_file = shift == last.vaddr - last.offset & _mask(image)
    return shift == first.vaddr - first.offset & _mask(image) and not (is_protected and is_as_in_file)


def _other_code(image: Image, base: int, places: Places) -> str | None:
    """Whether code lies within the object that no PT_LOAD segment would put there.

    Elsewhere a process may well have mapped the same code again (V8 does, for calls over short distances:
    src/heap/code-range.cc, RemapEmbeddedBuiltins).
    """
    loads = _loads(image)
    shifts = {base + segment.vaddr - segment.offset & _mask(image) for segment in loads}
    start = min((base + segment.vaddr & _mask(image) for segment in loads), default=0)
    end = max((base + segment.vaddr + segment.filesz & _mask(image) for segment in loads), default=0)
    for mapping in places.mappings:
        near = mapping.executable and start <= mapping.start < end
        if near and mapping.start - mapping.offset & _mask(image) not in shifts:
            return "its code was mapped from another place of the file"
    return None


def _other_segment(image: Image, base: int, places: Places) -> str | None:
    """Whether another part of the file, or one that is no code, lies where a PT_LOAD segment says.

    What the process has unmapped, or put something else in the place of, says nothing.
    """
    for segment in _loads(image):
        start = base + segment.vaddr
        for address in (start, start + segment.filesz - 1):
            mapping = places.at(address & _mask(image))
            if mapping is None or not mapping.readable:
                continue
            if (mapping.start - mapping.offset) & _mask(image) != (start - segment.offset) & _mask(image):
                return "its segments were mapped from other places of the file"
            if segment.flags & c.PF_X and not mapping.executable and not mapping.writable:
                return "what is code in the file was mapped as data"
    return None


def _other_start(image: Image, base: int, vector: Table[int, int] | None) -> str | None:
    """Whether the kernel saw another entry point, or another number of program headers (getauxval(3))."""
    if not vector:
        return None
    if vector.get(procfs.AT_ENTRY, base + image.entry & _mask(image)) != base + image.entry & _mask(image):
        return "the program was entered at another address"
    if vector.get(procfs.AT_PHNUM, len(image.segments)) != len(image.segments):
        return "the program had another number of segments"
    return None


def _other_dynamic(memory: Memory, image: Image, base: int, linked: int) -> str | None:
    """Whether the dynamic section lies elsewhere, or is another one.

    A loader adds the base to some values and fills in DT_DEBUG (glibc elf/get-dynamic-info.h); all else stays.
    """
    segment = next((s for s in reversed(image.segments) if s.type == c.PT_DYNAMIC), None)
    if segment is None or image.dynamic is None:
        return "the file has no dynamic section any more" if linked else None
    mask = _mask(image)
    address = base + segment.vaddr & mask
    if linked and linked != address:
        return "its dynamic section was at another address"
    now = read_dynamic(memory, address, image.layout)
    if now is None:
        return None
    if len(now) != len(image.dynamic):
        return "its dynamic section had another length"
    for (tag, value), (seen_tag, seen) in zip(image.dynamic, now, strict=True):
        if tag != seen_tag or (tag != c.DT_DEBUG and seen != value and seen != value + base & mask):
            return "its dynamic section had other entries"
    return None


def _other_data(memory: Memory, image: Image, base: int, reader: Reader, places: Places) -> str | None:
    """Whether data that was relocated and then protected (PT_GNU_RELRO) is not what the file's relocations make of it.

    Only relative ones are compared: base and addend. Where the protection is not on, the process may write itself.
    """
    word = struct.Struct(image.layout.order + _WORD[image.layout.word])
    compared = differing = 0
    try:
        for target, addend in _protected(image, reader):
            mapping = places.at(base + target & _mask(image))
            if mapping is None or mapping.writable:
                continue
            data = memory.read(base + target & _mask(image), image.layout.word)
            if data is not None:
                compared += 1
                differing += word.unpack(data)[0] != base + addend & _mask(image)
    except LinkScopeError:  # the file is being written at this moment, or always was like that
        return None
    return "its relocated data is not what the loader makes of the file" if differing * _TOLERATED > compared else None


def _protected(image: Image, reader: Reader) -> Iterator[tuple[int, int]]:
    """Targets of relative relocations in PT_GNU_RELRO, with their addends."""
    relro = image.segment(c.PT_GNU_RELRO)
    if relro is not None:
        for target, addend in some_relative(reader, image, _LOOKED_AT):
            if relro.vaddr <= target <= relro.vaddr + relro.memsz - image.layout.word:
                yield target, addend

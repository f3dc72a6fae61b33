"""A file packed by UPX as it was before, each block at the place that the original program headers give it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.reader import Reader
from linkscope.elf.segments import Layout, Segment
from linkscope.packages.limits import Broken, Limits
from linkscope.packages.upx import library
from linkscope.packages.upx.extents import Extent, Extents
from linkscope.packages.upx.headers import Packing, read_packing, release_of

# What one file may cost: it is held in memory, as it is and as it was. Programs pack to a third or a fourth.
LIMITS = Limits(total=1 << 30)
_MOST_SEGMENTS = 256  # UPX packs nothing with more than 17 (src/p_lx_elf.h, MAX_ELF_HDR_64)


class Original(msgspec.Struct, frozen=True):
    """What was packed.

    content: the file. release: of UPX, where the stub names it. methods: by which it was packed, as `NRV2E`, in the
    order of the blocks. packed: the size of the packed file, in bytes. checked: there were checksums, and all agrees.
    """

    content: bytearray
    release: str | None
    methods: tuple[str, ...]
    packed: int
    checked: bool


def unpack(reader: Reader, image: Image, limits: Limits = LIMITS) -> Original:
    """The open file as it was before UPX packed it. Nothing is executed, and nothing written.

    Raises Broken for what is damaged, not known here or beyond the limits, and FileUnreadable.
    """
    if reader.size > limits.total:
        raise Broken(f"has {reader.size} bytes, more than the {limits.total} that are looked into")
    data = reader.read(0, reader.size)
    layout = image.layout
    packing = read_packing(data, layout.order, layout.header.size + len(image.segments) * layout.segment.size)
    _refuse_too_much(packing, len(data), limits)
    extents = Extents(data, packing)
    _fill(extents, image)
    return Original(
        content=extents.content,
        release=release_of(data),
        methods=tuple(dict.fromkeys(extents.methods)),
        packed=len(data),
        checked=packing.checksums is not None,
    )


def _refuse_too_much(packing: Packing, packed: int, limits: Limits) -> None:
    """Raises Broken where the sizes that are claimed contradict each other, or the limits."""
    if not 0 < packing.largest <= packing.size:
        raise Broken(f"is damaged: blocks of up to {packing.largest} bytes in a file of {packing.size}")
    if packing.size > limits.total:
        raise Broken(f"claims to unpack to {packing.size} bytes, more than the {limits.total} that are allowed")
    if packing.size > limits.ratio_from and packing.size > limits.ratio * packed:
        raise Broken(f"claims to unpack to {packing.size} bytes, more than {limits.ratio} times its own size")


def _fill(extents: Extents, image: Image) -> None:
    """Unpack everything. Raises Broken."""
    first = extents.next()
    if image.dynamic is not None and first[:4] != b"\x7fELF":
        raise Broken("was made by a UPX older than 3.97, which did not keep a library's headers and cannot unpack it")
    extents.place(0, first)
    segments = _original_segments(first, image.layout)
    loads = [one for one in segments if one.type == c.PT_LOAD and one.filesz]
    if image.dynamic is None:
        for load in loads:
            done = len(first) if load is loads[0] else 0
            extents.fill(load.offset + done, load.filesz - done)
    else:
        library.fill(extents, len(first), loads, image.segments)
    stub = extents.at
    extents.fill_behind_stub(list(_gaps(loads, extents.packing.size)))
    extents.check()
    if image.dynamic is not None:
        library.restore_start(extents, segments, image.layout, stub)


def _original_segments(headers: bytes, layout: Layout) -> tuple[Segment, ...]:
    """The program headers that the first block holds, behind the ELF header. Raises Broken."""
    if len(headers) < layout.header.size or headers[:4] != b"\x7fELF":
        raise Broken("is damaged: what it unpacks to is no ELF file")
    fields = layout.header.unpack_from(headers)
    start, size, count = fields[5], fields[9], fields[10]  # e_phoff, e_phentsize, e_phnum
    end = start + count * size
    if count > _MOST_SEGMENTS:
        raise Broken(f"is damaged: {count} original program headers")
    if start != layout.header.size or size != layout.segment.size or end > len(headers):
        raise Broken("is damaged: the original program headers are not where they should be")
    rows = layout.segment.iter_unpack(headers[start:end])
    if layout.word == 8:
        return tuple([Segment(t, f, o, v, fs, ms, a) for t, f, o, v, _, fs, ms, a in rows])
    return tuple([Segment(t, f, o, v, fs, ms, a) for t, o, v, _, fs, ms, f, a in rows])


def _gaps(loads: Sequence[Segment], size: int) -> Iterator[Extent]:
    """What no segment has: behind each one up to the next one in the file, or its end (UPX, find_LOAD_gap)."""
    for load in loads:
        end = load.offset + load.filesz
        following = min([one.offset for one in loads if one is not load and one.offset >= end], default=size)
        if min(following, size) > end:
            yield end, min(following, size) - end

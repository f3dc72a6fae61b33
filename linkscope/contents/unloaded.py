"""The parts of a file that no segment loads: where bundles put what they carry along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.contents.texts import Area
from linkscope.elf import constants as c

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_LIMIT = 1 << 29  # bytes that are searched


def unloaded(reader: Reader, image: Image) -> list[Area]:
    """What stands behind the last loaded byte, the section headers among it; the end where it is very large."""
    end = _end_of_segments(image)
    start = max(end, reader.size - _LIMIT)
    return [Area(start, reader.size - start)] if start < reader.size else []


def is_too_much(reader: Reader, image: Image) -> bool:
    """Whether more stands there than is searched."""
    return reader.size - _end_of_segments(image) > _LIMIT


def end_of_elf(reader: Reader, image: Image) -> int:
    """Where the ELF file ends by its own headers, as a launcher works it out: what stands behind was appended."""
    fields = image.layout.header.unpack_from(reader.head)
    headers = fields[6] + fields[11] * fields[12] if fields[6] else 0  # e_shoff, e_shentsize, e_shnum
    return max(_end_of_segments(image), headers)


def _end_of_segments(image: Image) -> int:
    return max((s.offset + s.filesz for s in image.segments if s.type == c.PT_LOAD), default=0)

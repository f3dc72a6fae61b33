"""Whether a program's own code calls a function: relative calls and jumps, told from their bytes.

For static programs, where every function of the C library that is linked in has a symbol, used or not.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from linkscope.elf import constants as c

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.symbols import SymbolTable

_CODE_LIMIT = 1 << 24  # bytes of code that are looked at
_CODE_PIECE = 1 << 20
_MAX_BRANCHES = 1 << 17  # of one piece, eight times as many as in real code
_X86_BRANCH = rb"(?s)[\xe8\xe9](?=(....))"  # call or jmp, and the distance from what follows


def is_called(
    reader: Reader,
    image: Image,
    table: SymbolTable,
    names: frozenset[bytes],
    callers_that_do_not_count: frozenset[bytes] = frozenset(),
) -> bool | None:
    """Whether some instruction calls a function of these NAMES, or ends in a jump there.

    callers_that_do_not_count: names of functions in which that means nothing. None for machines whose instructions are
    not known here. False also where the functions are not in the table.
    """
    targets = _BRANCH_TARGETS.get(image.machine)
    if targets is None:
        return None
    addresses = table.addresses_of(names)
    passed_over = table.spans_of(callers_that_do_not_count) if addresses and callers_that_do_not_count else []
    left = _CODE_LIMIT if addresses else 0
    for segment in image.segments:
        if left and segment.type == c.PT_LOAD and segment.flags & c.PF_X:
            end = min(segment.filesz, left)
            left -= end
            for at in range(0, end, _CODE_PIECE):
                code = reader.read(segment.offset + at, min(_CODE_PIECE + 4, end - at))
                for span in passed_over:
                    code = _without(code, segment.vaddr + at, span)
                if not addresses.isdisjoint(islice(targets(code, segment.vaddr + at), _MAX_BRANCHES)):
                    return True
    return False


def _without(code: bytes, address: int, span: tuple[int, int]) -> bytes:
    """CODE, which stands at ADDRESS, with zeros (which call nothing) in place of what lies in SPAN."""
    start, end = (min(max(one - address, 0), len(code)) for one in span)
    return code[:start] + bytes(end - start) + code[end:] if end > start else code


def _x86_targets(code: bytes, address: int) -> Iterator[int]:
    """Where every byte sequence that may be a relative call or jump leads (Intel SDM, CALL and JMP rel32)."""
    for match in re.finditer(_X86_BRANCH, code):
        yield address + match.end() + 4 + int.from_bytes(match[1], "little", signed=True)


def _aarch64_targets(code: bytes, address: int) -> Iterator[int]:
    """Where every BL and B leads: a distance of 26 bits, in words (Arm ARM, C6.2)."""
    for place, (word,) in enumerate(struct.iter_unpack("<I", code[: len(code) & ~3])):
        if word >> 26 & 0x1F == 5:
            distance = (word & 0x3FFFFFF) - (word << 1 & 0x4000000)
            yield address + 4 * (place + distance)


_BRANCH_TARGETS: dict[int, Callable[[bytes, int], Iterator[int]]] = {
    c.EM_386: _x86_targets,
    c.EM_X86_64: _x86_targets,
    c.EM_AARCH64: _aarch64_targets,
}

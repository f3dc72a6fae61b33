"""What UPX does to machine code before it packs it, undone: relative targets that were made absolute.

Calls of one function from many places are the same bytes then, and pack better. The filters of programs for Linux:

    0x46, 0x49   x86: calls and jumps (E8, E9), with 0x49 also conditional jumps (0F 80 to 0F 8F), whose target lies in
                 the block: it is big-endian, and its highest byte is a number that occurs in no other one's place
    0x50, 0x51   Arm, little- and big-endian: every `bl` (24 bits)
    0x52         arm64: every `b` and `bl` (26 bits)
    0xd0         PowerPC: every branch whose target lies in the block, marked by the highest 4 of its 26 bits

A filter leaves the last bytes of a block alone, in which no whole instruction stands.

Source: UPX doc/filter.txt; src/filter/ctok.h, ct.h, ppcbxx.h, src/filter/filter_impl.cpp (which number is which);
src/p_lx_elf.cpp, getFilters (which are used).
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Callable

from linkscope.packages.limits import Broken

_WORD = 0xFFFFFFFF
_CALL = 5  # bytes: the opcode, and 4 of the target
_SHORTEST_X86, _SHORTEST_WORDS = 6, 8
_PPC_MARK = 4  # bits
_PPC_REACH = 1 << 22


def _x86(block: bytearray, mark: int, *, conditional: bool) -> None:
    """Undo 0x46, or 0x49 if `conditional`. A jump is none where its 0F is the last byte of a target before it."""
    if len(block) < _SHORTEST_X86:
        return
    opcodes = rb"(?:[\xe8\xe9]|(?<=\x0f)[\x80-\x8f])" if conditional else rb"[\xe8\xe9]"
    found = re.compile(opcodes + re.escape(bytes([mark])), re.DOTALL)
    code = bytes(block)
    last, at = len(code) - _CALL, 0
    behind = -1
    while (match := found.search(code, at)) and (place := match.start()) < last:
        if place == behind and code[place] < 0xE8:
            at = place + 1
            continue
        target = int.from_bytes(code[place + 2 : place + _CALL], "big")
        struct.pack_into("<I", block, place + 1, (target - place - 1) & _WORD)
        at = behind = place + _CALL


def _words(block: bytearray, order: str, change: Callable[[int, int], int]) -> None:
    """CHANGE, which takes the number of a word and the word, for each word of 4 bytes, without the last one."""
    count = (len(block) - 1) // 4
    if len(block) < _SHORTEST_WORDS:
        return
    words = array("I", block[: count * 4])
    swapped = (order == ">") != (sys.byteorder == "big")
    if swapped:
        words.byteswap()
    for index, word in enumerate(words):
        changed = change(index, word)
        if changed != word:
            words[index] = changed
    if swapped:
        words.byteswap()
    block[: count * 4] = words.tobytes()


def _arm(index: int, word: int) -> int:
    if word & 0x0F000000 == 0x0B000000:
        return word & 0xFF000000 | (word - index) & 0x00FFFFFF
    return word


def _arm64(index: int, word: int) -> int:
    if word & 0x7C000000 == 0x14000000:
        return word & 0xFC000000 | (word - index) & 0x03FFFFFF
    return word


def _powerpc(block: bytearray, mark: int) -> None:
    """Undo 0xd0, which looks at the beginning of a large block alone."""
    reach = min(len(block) - 4, _PPC_REACH)
    for place in range(0, reach + 1, 4) if len(block) >= _SHORTEST_WORDS else ():
        (word,) = struct.unpack_from(">I", block, place)
        if word >> 26 == 18 and word >> (26 - _PPC_MARK) & 15 == mark:
            target = word & (1 << 26 - _PPC_MARK) - 4
            struct.pack_into(">I", block, place, word & 0xFC000003 | (target - place) & 0x03FFFFFC)


def unfilter(block: bytearray, number: int, parameter: int) -> None:
    """Undo filter NUMBER in a block. parameter: the mark of those that have one. Raises Broken for an unknown one."""
    if number in (0x46, 0x49):
        _x86(block, parameter, conditional=number == 0x49)
    elif number in (0x50, 0x51):
        _words(block, "<" if number == 0x50 else ">", _arm)
    elif number == 0x52:
        _words(block, "<", _arm64)
    elif number == 0xD0:
        _powerpc(block, parameter)
    elif number:
        raise Broken(f"was packed with filter {number:#x}, which is not known here")

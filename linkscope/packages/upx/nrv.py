"""NRV2B, NRV2D and NRV2E, the three ways of Markus Oberhumer's UCL by which UPX packs unless told otherwise.

All three write single bytes and copies of what was written before. Bits say which it is, and what is copied; they come
from words of 8, 16 or 32 bits, the highest first, and a word stands among the bytes where its first bit is wanted:

    1                               the next byte, as it is
    0, high part of a distance      2: the same distance as the last time. Else it is less 3, times 256, and the next
                                    byte is added; all 32 bits set is the end. In 2D and 2E the lowest bit of that,
                                    turned over, belongs to the length. The distance is one more than what is left.
    length                          one more than the number, and again one more where the distance is large

A number of unknown size is a 1 and then pairs: the number's next bit, and whether more follow.

Source: UCL's stand-alone decompressors, which UPX carries in its stubs (src/stub/src/arch/*/nrv2[bde]_d*.S).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec

from linkscope.packages.limits import Broken

_Bit = Callable[[], int]
_Code = Callable[[_Bit], int]

_WINDOW = 14  # bits by which nearly every code is found in a table
_USED = 4  # bits in there for how many of them it takes
_END = 0xFFFFFFFF
_REPEATED = 2
_LARGEST_PREFIX = _END // 256 + 3
_LARGEST_LENGTH = 1 << 31


class _Exhausted(Exception):
    """A code is longer than the bits that are there."""


def _number(bit: _Bit, value: int, largest: int) -> int:
    """VALUE with the bits behind it that belong to it, each followed by whether it is the last."""
    while True:
        value = value * 2 + bit()
        if bit():
            return value
        if value > largest:
            raise Broken("is damaged: a number that is too large")


def _prefix_b(bit: _Bit) -> int:
    return _number(bit, 1, _LARGEST_PREFIX)


def _prefix_de(bit: _Bit) -> int:
    value = 1
    while True:
        value = value * 2 + bit()
        if bit():
            return value
        value = (value - 1) * 2 + bit()
        if value > _LARGEST_PREFIX:
            raise Broken("is damaged: a number that is too large")


def _length_bd(bit: _Bit, first: int) -> int:
    length = first * 2 + bit()
    return length or _number(bit, 1, _LARGEST_LENGTH) + 2


def _length_e(bit: _Bit, first: int) -> int:
    if first:
        return 1 + bit()
    return 3 + bit() if bit() else _number(bit, 1, _LARGEST_LENGTH) + 3


class _Way(msgspec.Struct, frozen=True):
    """How one of the three differs. far: the distance above which a copy is one byte longer. mixed: see above."""

    prefix: _Code
    length: Callable[[_Bit, int], int]
    far: int
    mixed: bool


_WAYS = {
    "NRV2B": _Way(_prefix_b, _length_bd, 0xD00, mixed=False),
    "NRV2D": _Way(_prefix_de, _length_bd, 0x500, mixed=True),
    "NRV2E": _Way(_prefix_de, _length_e, 0x500, mixed=True),
}


class _Bits:
    """The packed bytes, and the bits that are left of the word that was read last."""

    def __init__(self, data: bytes, word: int) -> None:
        self._data = data
        self._end = len(data)
        self._word = word
        self._bits = 0
        self._left = 0
        self.at = 0

    def _next_word(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + self._word], "little")

    def _refill(self) -> None:
        if self.at >= self._end:
            raise Broken("is damaged: the packed data end too early")
        self._bits = self._next_word(self.at)
        self._left = self._word * 8
        self.at += self._word

    def bit(self) -> int:
        """The next bit."""
        if not self._left:
            self._refill()
        self._left -= 1
        return self._bits >> self._left & 1

    def byte(self) -> int:
        """The next byte."""
        at = self.at
        if at >= self._end:
            raise Broken("is damaged: the packed data end too early")
        self.at = at + 1
        return self._data[at]

    def literals(self) -> bytes:
        """The bytes that are to be written as they are, up to the bit 0 that ends them, or to the end of a word."""
        if not self._left:
            self._refill()
        ones = self._left - (~self._bits & (1 << self._left) - 1).bit_length()
        start = self.at
        self.at += ones
        self._left -= ones
        return self._data[start : self.at]

    def is_copy(self) -> bool:
        """Whether the bits behind `literals` go on in this word, which is with the 0, so that a copy follows."""
        if not self._left:
            return False
        self._left -= 1
        return True

    def number(self, code: _Code, known: dict[int, int]) -> int:
        """The number that stands there in a code. known: for what bits may begin with, what `_known` says."""
        bits, left, at, ahead, step = self._bits, self._left, self.at, 0, self._word * 8
        if left < _WINDOW:
            bits &= (1 << left) - 1
        while left < _WINDOW:
            bits = bits << step | self._next_word(at + ahead * self._word)
            ahead += 1
            left += step
        window = bits >> (left - _WINDOW) & (1 << _WINDOW) - 1
        found = known.get(window)
        if found is None:
            found = known[window] = _known(code, window)
        if not found:
            return code(self.bit)
        left -= found & 15
        unread = min(left // step, ahead)  # words that were looked at, and of which no bit was wanted
        self.at = at + (ahead - unread) * self._word
        self._left = left - unread * step
        self._bits = bits >> unread * step
        return found >> _USED

    def check(self) -> None:
        """Raises Broken where more was read than there is."""
        if self.at > self._end:
            raise Broken("is damaged: the packed data end too early")


def _known(code: _Code, window: int) -> int:
    """The number that bits begin with, and in the lowest 4 bits how many it takes; 0 where it goes on behind them."""
    left = _WINDOW

    def bit() -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise _Exhausted
        return window >> left & 1

    try:
        number = code(bit)
    except _Exhausted:
        return 0
    return number << _USED | _WINDOW - left


_Known = tuple[_Code, dict[int, int]]


@functools.cache
def _codes(name: str) -> tuple[_Known, tuple[_Known, ...]]:
    """The code of distances, and those of lengths by their first bit, and with it in front; with what is known."""
    way = _WAYS[name]
    lengths: list[_Code] = [
        lambda bit: way.length(bit, 0),
        lambda bit: way.length(bit, 1),
        lambda bit: way.length(bit, bit()),
    ]
    return (way.prefix, {}), tuple([(code, {}) for code in lengths])


def unpacked(data: bytes, size: int, name: str, word: int) -> bytes:
    """The SIZE bytes that DATA were packed from. name: as `NRV2E`; word: bytes of a word. Raises Broken.

    Each step takes at least one bit of the input, and no more than SIZE bytes are written.
    """
    way, bits = _WAYS[name], _Bits(data, word)
    distances, lengths = _codes(name)
    written = bytearray()
    distance = 1
    while True:
        written += bits.literals()
        if not bits.is_copy():
            continue
        prefix = bits.number(*distances)
        which = 2
        if prefix != _REPEATED:
            distance = (prefix - 3) * 256 + bits.byte()
            if distance == _END:
                break
            if way.mixed:
                which = ~distance & 1
                distance >>= 1
            distance += 1
        length = bits.number(*lengths[which]) + 1 + (distance > way.far)
        bits.check()
        _copy(written, distance, length, size)
    bits.check()
    if len(written) != size:
        raise Broken(f"is damaged: {size} bytes expected, and {len(written)} unpacked")
    return bytes(written)


def _copy(written: bytearray, distance: int, length: int, size: int) -> None:
    """Append LENGTH bytes from DISTANCE before the end, which may reach into what is appended. Raises Broken."""
    have = len(written)
    start = have - distance
    if start < 0:
        raise Broken(f"is damaged: a copy from {distance} bytes before, and there are {have}")
    if have + length > size:
        raise Broken(f"is damaged: it unpacks to more than the {size} bytes that it claims")
    if length <= distance:
        written += written[start : start + length]
    else:
        pattern = bytes(written[start:])
        written += (pattern * (length // distance + 1))[:length]

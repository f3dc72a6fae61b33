"""One block of a packed file, as it was before: unpacked by its method, and its filter undone."""

from __future__ import annotations

import msgspec

from linkscope.packages.limits import Broken, reason_of
from linkscope.packages.upx import nrv
from linkscope.packages.upx.filters import unfilter
from linkscope.packages.upx.headers import Block

_LZMA, _DEFLATE = 14, 15
_RAW_DEFLATE = -15
_SMALLEST_DICTIONARY = 4096  # bytes (liblzma lzma12.h, LZMA_DICT_SIZE_MIN)


class Method(msgspec.Struct, frozen=True):
    """One way to pack. word: bytes of the words from which NRV takes its bits."""

    name: str
    word: int = 0


# UPX src/conf.h, M_…: words of 32, 8 and 16 bits. Those of ARM are 8, of all others 32 (p_lx_elf.cpp,
# getCompressionMethods).
METHODS = {
    2: Method("NRV2B", 4),
    3: Method("NRV2B", 1),
    4: Method("NRV2B", 2),
    5: Method("NRV2D", 4),
    6: Method("NRV2D", 1),
    7: Method("NRV2D", 2),
    8: Method("NRV2E", 4),
    9: Method("NRV2E", 1),
    10: Method("NRV2E", 2),
    _LZMA: Method("LZMA"),
    _DEFLATE: Method("DEFLATE"),
}


def name_of(block: Block) -> str:
    """The method of a block, as `NRV2E`, or `stored`."""
    method = METHODS.get(block.method)
    return "stored" if block.packed == block.size or method is None else method.name


def plain(data: bytes, block: Block) -> bytes:
    """The bytes that a block of the packed file DATA stands for, as many as it claims. Raises Broken."""
    packed = data[block.at : block.end]
    if block.packed == block.size:
        return packed
    method = METHODS.get(block.method)
    if method is None:
        raise Broken(f"is packed by a method that is not known here ({block.method}, at byte {block.at:#x})")
    try:
        if block.method == _LZMA:
            found = _lzma(packed, block.size)
        elif block.method == _DEFLATE:
            found = _deflate(packed, block.size)
        else:
            found = nrv.unpacked(packed, block.size, method.name, method.word)
    except Broken as error:
        raise Broken(f"{error.reason} (in the block at byte {block.at:#x})") from error
    if not block.filter:
        return found
    filtered = bytearray(found)
    unfilter(filtered, block.filter, block.parameter)
    return bytes(filtered)


def _lzma(packed: bytes, size: int) -> bytes:
    """LZMA without its usual header: UPX writes 2 bytes, the second of which has lp and lc, the first pb.

    Source: UPX src/compress/compress_lzma.cpp.
    """
    import lzma

    if len(packed) < 2 or packed[0] >> 3 != (packed[1] >> 4) + (packed[1] & 15):
        raise Broken("is damaged: the properties of LZMA contradict each other")
    options = {
        "id": lzma.FILTER_LZMA1,
        "pb": packed[0] & 7,
        "lp": packed[1] >> 4,
        "lc": packed[1] & 15,
        "dict_size": max(size, _SMALLEST_DICTIONARY),
    }
    try:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])
        found = decompressor.decompress(packed[2:], size)
    except (lzma.LZMAError, ValueError, EOFError) as error:
        raise Broken(f"is damaged: {reason_of(error)}") from error
    return _all(found, size)


def _deflate(packed: bytes, size: int) -> bytes:
    """DEFLATE without a header (UPX src/compress/compress_zlib.cpp)."""
    import zlib

    try:
        found = zlib.decompressobj(_RAW_DEFLATE).decompress(packed, size)
    except zlib.error as error:
        raise Broken(f"is damaged: {reason_of(error)}") from error
    return _all(found, size)


def _all(found: bytes, size: int) -> bytes:
    if len(found) != size:
        raise Broken(f"is damaged: {size} bytes expected, and {len(found)} unpacked")
    return found

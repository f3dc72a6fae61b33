"""What UPX writes down about a packed file: where the blocks begin, how large all will be, and the checksums."""

from __future__ import annotations

import re
import struct

import msgspec

from linkscope.packages.limits import Broken

MAGIC = b"UPX!"  # in this order on every machine (UPX src/conf.h, UPX_MAGIC_LE32)
_CHECKSUM = 4  # what stands before it in l_info
L_INFO, P_INFO, B_INFO = 12, 12, 12

# UPX src/packhead.cpp: magic, version, format, method, level; two times two numbers; size of the file; filter, its
# parameter, unused, checksum of the header. Formats from 128 on are big-endian, and have the sizes first.
_PACK_HEADER, _PLACE = 32, 4
_BIG_ENDIAN = 128
_MOST_MAGICS = 64  # that are tried
_MODULUS = 251

_OLDEST = 12  # layout version: before UPX 1.11 a b_info had 8 bytes, and the filter was the whole file's

# The stub names the release that it is from: `$Id: UPX 3.96 Copyright`, `UPX 4.24` for 4.2.4 (src/version.h, whose
# UPX_VERSION_STRING4 has four characters).
_RELEASE = re.compile(rb"\$Id: UPX ([0-9])\.([0-9])([0-9]) Copyright")
_DOTTED_SINCE = 4


class Packing(msgspec.Struct, frozen=True):
    """How a file was packed.

    start: where p_info stands. order: the byte order, as in `struct`. size: of the original file, in bytes. largest:
    of a block. loader: bytes of the stub. checksums: Adler-32 of all blocks, unpacked and packed; None where the file
    has no PackHeader any more.
    """

    start: int
    order: str
    format: int
    size: int
    largest: int
    loader: int
    checksums: tuple[int, int] | None


class Block(msgspec.Struct, frozen=True):
    """One b_info, and where what it stands for begins in the packed file. Sizes are in bytes."""

    at: int
    size: int
    packed: int
    method: int
    filter: int
    parameter: int

    @property
    def end(self) -> int:
        """Where the next one stands."""
        return self.at + self.packed


def read_packing(data: bytes, order: str, behind_headers: int) -> Packing:
    """How the file with these bytes was packed. behind_headers: where its program headers end. Raises Broken.

    What UPX works with stands at the end, or somewhere before what was appended later; without it a program's l_info,
    which stands right behind the program headers, is enough.
    """
    found = _pack_header(data, order)
    if found is not None:
        start, checksums = found
    elif _is_start(data, behind_headers + L_INFO):
        start, checksums = behind_headers + L_INFO, None
    else:
        raise Broken("lacks what UPX notes about a packed file, or that is damaged")
    if start + P_INFO > len(data):
        raise Broken(f"is truncated: it ends at byte {len(data):#x}, and p_info would stand at {start:#x}")
    loader, version, format_ = struct.unpack_from(order + "HBB", data, start - 4)
    if version < _OLDEST:
        raise Broken(f"was packed by a very old UPX, whose layout (version {version}) is not known here")
    _, size, largest = struct.unpack_from(order + "III", data, start)
    return Packing(start, order, format_, size, largest, loader, checksums)


def _pack_header(data: bytes, order: str) -> tuple[int, tuple[int, int]] | None:
    """Where p_info stands, and the checksums, by the last PackHeader that is whole; None where there is none."""
    end = len(data)
    for _ in range(_MOST_MAGICS):
        at = data.rfind(MAGIC, 0, end)
        if at < 0:
            break
        end = at + len(MAGIC) - 1
        header = data[at : at + _PACK_HEADER + _PLACE]
        if len(header) < _PACK_HEADER + _PLACE or sum(header[4:31]) % _MODULUS != header[31]:
            continue
        (start,) = struct.unpack_from(order + "I", header, _PACK_HEADER)
        if _is_start(data, start):
            numbers = struct.unpack_from("<II", header, 8) if header[5] < _BIG_ENDIAN else None
            return start, numbers or struct.unpack_from(">II", header, 16)
    return None


def _is_start(data: bytes, start: int) -> bool:
    """Whether an l_info stands before START."""
    magic = start - L_INFO + _CHECKSUM
    return magic > 0 and data[magic : magic + len(MAGIC)] == MAGIC


def read_block(data: bytes, at: int, order: str) -> Block:
    """The b_info at AT. Raises Broken where it contradicts itself or the file (UPX p_unix.cpp, unpackExtent)."""
    if at + B_INFO > len(data):
        raise Broken(f"is truncated: a block should begin at byte {at:#x}, and the file has {len(data)}")
    size, packed, method, filter_, parameter, _ = struct.unpack_from(order + "IIBBBB", data, at)
    block = Block(at + B_INFO, size, packed, method, filter_, parameter)
    if size == 0:
        if data[at + 4 : at + 8] != MAGIC:
            raise Broken(f"is damaged: a block of no bytes (at byte {at:#x})")
        return msgspec.structs.replace(block, packed=0)
    if not 0 < packed <= size:
        raise Broken(f"is damaged: a block of {size} bytes is packed in {packed} (at byte {at:#x})")
    if block.end > len(data):
        raise Broken(f"is truncated: a block ends at byte {block.end:#x}, and the file has {len(data)}")
    return block


def release_of(data: bytes) -> str | None:
    """The release of UPX that the stub names, as `3.96` or `4.2.4`; None where that was taken out."""
    match = _RELEASE.search(data)
    if match is None:
        return None
    major, minor, patch = (digit.decode() for digit in match.groups())
    return f"{major}.{minor}.{patch}" if int(major) >= _DOTTED_SINCE else f"{major}.{minor}{patch}"

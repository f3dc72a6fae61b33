"""The blocks of a packed file one after another, and the original file that fills up with what they unpack to."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from linkscope.packages.limits import Broken
from linkscope.packages.upx.blocks import name_of, plain
from linkscope.packages.upx.headers import MAGIC, P_INFO, Block, Packing, read_block

_MOST_ENDS = 4096  # places at which the blocks behind the stub are looked for
_MOST_WALKED = 1 << 18  # blocks on the way
_MOST_NRV = 1 << 28  # bytes that NRV may unpack to; a megabyte takes up to a second, of LZMA a hundredth of that
_NOTHING = 1  # RFC 1950: Adler-32 of no bytes

Extent = tuple[int, int]  # of the original file: where it begins, and its size


class Extents:
    """One file that is being unpacked. at: where the next block stands. content: the original as far as it is there.

    All that is unpacked and copied together is no larger than the original file is said to be, and what NRV unpacks is
    bounded once more.
    """

    def __init__(self, data: bytes, packing: Packing) -> None:
        self.data = data
        self.packing = packing
        self.at = packing.start + P_INFO
        self.content = bytearray(packing.size)
        self.methods: list[str] = []
        self._sums = (_NOTHING, _NOTHING)
        self._left = packing.size
        self._nrv_left = _MOST_NRV

    def next(self) -> bytes:
        """What the next block unpacks to, of which the checksums take notice. Raises Broken."""
        block = self._block(self.at)
        if block.size == 0:
            raise Broken(f"is damaged: the blocks end too early (at byte {self.at:#x})")
        name = name_of(block)
        self._nrv_left -= block.size if name.startswith("NRV") else 0
        if self._nrv_left < 0:
            raise Broken(f"unpacks to more than {_MOST_NRV} bytes by {name}, which would take too long")
        found = plain(self.data, block)
        packed = memoryview(self.data)[block.at : block.end]
        self._sums = zlib.adler32(found, self._sums[0]), zlib.adler32(packed, self._sums[1])
        self.methods.append(name)
        self.at = block.end
        return found

    def place(self, offset: int, part: bytes) -> None:
        """Put PART where it stands in the original. Raises Broken where that is not in it, or is too much."""
        self._left -= len(part)
        if offset + len(part) > len(self.content) or self._left < 0:
            raise Broken(f"is damaged: it unpacks to more than the {len(self.content)} bytes that it claims")
        self.content[offset : offset + len(part)] = part

    def fill(self, offset: int, size: int) -> None:
        """Unpack as many blocks as SIZE bytes from OFFSET on take. Raises Broken."""
        end = offset + size
        while offset < end:
            part = self.next()
            if len(part) > end - offset:
                raise Broken(f"is damaged: the block before byte {self.at:#x} is longer than what it is a part of")
            self.place(offset, part)
            offset += len(part)

    def fill_behind_stub(self, wanted: Sequence[Extent]) -> None:
        """The same for the parts that no segment has, whose blocks stand behind the stub, and then the end.

        Releases differ in what they count as the stub. So the first block is looked for by its size, and is the right
        one if from there on the blocks make up the parts, and end. Raises Broken.
        """
        self.at = self._behind_stub(wanted)
        for offset, size in wanted:
            self.fill(offset, size)

    def check(self) -> None:
        """Raises Broken where there are checksums, and they are not those of what was unpacked."""
        told = self.packing.checksums
        if told is not None and told != self._sums:
            raise Broken("is damaged: what it unpacks to has not the checksum (Adler-32) that it should have")

    def _block(self, at: int) -> Block:
        block = read_block(self.data, at, self.packing.order)
        if block.size > self.packing.largest:
            raise Broken(f"is damaged: a block of {block.size} bytes, of at most {self.packing.largest} (at {at:#x})")
        return block

    def _behind_stub(self, wanted: Sequence[Extent]) -> int:
        if wanted:
            first = struct.pack(self.packing.order + "I", min(wanted[0][1], self.packing.largest))
        else:
            first = bytes(4) + MAGIC
        at = self.at
        self._walked = 0
        for _ in range(_MOST_ENDS):
            at = self.data.find(first, at)
            if at < 0 or self._walked > _MOST_WALKED:
                break
            if self._leads_to_end(at, wanted):
                return at
            at += 1
        raise Broken("is damaged: what follows the program's segments (section headers) is not there")

    def _leads_to_end(self, at: int, wanted: Sequence[Extent]) -> bool:
        """Whether the blocks from AT on are of the sizes that are WANTED, and are the last ones."""
        try:
            for _, size in wanted:
                while size > 0:
                    block = self._block(at)
                    self._walked += 1
                    if block.size == 0 or block.filter:
                        return False
                    size -= block.size
                    at = block.end
                if size:
                    return False
            return read_block(self.data, at, self.packing.order).size == 0
        except Broken:
            return False

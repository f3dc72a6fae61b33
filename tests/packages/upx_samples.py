"""Files to be packed by UPX: of this machine, of others, and made up; and what LinkScope unpacks them to."""

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

from linkscope.packages.upx.unpacking import Original, unpack
from tests.elf.samples import opened

_PLACE, _PAGE, _BASE = 0x1000, 0x10000, 0x10000000
_INSTRUCTIONS = 20_000


def unpacked(path: str | os.PathLike[str]) -> Original:
    """What the file was before it was packed. Raises Broken."""
    with opened(path) as (reader, image):
        return unpack(reader, image)


def machine_program(path: Path, machine: int, order: str, word: int, flags: int, call: Callable[[int], int]) -> Path:
    """A static program for a machine, whose code calls a few places from many, with data and something appended.

    call: the instruction that calls what is so many instructions away.
    """
    dice = random.Random(machine)
    targets = [dice.randrange(_INSTRUCTIONS) for _ in range(50)]
    code = b"".join(
        struct.pack(
            order + "I", call(dice.choice(targets) - i) if dice.random() < 0.1 else 0x38600000 + dice.randrange(9)
        )
        for i in range(_INSTRUCTIONS)
    )
    data = bytes(range(256)) * 40
    header = struct.Struct(order + ("16sHHIQQQIHHHHHH" if word == 8 else "16sHHIIIIIHHHHHH"))
    ident = b"\x7fELF" + bytes([2 if word == 8 else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    entry, segment_size = _BASE + _PLACE, 56 if word == 8 else 32
    start = header.pack(ident, 2, machine, 1, entry, header.size, 0, flags, header.size, segment_size, 2, 40, 0, 0)
    end = _PLACE + len(code)
    place = -(-end // _PAGE) * _PAGE
    start += _segment(order, word, 5, 0, end) + _segment(order, word, 6, place, len(data))
    path.write_bytes((start.ljust(_PLACE, b"\0") + code).ljust(place, b"\0") + data + b"appended" * 50)
    return path


def _segment(order: str, word: int, flags: int, offset: int, size: int) -> bytes:
    address = _BASE + offset
    if word == 8:
        return struct.pack(order + "IIQQQQQQ", 1, flags, offset, address, address, size, size, _PAGE)
    return struct.pack(order + "8I", 1, offset, address, address, size, size, flags, _PAGE)


def powerpc_call(distance: int) -> int:
    """`bl` (Power ISA, I-form)."""
    return 18 << 26 | distance * 4 & 0x03FFFFFC | 1


def arm_call(distance: int) -> int:
    """`bl`, two instructions ahead of itself (Arm ARM, A32)."""
    return 0xEB000000 | distance - 2 & 0xFFFFFF


def with_wrong_checksum(path: Path, which: int = 8) -> Path:
    """The packed file at PATH with another checksum in its PackHeader: of what was packed, or (12) of it packed.

    The stub that runs the program has none, and does not look.
    """
    data = bytearray(path.read_bytes())
    header = data.rindex(b"UPX!")
    data[header + which] ^= 0xFF
    data[header + 31] = sum(data[header + 4 : header + 31]) % 251
    path.write_bytes(data)
    return path

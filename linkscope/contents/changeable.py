"""Which bytes of a section a linker may change: the field of each relocation, and what relaxation rewrites around it.

A linker that knows where a symbol will be writes a shorter way to it over the code that the compiler left: the load of
an address from the global offset table becomes its computation, the call of `__tls_get_addr` an access through the
thread pointer. What may become of the code depends on how it is linked, so that all that can ever be rewritten is left
out.

Sources: psABI x86-64, 4.4.1 (relocation types), B.2 (optimisation of GOTPCRELX); U. Drepper, ELF Handling For
Thread-Local Storage, 5 (TLS models, x86-64); AAELF64, 5.7 (relocations), 5.7.8 and 5.7.11 (relaxation of the GOT, of
TLS descriptors); binutils bfd/elfxx-x86.c and elf64-x86-64.c (elf_x86_64_convert_load_reloc,
elf_x86_64_relocate_section), bfd/elfnn-aarch64.c (elfNN_aarch64_tls_relax, erratum 835769).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

Range = tuple[int, int]  # the first byte, and the one behind the last

# x86-64: type -> bytes from r_offset on that may change: (first, behind the last).
_X86_64: dict[int, Range] = {
    0: (0, 0),  # NONE
    12: (0, 2),  # 16
    13: (0, 2),  # PC16
    14: (0, 1),  # 8
    15: (0, 1),  # PC8
    250: (0, 0),  # GNU_VTINHERIT, GNU_VTENTRY: for the linker's garbage collection alone
    251: (0, 0),
    # 32, 32S, PC32, GOT32, PLT32, DTPOFF32, TPOFF32, GOTPC32, SIZE32, PC32_BND, PLT32_BND
    **dict.fromkeys((2, 3, 4, 10, 11, 21, 23, 26, 32, 39, 40), (0, 4)),
    # 64, DTPMOD64, DTPOFF64, TPOFF64, PC64, GOTOFF64, GOT64, GOTPCREL64, GOTPC64, GOTPLT64, PLTOFF64, SIZE64
    **dict.fromkeys((1, 16, 17, 18, 24, 25, 27, 28, 29, 30, 31, 33), (0, 8)),
    9: (-3, 4),  # GOTPCREL: mov -> lea
    41: (-2, 4),  # GOTPCRELX: mov -> lea or mov $, call * -> addr32 call or call; nop, jmp * -> jmp; nop, test, add …
    42: (-3, 4),  # REX_GOTPCRELX: the same behind a REX prefix, which changes as well
    22: (-3, 4),  # GOTTPOFF: mov or add of an offset -> mov $, add $, lea
    34: (-3, 4),  # GOTPC32_TLSDESC: lea -> mov
    # The same three behind a REX2 prefix or a map of APX: CODE_4_…, CODE_5_…, CODE_6_…
    **dict.fromkeys((43, 44, 45), (-4, 4)),
    **dict.fromkeys((46, 47, 48), (-5, 4)),
    **dict.fromkeys((49, 50, 51), (-6, 4)),
}
_TLSGD, _TLSLD, _TLSDESC_CALL = 19, 20, 35
_X86_64_OTHER = (0, 8)

# arm64: all relocations of instructions change one word; these are the others.
_AARCH64: dict[int, Range] = {
    0: (0, 0),  # NONE, by both its numbers
    256: (0, 0),
    257: (0, 8),  # ABS64
    259: (0, 2),  # ABS16
    260: (0, 8),  # PREL64
    262: (0, 2),  # PREL16
    # TLSGD_ADR_PREL21, TLSGD_ADD_LO12_NC, TLSLD_ADR_PREL21, TLSLD_ADD_LO12_NC: with `bl __tls_get_addr; nop` behind
    **dict.fromkeys((512, 514, 517, 519), (0, 12)),
    **dict.fromkeys((515, 516), (0, 16)),  # TLSGD_MOVW_G1, TLSGD_MOVW_G0_NC: with an addition before the call
}
_AARCH64_OTHER = (0, 4)


def changeable(architecture: str, code: bytes, relocations: Iterable[tuple[int, int]]) -> list[Range]:
    """The bytes of a section that may change, as ranges in ascending order that do not touch each other.

    architecture: `x86_64` or `aarch64`. relocations: (r_offset, type) of each. What they say of bytes outside the
    section counts for nothing.
    """
    return _united(_RULES[architecture](code, relocations), len(code))


def _x86_64(code: bytes, relocations: Iterable[tuple[int, int]]) -> Iterator[Range]:
    for offset, kind in relocations:
        if kind in (_TLSGD, _TLSLD, _TLSDESC_CALL):
            yield _x86_64_tls(code, offset, kind)
        else:
            first, behind = _X86_64.get(kind, _X86_64_OTHER)
            yield offset + first, offset + behind


def _x86_64_tls(code: bytes, offset: int, kind: int) -> Range:
    """The code sequences of the general and the local dynamic model, and the call of a descriptor's function.

    TLSGD:  66 48 8d 3d <field>        data16 lea x@tlsgd(%rip),%rdi       (without data16 in x32 and the large model)
            66 66 48 e8 <field>        data16 data16 rex.W call __tls_get_addr
            66 48 ff 15 <field>        data16 rex.W call *__tls_get_addr@GOTPCREL(%rip)
            48 b8 <8 bytes> 48 01 d8 ff d0   movabs; add; call *%rax, in the large model
    TLSLD:  48 8d 3d <field>, then one of these calls, without prefixes
    """
    if kind == _TLSDESC_CALL:  # call *(%rax), with an address size prefix in x32
        return offset, offset + (3 if code[offset : offset + 1] == b"\x67" else 2)
    behind = code[offset + 4 : offset + 6]
    if behind == b"\x48\xb8":
        length = 19
    elif kind == _TLSGD:
        length = 12
    else:
        length = 9 if behind[:1] == b"\xe8" else 10
    prefixed = kind == _TLSGD and offset >= 4 and code[offset - 4] == 0x66
    return offset - (4 if prefixed else 3), offset + length


def _aarch64(code: bytes, relocations: Iterable[tuple[int, int]]) -> Iterator[Range]:
    for offset, kind in relocations:
        first, behind = _AARCH64.get(kind, _AARCH64_OTHER)
        yield offset + first, offset + behind
    yield from _multiplications_behind_memory(code)


_MULTIPLY_ACCUMULATE = re.compile(rb"\x9b")


def _multiplications_behind_memory(code: bytes) -> Iterator[Range]:
    """The 64-bit multiply-accumulate instructions that follow a load or a store.

    Under --fix-cortex-a53-835769 the linker moves them away and leaves a branch to a stub. (The loads that
    --fix-cortex-a53-843419 moves have a relocation of their own, since their base is a page of ADRP.)
    """
    for found in _MULTIPLY_ACCUMULATE.finditer(code):
        at = found.start() - 3  # the byte is an instruction's last one
        if at >= 4 and at % 4 == 0 and (code[at - 1] >> 1) & 5 == 4:  # op0 of loads and stores: x1x0
            accumulator = (code[at + 1] >> 2) & 31
            if accumulator != 31:  # the zero register: a plain multiplication
                yield at, at + 4


_RULES: dict[str, Callable[[bytes, Iterable[tuple[int, int]]], Iterator[Range]]] = {
    "x86_64": _x86_64,
    "aarch64": _aarch64,
}
ARCHITECTURES = frozenset(_RULES)


def _united(ranges: Iterable[Range], size: int) -> list[Range]:
    united: list[Range] = []
    for start, end in sorted(ranges):
        start, end = max(start, 0), min(end, size)
        if start >= end:
            continue
        if united and start <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((start, end))
    return united


def pack(ranges: Iterable[Range]) -> bytes:
    """The ranges as few bytes: for each the distance from the end of the one before, and its length where it is not 4.

    Numbers are LEB128; the distance is doubled, and odd where the length follows.
    """
    packed = bytearray()
    before = 0
    for start, end in ranges:
        distance, length = start - before, end - start
        _append(packed, distance << 1 | (length != 4))
        if length != 4:
            _append(packed, length)
        before = end
    return bytes(packed)


def _append(packed: bytearray, number: int) -> None:
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def unpack(packed: bytes) -> list[Range]:
    """The ranges that `pack` wrote; of bytes that it did not write, ranges of no meaning."""
    ranges: list[Range] = []
    numbers = _numbers(packed)
    end = 0
    for number in numbers:
        start = end + (number >> 1)
        end = start + (next(numbers, 0) if number & 1 else 4)
        ranges.append((start, end))
    return ranges


def _numbers(packed: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0


def without(code: bytes | memoryview, ranges: Iterable[Range]) -> bytearray:
    """CODE with zeros in the place of RANGES, which lie inside it."""
    fixed = bytearray(code)
    for start, end in ranges:
        fixed[start:end] = bytes(end - start)
    return fixed

"""What a static program may still load when it runs: glibc's name services, iconv and dlopen open shared libraries."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.libc import family_inside
from linkscope.elf.linkage import linkage
from linkscope.elf.rodata import found_among
from linkscope.elf.symbols import section_table
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# Every static program of glibc 2.34 and later holds the code of gconv and dlopen, used or not. What tells is what is
# linked in only for a program that uses it (glibc nss/nss_database.c, iconv/iconv_open.c); as dlopen itself is always
# there, and glibc does not call it under this name, its callers are looked for.
_NSS = b"/etc/nsswitch.conf"
_ICONV = frozenset((b"iconv_open",))
_DLOPEN = frozenset((b"dlopen",))
_CODE_LIMIT = 1 << 25
_CODE_PIECE = 1 << 20
_X86_BRANCH = rb"(?s)[\xe8\xe9](?=(....))"  # call or jmp, and the distance from what follows


class RunTimeLoad(msgspec.Struct, frozen=True):
    """One way in which a static program opens shared libraries; evidence: the text or symbol that shows it."""

    how: Literal["nss", "iconv", "dlopen"]
    evidence: str


def loads_at_run_time(reader: Reader, image: Image) -> tuple[RunTimeLoad, ...]:
    """What a static glibc program opens of the system that it runs on; () for any other file.

    nss is told by a text, so that a stripped file tells it too. iconv and dlopen are told by symbols, and dlopen only
    on x86 and AArch64: of a stripped file they cannot be told. That a locale's character set may need a module as well
    is not told either. musl's static programs never load anything.
    """
    if linkage(image) != "static" or family_inside(reader, image) != "glibc":
        return ()
    found: list[RunTimeLoad] = []
    if found_among(reader, image, (_NSS,)):
        found.append(RunTimeLoad("nss", _NSS.decode()))
    try:
        table = section_table(reader, image)
    except MalformedElf:  # as if stripped
        table = None
    if table is not None:
        if table.names_among(_ICONV):
            found.append(RunTimeLoad("iconv", "iconv_open"))
        if _is_called(reader, image, table.addresses_of(_DLOPEN)):
            found.append(RunTimeLoad("dlopen", "dlopen"))
    return tuple(found)


def _is_called(reader: Reader, image: Image, addresses: set[int]) -> bool:
    """Whether some instruction calls one of these addresses, or ends in a jump there; False for unknown machines."""
    targets = _BRANCH_TARGETS.get(image.machine)
    if targets is None or not addresses:
        return False
    for segment in image.segments:
        if segment.type == c.PT_LOAD and segment.flags & c.PF_X:
            end = min(segment.filesz, _CODE_LIMIT)
            for at in range(0, end, _CODE_PIECE):
                code = reader.read(segment.offset + at, min(_CODE_PIECE + 4, end - at))
                if not addresses.isdisjoint(targets(code, segment.vaddr + at)):
                    return True
    return False


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

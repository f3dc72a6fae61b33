"""The first instructions of a static program: the C library that it was linked with wrote them.

Each pattern is what stands at e_entry, in hexadecimal; `..` is a byte that differs from program to program (addresses).
musl: arch/*/crt_arch.h; dietlibc: */start.S; klibc: usr/klibc/arch. All patterns were read out of Debian's packages.
glibc is not here: uClibc has taken over its code, and glibc leaves a note (NT_GNU_ABI_TAG) in every program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.elf import constants as c
from linkscope.elf.segments import file_offset
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.model.inspect import LibcFamily

_PATTERNS: tuple[tuple[int, LibcFamily, str], ...] = (
    (c.EM_X86_64, "musl", "4831ed4889e7488d35........4883e4f0"),
    (c.EM_386, "musl", "31ed89e083e4f05050e8........810424........50e8"),
    (c.EM_AARCH64, "musl", "1d0080d21e0080d2e0030091................1fec7c92"),
    (c.EM_ARM, "musl", "4ff0000b4ff0000e03497944684620f00f0c"),
    (c.EM_MIPS, "musl", "0700110425f00000"),
    (c.EM_PPC64, "musl", "..........................8c801462847c780b237ce4062178"),
    (c.EM_S390, "musl", "b904002fc030........e33030000018a7fbff60a7090000e300f000"),
    (c.EM_X86_64, "dietlibc", "5f4889e657488d54fe08488915"),
    (c.EM_386, "dietlibc", "5989e0518d748804565051"),
    (c.EM_AARCH64, "dietlibc", "1d0080d21e0080d2e00340f9e123009150010058"),
    (c.EM_ARM, "dietlibc", "00b0a0e300009de504108de2"),
    (c.EM_S390, "dietlibc", "e320f00000044130f008b904004289400003"),
    (c.EM_X86_64, "unknown", "4889e74889d6e8........f4"),  # klibc, which has no name of its own in the answer
    # Run-time systems that do without a C library: Free Pascal 3.2's (rtl/linux/x86_64/si_prc.inc), Zig 0.13's
    # (lib/std/start.zig), as their compilers made them.
    (c.EM_X86_64, "none", "4c8d15........5e4189723849896240488d04f5080000004801e0"),
    (c.EM_X86_64, "none", "31ed488925........4883e4f0e8........0f0b"),
)
_LONGEST = max(len(pattern) for _, _, pattern in _PATTERNS) // 2
# Every C library's start marks the outermost frame: it sets the frame pointer to zero, as the psABIs ask for.
_OUTERMOST_FRAME = {
    c.EM_X86_64: ("31ed",),
    c.EM_386: ("31ed",),
    c.EM_AARCH64: ("1d0080d2",),
    c.EM_ARM: ("00b0a0e3", "4ff0000b"),
}
_MARK_WITHIN = 12  # bytes from the entry, a landing pad (endbr64, bti) before it included


def family_by_start(reader: Reader, image: Image) -> LibcFamily | None:
    """The C library whose code the program begins with; None where it is none of those known here."""
    code = _start(reader, image)
    for machine, family, pattern in _PATTERNS:
        if machine == image.machine and _matches(pattern, code):
            return family
    return None


def starts_without_library(reader: Reader, image: Image) -> bool:
    """Whether the first instructions are no C library's. False also for machines of which that is not known."""
    code = _start(reader, image)[:_MARK_WITHIN]
    marks = _OUTERMOST_FRAME.get(image.machine)
    return marks is not None and bool(code) and not any(bytes.fromhex(mark) in code for mark in marks)


def _start(reader: Reader, image: Image) -> bytes:
    # On Arm, bit 0 of an address says that the code is Thumb.
    entry = image.entry & ~1 if image.machine == c.EM_ARM else image.entry
    try:
        offset, available = file_offset(image.segments, entry, image.path)
        return reader.read(offset, min(available, _LONGEST))
    except MalformedElf:  # the entry is nowhere
        return b""


def _matches(pattern: str, code: bytes) -> bool:
    text = code.hex()[: len(pattern)]
    return len(text) == len(pattern) and all(a in (".", b) for a, b in zip(pattern, text, strict=True))

"""Which C library a file is made for, from the names that only one of them uses.

The tables hold file names by which a program, or a library, refers to its C library; their order does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.elf import notes
from linkscope.elf.linkage import linkage
from linkscope.elf.symbols import dynamic_table
from linkscope.model.inspect import Libc, LibcFamily

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# How the file name of the interpreter starts. glibc: sysdeps/unix/sysv/linux/*/shlib-versions (ld.so.1: MIPS, PowerPC,
# m68k, HPPA and others; ld64.so.1: s390x, ld64.so.2: ppc64le); musl: configure, and arch/*/reloc.h; uClibc-ng:
# Makefile.in; bionic: linker/Android.bp.
_INTERPRETERS: tuple[tuple[str, LibcFamily], ...] = (
    ("ld-linux", "glibc"),
    ("ld.so.1", "glibc"),
    ("ld64.so.", "glibc"),
    ("ld-2.", "glibc"),
    ("ld-musl-", "musl"),
    ("ld-uClibc", "uclibc"),
    ("ld64-uClibc", "uclibc"),
    ("linker", "bionic"),
)
# What NEEDED or DT_SONAME says. glibc's own numbers differ by machine (libc.so.6.1: Alpha, IA-64). libc.so is both
# musl's and bionic's: see _libc_so.
_SONAMES: tuple[tuple[str, LibcFamily], ...] = (
    ("libc.so.6", "glibc"),
    ("ld-linux", "glibc"),
    ("ld64.so.", "glibc"),
    ("libm.so.6", "glibc"),
    ("libdl.so.2", "glibc"),
    ("libmvec.so.1", "glibc"),
    ("libc.musl-", "musl"),
    ("ld-musl-", "musl"),
    ("libc.so.0", "uclibc"),
    ("libc.so.1", "uclibc"),
    ("ld-uClibc", "uclibc"),
    ("ld64-uClibc", "uclibc"),
    ("ld-android.so", "bionic"),
)
# musl's loader has no DT_SONAME in most builds: it exports the stages of its own start (musl ldso/dynlink.c).
_MUSL_STAGES = frozenset((b"__dls2b", b"__dls3"))
_VERSION_FAMILIES: tuple[tuple[str, LibcFamily], ...] = (("GLIBC_", "glibc"), ("LIBC", "bionic"))


def libc(reader: Reader, image: Image) -> Libc:
    """The C library of one file; family `unknown` where nothing tells, `none` where there is provably none."""
    if linkage(image) == "static":
        return Libc(family="unknown")
    return Libc(family=_of_dynamic_file(reader, image))


def _named(table: tuple[tuple[str, LibcFamily], ...], name: str) -> LibcFamily | None:
    return next((family for start, family in table if name.startswith(start)), None)


def _of_dynamic_file(reader: Reader, image: Image) -> LibcFamily:
    """What the file needs counts more than its interpreter: a program that needs nothing has no C library."""
    for name in (*image.needed, image.soname or ""):
        family = _libc_so(reader, image) if name == "libc.so" else _named(_SONAMES, name)
        if family:
            return family
    versions = [v.name for need in image.verneed for v in need.versions] + [v.name for v in image.verdef or ()]
    for version in versions:
        family = _named(_VERSION_FAMILIES, version)
        if family:
            return family
    if image.interpreter is not None:
        family = _named(_INTERPRETERS, image.interpreter.rpartition("/")[2])
        return "none" if linkage(image) == "dynamic" and not image.needed else family or "unknown"
    table = None if image.needed else dynamic_table(reader, image)
    return "musl" if table is not None and table.names_among(_MUSL_STAGES) else "unknown"


def _libc_so(reader: Reader, image: Image) -> LibcFamily:
    """Whether `libc.so` is bionic's, which marks its programs with a note and versions its symbols, or musl's."""
    if any(need.file == "libc.so" for need in image.verneed):
        return "bionic"
    return "bionic" if any(owner == b"Android" for owner, _, _ in notes.segment_notes(reader, image)) else "musl"

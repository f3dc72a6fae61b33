"""Which C library a file is made for, also where it is inside the file.

A dynamic file names its C library: the tables below hold those names. In a static one, the library's own notes,
first instructions, symbols and texts tell.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, cast

from linkscope.elf import constants as c
from linkscope.elf import notes
from linkscope.elf.linkage import linkage
from linkscope.elf.packing import packed
from linkscope.elf.rodata import found_among, loader_constants, pieces
from linkscope.elf.startcode import family_by_start, starts_without_library
from linkscope.elf.symbols import dynamic_table, section_table
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
# What it says when it is started by itself; its release stands apart (musl src/internal/version.c),
# in no program, and any constant may stand before it.
_MUSL_SAYS = b")\nVersion %s\nDynamic Program Loader\n"
_MUSL_VERSION = re.compile(rb"(?<![0-9.])([01]\.\d{1,2}\.\d{1,3}(?:-git[\w.-]{1,64})?)(?=\0)")
_VERSION_FAMILIES: tuple[tuple[str, LibcFamily], ...] = (("GLIBC_", "glibc"), ("LIBC", "bionic"))
# Static programs. The notes that a library's start files, or a linker, leave in them: (owner, type).
_GO = (b"Go", 4)
_NOTES: tuple[tuple[tuple[bytes, int], LibcFamily], ...] = (
    ((b"GNU", notes.NT_GNU_ABI_TAG), "glibc"),
    ((b"Android", 1), "bionic"),
)
# Names in .symtab: of what every program of that library has in it.
_SYMBOLS: tuple[tuple[bytes, LibcFamily], ...] = (
    (b"__uClibc_main", "uclibc"),
    (b"__init_libc", "musl"),
    (b"__unified_syscall", "dietlibc"),
    (b"_dl_relocate_static_pie", "glibc"),
    (b"_IO_2_1_stdout_", "glibc"),
)
# Some C library at least: it has the environment, or is initialised.
_SYMBOL_NAMES = frozenset(name for name, _ in _SYMBOLS) | {
    b"environ",
    b"__environ",
    b"__libc_start_main",
    b"__libc_init",
    b"__libc_init_array",
}
# Texts: glibc's start on a kernel that is too old, and its tunables; musl's strerror and printf.
_TEXTS: tuple[tuple[bytes, LibcFamily], ...] = (
    (b"FATAL: kernel too old\n", "glibc"),
    (b"GLIBC_TUNABLES\0", "glibc"),
    (b"\0No error information\0", "musl"),
    (b"-0X+0X 0X-0x+0x 0x\0", "musl"),
)
# glibc csu/version.c ("… (VENDOR) stable release version 2.36.") and posix/confstr.c ("glibc 2.36"): what is searched
# for, and what has to stand before it.
_GLIBC_VERSION = ((b" release version 2.", b""), (b"glibc 2.", b"\0"))
_LONGEST_VERSION = 16
_LAST_PIECES = 8  # 2 MiB: the C library is linked in last, so that its constants stand at the end


def libc(reader: Reader, image: Image) -> Libc:
    """The C library of one file.

    family: `none` where there is provably none, `unknown` where nothing tells (of a packed program: nothing can).
    version: only where the library says so itself: glibc in a static program that can be asked for it (confstr), and
    in its own libraries; musl in its loader, which is the library too. Raises MalformedElf where the file contradicts
    itself.
    """
    if linkage(image) == "static":
        family = family_inside(reader, image)
        return Libc(family=family, version=_glibc_version(reader, image) if family == "glibc" else None)
    family = _of_dynamic_file(reader, image)
    if family == "musl" and not image.needed and image.interpreter is None:
        return Libc(family=family, version=_musl_version(reader, image))
    is_glibc = family == "glibc" and image.soname is not None and not image.debug
    own = is_glibc and any(v.name == "GLIBC_PRIVATE" for v in image.verdef or ())
    return Libc(family=family, version=_glibc_version(reader, image) if own else None)


def _named(table: tuple[tuple[str, LibcFamily], ...], name: str) -> LibcFamily | None:
    return next((family for start, family in table if name.startswith(start)), None)


def _of_dynamic_file(reader: Reader, image: Image) -> LibcFamily:
    """The loader of a program decides what its libc.so.6 is; one that needs nothing has no C library at all."""
    if image.interpreter is not None and image.needed and linkage(image) == "dynamic":
        family = _named(_INTERPRETERS, image.interpreter.rpartition("/")[2])
        if family:
            return family
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
        return "none" if family and linkage(image) == "dynamic" and not image.needed else family or "unknown"
    table = None if image.needed else dynamic_table(reader, image)
    if table is None:
        return "unknown"
    if table.names_among(_MUSL_STAGES):
        return "musl"
    return "unknown" if table.imports_anything() else "none"


def _libc_so(reader: Reader, image: Image) -> LibcFamily:
    """Whether `libc.so` is bionic's, which marks its programs with a note and versions its symbols, or musl's."""
    if any(need.file == "libc.so" for need in image.verneed):
        return "bionic"
    return "bionic" if any(owner == b"Android" for owner, _, _ in notes.segment_notes(reader, image)) else "musl"


def family_inside(reader: Reader, image: Image) -> LibcFamily:
    """The C library inside a static program: by what is certain first. It is kept with the open file."""
    if "libc inside" not in reader.memory:
        reader.memory["libc inside"] = _family_inside(reader, image)
    return cast("LibcFamily", reader.memory["libc inside"])


def _family_inside(reader: Reader, image: Image) -> LibcFamily:
    if packed(reader, image):
        return "unknown"
    marks = {(owner, kind) for owner, kind, _ in notes.segment_notes(reader, image)}
    start = family_by_start(reader, image)
    if start == "none":  # Free Pascal leaves glibc's note in programs that have nothing of it
        return "none"
    family = next((family for mark, family in _NOTES if mark in marks), None) or start
    if family:
        return family
    table = section_table(reader, image)
    if table is not None:
        names = table.names_among(_SYMBOL_NAMES)
        family = next((family for name, family in _SYMBOLS if name in names), None)
        return family or ("unknown" if names else "none")
    if _GO in marks or starts_without_library(reader, image):
        return "none"
    texts = found_among(reader, image, [text for text, _ in _TEXTS])
    return next((family for text, family in _TEXTS if text in texts), "unknown")


def _glibc_version(reader: Reader, image: Image) -> str | None:
    """The version that glibc prints in its banner, or gives to confstr; None where neither is in the file."""
    for piece in islice(pieces(reader, image), _LAST_PIECES):
        for mark, words in _GLIBC_VERSION:
            at = piece.rfind(mark)
            if at >= 0 and piece[max(at - len(words), 0) : at].endswith(words):
                text = piece[at + len(mark) : at + len(mark) + _LONGEST_VERSION]
                number = text[: len(text) - len(text.lstrip(b"0123456789."))].strip(b".")
                if number:
                    return "2." + number.decode()
    return None


def _musl_version(reader: Reader, image: Image) -> str | None:
    """The release of the musl that a loader is; None where the file is none, or two texts could be it."""
    data = loader_constants(reader, image, c.PF_W)
    versions = set(_MUSL_VERSION.findall(data)) if _MUSL_SAYS in data else set()
    return versions.pop().decode() if len(versions) == 1 else None

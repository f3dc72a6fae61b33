"""What made a file: the compilers that signed it, and the language where the file shows it.

C leaves no mark of its own, so a file of C code has no language here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from linkscope.elf import constants as c
from linkscope.elf import gotable, notes
from linkscope.elf.linkage import linkage
from linkscope.elf.rodata import found_among
from linkscope.elf.sections import sections_named
from linkscope.elf.symbols import dynamic_table, section_table
from linkscope.errors import MalformedElf
from linkscope.model.inspect import Toolchain

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.sections import Section

_LONGEST_COMMENT = 1 << 16  # bytes of .comment that are read
# Where a file shows several, the one that its main program is most likely written in: the others are what it calls.
_LANGUAGES = ("Go", "Rust", "Haskell", "OCaml", "D", "Ada", "Fortran", "Swift", "Objective-C", "C++")
# How a run-time library that only one language needs is named in NEEDED.
_NEEDED = (
    ("libgo.so.", "Go"),
    ("libstd-", "Rust"),
    ("librustc_driver-", "Rust"),
    ("libHSrts", "Haskell"),
    ("libHSbase-", "Haskell"),
    ("libasmrun", "OCaml"),
    ("libcamlrun", "OCaml"),
    ("libphobos2", "D"),
    ("libdruntime-", "D"),
    ("libgphobos.so.", "D"),
    ("libgdruntime.so.", "D"),
    ("libgnat-", "Ada"),
    ("libgnarl-", "Ada"),
    ("libgfortran.so.", "Fortran"),
    ("libswiftCore.so", "Swift"),
    ("libobjc.so.", "Objective-C"),
    ("libstdc++.so.", "C++"),
    ("libc++.so.", "C++"),
)
_NEEDED_STARTS = tuple(start for start, _ in _NEEDED)
# What a compiler makes every program of its language refer to, mostly the routine that handles exceptions.
_SYMBOLS = {
    b"rust_eh_personality": "Rust",
    b"rust_panic": "Rust",
    b"hs_main": "Haskell",
    b"caml_startup__code_begin": "OCaml",
    b"_d_run_main": "D",
    b"_d_eh_personality": "D",
    b"__gnat_personality_v0": "Ada",
    b"_gfortran_set_args": "Fortran",
    b"__gnu_objc_personality_v0": "Objective-C",
    b"__gxx_personality_v0": "C++",
}
_SYMBOL_NAMES = frozenset(_SYMBOLS)
# How an entry of .comment begins.
_COMMENTS = (("rustc version ", "Rust"), ("GHC ", "Haskell"), ("Swift version ", "Swift"))
_LINKER = "Linker: "  # LLD signs there as well, and compiles nothing
# A Rust program without symbols and .comment still has the name of a variable that its standard library looks at.
_TEXTS = {b"`RUST_BACKTRACE=1` environment variable to display": "Rust"}
_GO_SECTIONS = gotable.SECTIONS | {b".go.buildinfo"}
_SECTIONS = _GO_SECTIONS | {b".comment"}
_GO_OWNER = b"Go"


def toolchain(reader: Reader, image: Image) -> Toolchain:
    """The compilers as .comment names them, in order and once each, and the language; None where it cannot be told.

    The section may be stripped, and the start files that are linked into a program sign there too.
    """
    try:
        sections = sections_named(reader, image, _SECTIONS)
    except MalformedElf:  # a file runs without section headers, or with damaged ones
        sections = {}
    comments = _comments(reader, sections.get(b".comment"))
    compilers = [comment for comment in comments if not comment.startswith(_LINKER)]
    found = _languages(reader, image, comments, sections)
    return Toolchain(compiler=compilers, language=next((name for name in _LANGUAGES if name in found), None))


def _comments(reader: Reader, section: Section | None) -> list[str]:
    """The NUL-separated texts of .comment."""
    if section is None or section.type == c.SHT_NOBITS or section.flags & c.SHF_COMPRESSED:
        return []
    try:
        data = reader.read(section.offset, min(section.size, _LONGEST_COMMENT))
    except MalformedElf:
        return []
    return list(dict.fromkeys(os.fsdecode(text) for text in data.split(b"\0") if text))


def _languages(reader: Reader, image: Image, comments: list[str], sections: dict[bytes, Section]) -> set[str]:
    """Every language of which the file has a mark; what is cheap to look at first."""
    if _is_go(reader, image, sections):
        return {"Go"}
    found = {language for start, language in _COMMENTS if any(text.startswith(start) for text in comments)}
    telling = [name for name in image.needed if name.startswith(_NEEDED_STARTS)]
    found |= {language for name in telling for start, language in _NEEDED if name.startswith(start)}
    static = linkage(image) == "static"
    try:
        table = section_table(reader, image) if static else dynamic_table(reader, image)
    except MalformedElf:
        table = None
    if table is not None:
        found |= {_SYMBOLS[name] for name in table.names_among(_SYMBOL_NAMES)}
    # Rust unwinds its stack with GCC's library, which programs in C do not need.
    if not found and (static or any(name.startswith("libgcc_s.so") for name in image.needed)):
        found |= {_TEXTS[text] for text in found_among(reader, image, _TEXTS)}
    return found


def _is_go(reader: Reader, image: Image, sections: dict[bytes, Section]) -> bool:
    """Whether Go's linker made it: its record may have been taken out, and its note not been asked for."""
    if not _GO_SECTIONS.isdisjoint(sections):
        return True
    if any(owner == _GO_OWNER for owner, _, _ in notes.segment_notes(reader, image)):
        return True
    without_headers = not image.layout.header.unpack_from(reader.head)[6]  # e_shoff
    return without_headers and gotable.line_table(reader, image) is not None

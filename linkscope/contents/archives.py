"""The members of a static library: regular and thin archives, with the names of System V and of BSD.

Layout: ar(5). `!<arch>\\n`, then for each member a header of 60 bytes and its bytes, padded to an even offset:

    name 16, date 12, uid 6, gid 6, mode 8, size 10 (all text), "`\\n"

    name/       a member (System V, GNU)           #1/20       its name is the first 20 bytes of its content (BSD)
    /           table of symbols (/SYM64/)         __.SYMDEF   table of symbols (BSD)
    //          table of long names                /123        a member whose name is at byte 123 of that table

In a thin archive (`!<thin>\\n`, binutils) the names are paths from the archive's folder and the bytes are there, not
here; `/123:456` is the member at byte 456 of an archive that the path leads to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import FileUnreadable, LinkScopeError, MalformedElf

_MAGIC, _THIN = b"!<arch>\n", b"!<thin>\n"
_HEADER = 60
_SYMBOLS = (b"/", b"/SYM64/")
_BSD_SYMBOLS = "__.SYMDEF"  # also `__.SYMDEF SORTED`, `__.SYMDEF_64`
_MOST_MEMBERS = 1 << 18
_LARGEST_MEMBER = 1 << 30
_LARGEST_WHOLE = 1 << 34  # bytes of all members of a thin archive, which may name the same file again and again
_LONGEST_NAME = 1 << 12


class BadArchive(LinkScopeError):
    """The file is no static library, or contradicts itself."""


class Member(msgspec.Struct, frozen=True):
    """One member. content: its bytes. Two members may have the same name."""

    name: str
    content: bytes


def is_archive(head: bytes) -> bool:
    """Whether a file begins as an archive."""
    return head.startswith((_MAGIC, _THIN))


def members(reader: Reader, folder: str | None) -> Iterator[Member]:
    """The members in their order, without the tables of symbols and names.

    folder: from where the paths in a thin archive lead to its members; None: they are not looked for, which makes a
    thin archive a BadArchive. Raises BadArchive, and FileUnreadable for a member that is not where it should be.
    """
    thin = reader.head.startswith(_THIN)
    if not thin and not reader.head.startswith(_MAGIC):
        raise BadArchive(reader.path, "is no static library")
    if thin and folder is None:
        raise BadArchive(reader.path, "is a thin archive: its members are other files")
    names = b""
    whole = 0
    for count, (name, at, size) in enumerate(_headers(reader, thin)):
        if count >= _MOST_MEMBERS:
            raise BadArchive(reader.path, f"has more than {_MOST_MEMBERS} members")
        if name == b"//":
            names = _read(reader, at, size)
        elif name not in _SYMBOLS:
            member = _member(reader, names, (name, at, size), folder if thin else None)
            whole += len(member.content)
            if whole > _LARGEST_WHOLE:
                raise BadArchive(reader.path, f"has members of more than {_LARGEST_WHOLE} bytes")
            if not member.name.startswith(_BSD_SYMBOLS):
                yield member


def _headers(reader: Reader, thin: bool) -> Iterator[tuple[bytes, int, int]]:
    """(name as it stands there, offset, size) of each member; every one is in the file, but those of a thin archive."""
    at = len(_MAGIC)
    while at < reader.size:
        name, size = _header(reader, at)
        content = at + _HEADER
        inside = not thin or name == b"//" or name in _SYMBOLS
        if inside and content + size > reader.size:
            raise BadArchive(reader.path, f"is truncated: a member of {size} bytes at byte {at:#x}")
        yield name, content, size
        at = content + (size + size % 2 if inside else 0)


def _header(reader: Reader, at: int) -> tuple[bytes, int]:
    if at + _HEADER > reader.size:
        raise BadArchive(reader.path, f"is truncated: half a header at byte {at:#x}")
    header = _read(reader, at, _HEADER)
    digits = header[48:58].strip()
    if header[58:] != b"`\n" or not digits.isdigit():
        raise BadArchive(reader.path, f"is damaged: no header of a member at byte {at:#x}")
    size = int(digits)
    if size > _LARGEST_MEMBER:
        raise BadArchive(reader.path, f"has a member of {size} bytes at byte {at:#x}")
    return header[:16].rstrip(b" "), size


def _read(reader: Reader, at: int, size: int) -> bytes:
    try:
        return reader.read(at, size)
    except MalformedElf as error:
        raise BadArchive(reader.path, error.what) from error


def _member(reader: Reader, names: bytes, header: tuple[bytes, int, int], folder: str | None) -> Member:
    name, at, size = header
    origin = 0
    if name.startswith(b"#1/") and name[3:].isdigit() and folder is None:
        length = int(name[3:])
        if length > min(size, _LONGEST_NAME):
            raise BadArchive(reader.path, f"is damaged: a name of {length} bytes at byte {at:#x}")
        name = _read(reader, at, length)
        at, size = at + length, size - length
    elif name[:1] == b"/" and name[1:].split(b":")[0].isdigit():
        where, _, inner = name[1:].partition(b":")
        name = _long_name(reader, names, int(where))
        origin = int(inner) if inner.isdigit() else 0
    else:
        name = name.removesuffix(b"/")
    text = name.partition(b"\0")[0].decode("utf-8", "surrogateescape")  # a string of C, as GNU ar takes it
    if folder is None:
        return Member(text, _read(reader, at, size))
    return _elsewhere(os.path.join(folder, text), size, origin)


def _long_name(reader: Reader, names: bytes, at: int) -> bytes:
    """The name at a byte of the table, which ends with `/` and a newline (GNU) or with NUL (Windows)."""
    ends = [end for end in (names.find(b"\n", at), names.find(b"\0", at)) if end >= 0]
    if at >= len(names) or not ends or min(ends) - at > _LONGEST_NAME:
        raise BadArchive(reader.path, f"is damaged: no name at byte {at} of its table of names")
    return names[at : min(ends)].removesuffix(b"/")


def _elsewhere(path: str, size: int, origin: int) -> Member:
    """The member of a thin archive: a file, or what stands at byte ORIGIN of an archive."""
    try:
        with open_reader(path) as reader:
            if not origin and reader.size > _LARGEST_MEMBER:
                raise BadArchive(path, f"has {reader.size} bytes, too many for a member (a thin archive names it)")
            if not origin:
                return Member(os.path.basename(path), _read(reader, 0, reader.size))
            if not reader.head.startswith(_MAGIC):
                raise BadArchive(path, "is no archive, as the thin archive that names it says")
            _, length = _header(reader, origin)
            return Member(os.path.basename(path), _read(reader, origin + _HEADER, min(size, length)))
    except FileUnreadable as error:
        raise FileUnreadable(path, f"{error.reason} (a thin archive names it)") from error

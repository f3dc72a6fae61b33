"""Programs that carry a script along, behind or inside the program that runs it: Node.js, Bun and Deno.

Each function gives the bundle's name and what stands in it, for a file that is one. What was tried with the tools
themselves is said with each.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import spans
from linkscope.contents.limits import Met, unheard
from linkscope.contents.unloaded import unloaded
from linkscope.elf import constants as c

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# Node.js src/node_sea.cc: the note that postject or node itself puts in, and the first word of what stands in it; then
# flags, and the path of the script behind its length. In between: since 24 a byte for the arguments, since 26 another
# one for the kind of module (20.20, 24.19 and 26.12, observed).
_NODE_SEA, _NODE_SEA_MAGIC, _NODE_SEA_HEADER = b"NODE_SEA_BLOB", 0x143DA20, struct.Struct("<II")
_MOST_BETWEEN = 2

# Bun src/StandaloneModuleGraph.zig: behind the modules, their offsets; then this and the size of all, or the end of
# the section `.bun`. The modules' names begin with the folder below, which was another one before 1.1.
_BUN, _BUN_SIZE, _BUN_SECTION = b"\n---- Bun! ----\n", 8, b".bun"
_BUN_NAME = re.compile(rb"(?:/\$bunfs/root/|compiled://root/)[\x20-\x7e]{1,200}?(?=\x00|// @bun)")
_BUN_REACH = 1 << 16

# Deno cli/standalone/binary.rs: what is appended begins, or ends, with the word; since 2.8 it is in a note of libsui's
# (lib.rs there), behind the length of the word and the word as its name. In it, JSON says where the program begins.
_DENO, _SUI = b"d3n0l4nd", b"SUI"
_DENO_ENTRY = re.compile(rb'"entrypoint_key":("(?:[^"\\\x00-\x1f]|\\.){1,4096}")')
_DENO_REACH = 1 << 16

# Node.js lib/internal/bootstrap, as pkg-fetch patches it, and pkg lib/producer.ts: the payload, and behind it a script
# that is called with the table of files, the one with which it begins, links, and since 5.5 the words of paths.
_PKG_ENDS = b"\n})"
_PKG_BEGINS = b"(function(process, require, console, EXECPATH_FD, PAYLOAD_POSITION, PAYLOAD_SIZE) {"
_PKG_ENTRY = re.compile(rb'\}\n,\n("/snapshot/[^"\n]{1,4096}")\n')
_PKG_WORDS = re.compile(rb",\n(\{[^\n]*\})\n,\n\d\n\);\n\}\)\Z")
_PKG_REACH = 1 << 24
_PKG_CODE, _PKG_CONTENT = "0", "1"  # pkg lib/common.ts, STORE_BLOB and STORE_CONTENT

_LONGEST_PATH = 4096
_MOST_NOTES = 256
_LONGEST_OWNER = 64
_MOST_NAMES = 16


def node_sea(reader: Reader, image: Image, met: Met = unheard) -> Iterator[tuple[str, str]]:
    """A single executable application of Node.js, and the script of which it was made. met: is told of bounds."""
    for data in _notes_of(reader, image, _NODE_SEA, _NODE_SEA_HEADER.size + _MOST_BETWEEN + 8 + _LONGEST_PATH, met):
        if len(data) >= _NODE_SEA_HEADER.size and _NODE_SEA_HEADER.unpack_from(data)[0] == _NODE_SEA_MAGIC:
            places = range(_NODE_SEA_HEADER.size, _NODE_SEA_HEADER.size + _MOST_BETWEEN + 1)
            path = next((text for at in places if (text := _counted(data, at))), "a script without a name")
            yield "node-sea", f"Node.js single executable application: {path}"


def _counted(data: bytes, at: int) -> str | None:
    """The text that stands at AT behind its length of eight bytes; None where nothing printable does."""
    start = at + 8
    length = int.from_bytes(data[at:start], "little")
    if not 0 < length <= min(_LONGEST_PATH, len(data) - start):
        return None
    try:
        text = data[start : start + length].decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _notes_of(reader: Reader, image: Image, owner: bytes, limit: int, met: Met) -> Iterator[bytes]:
    """The first LIMIT bytes of each note of OWNER (gABI, Note Section); the whole may be very large."""
    layout = struct.Struct(image.layout.order + "III")
    for segment in image.segments:
        at, end = segment.offset, min(segment.offset + segment.filesz, reader.size)
        for _ in range(_MOST_NOTES if segment.type == c.PT_NOTE else 0):
            if at + layout.size > end:
                break
            name_size, size, _ = layout.unpack(reader.read(at, layout.size))
            start = at + layout.size + (name_size + 3 & ~3)
            if start + size > end:
                break
            if name_size <= _LONGEST_OWNER and reader.read(at + layout.size, name_size).rstrip(b"\0") == owner:
                yield reader.read(start, min(size, limit))
            at = start + (size + 3 & ~3)
        else:
            if segment.type == c.PT_NOTE and at + layout.size <= end:
                met("notes")


def bun(reader: Reader, image: Image) -> Iterator[tuple[str, str]]:
    """What `bun build --compile` makes (1.0 to 1.4, observed), and the names of its modules."""
    end = reader.size - _BUN_SIZE
    start = max(end - _BUN_REACH, 0)
    data = reader.read(start, max(end - start, 0))
    if not data.endswith(_BUN):
        data = spans.section_end(reader, image, _BUN_SECTION, _BUN_REACH) or b""
        data = data[: data.rfind(_BUN) + len(_BUN)] if _BUN in data[-512:] else b""
    if data:
        names = dict.fromkeys(name.decode("ascii") for name in _BUN_NAME.findall(data))
        yield "bun", "bun build --compile: " + (", ".join([*names][:_MOST_NAMES]) or "names out of reach")


def deno(reader: Reader, image: Image, met: Met = unheard) -> Iterator[tuple[str, str]]:
    """What `deno compile` makes (1.46 to 2.9, observed), and the module with which it begins.

    met: is told of bounds.
    """
    for data in _notes_of(reader, image, _SUI, _DENO_REACH, met):
        if data[2 : 2 + len(_DENO)] == _DENO and int.from_bytes(data[:2], "little") == len(_DENO):
            yield "deno", _deno(data)
            return
    for offset, data, size in spans.pieces(reader, unloaded(reader, image), len(_DENO) - 1):
        if 0 <= data.find(_DENO) < size:
            at = offset + data.find(_DENO)
            yield "deno", _deno(reader.read(at, min(_DENO_REACH, reader.size - at)))
            return


def _deno(data: bytes) -> str:
    entry = _DENO_ENTRY.search(data)
    return f"deno compile: {_unquoted(entry[1]) if entry else 'a module without a name'}"


def pkg(reader: Reader, image: Image) -> Iterator[tuple[str, str]]:
    """What pkg makes, the script with which it begins, and then the path of each file in it (6.14, observed)."""
    start = max(reader.size - _PKG_REACH, max((area.offset for area in unloaded(reader, image)), default=reader.size))
    if reader.size - start < len(_PKG_BEGINS) or reader.read(reader.size - 3, 3) != _PKG_ENDS:
        return
    data = reader.read(start, reader.size - start)
    at = data.rfind(_PKG_BEGINS)
    entry = next(iter(_PKG_ENTRY.finditer(data, at)), None) if at >= 0 else None
    if entry is not None:
        yield "pkg", f"pkg: {_unquoted(entry[1])}"
        words = _PKG_WORDS.search(data, entry.end())
        for path in _pkg_files(data[data.rfind(b"\n", 0, entry.start()) + 1 : entry.start() + 1], words):
            yield "pkg", path


def _pkg_files(table: bytes, words: re.Match[bytes] | None) -> list[str]:
    """The paths of the files in pkg's table. In a compressed one each part of a path is the number of a word."""
    try:
        listed = msgspec.json.decode(table, type=dict[str, dict[str, list[int]]])
        names = msgspec.json.decode(words[1], type=dict[str, str]) if words else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    parts = {number: word for word, number in names.items()}
    files = (path for path, stores in listed.items() if _PKG_CODE in stores or _PKG_CONTENT in stores)
    return sorted("/".join(parts.get(part, part) for part in path.split("/")) if parts else path for path in files)


def _unquoted(text: bytes) -> str:
    """A text of JSON's, as it stands there where it is none."""
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text.decode("utf-8", "replace")

"""The build information that Go's linker leaves in a program: the toolchain and the modules, also of a stripped one.

    0            14          15      16                          32
    ÿ Go buildinf: | word size | flags | before Go 1.18: two       | since Go 1.18 (flags & 2): both texts, each behind
                                        addresses of Go strings    its length as a varint

Source: Go cmd/link/internal/ld/data.go, (*Link).buildinfo; debug/buildinfo/buildinfo.go; runtime/debug/mod.go for the
text. It stands at the beginning of the writable data, and is found through the segments. Where it was taken out, the
program's own variables have the same two texts (contents.gostrings); and the table of its functions tells that it is
a Go program, whatever else is gone (elf.gotable).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from linkscope.contents import gostrings
from linkscope.elf import constants as c
from linkscope.elf import gotable
from linkscope.elf.segments import file_offset
from linkscope.errors import MalformedElf
from linkscope.model.inspect import Content, Evidence

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

Order = Literal["big", "little"]

_MAGIC = b"\xff Go buildinf:"
_ALIGN, _HEADER = 16, 32
_BIG_ENDIAN, _INLINE = 1, 2
_PIECE = 1 << 20
_SEARCHED = 1 << 28  # bytes of writable data; of a program linked by another linker it need not stand at its beginning


class Module(msgspec.Struct, frozen=True):
    """One module that was compiled in. version: None for a work tree. line: as the build information has it."""

    path: str
    version: str | None
    line: str


class GoBuild(msgspec.Struct, frozen=True):
    """What Go says of a build. toolchain: as `go version` prints it; modules: the main one first.

    table: what proves the program to be one of Go's where it has no record of its build; None where it has. Then the
    toolchain is None where nothing names it.
    """

    toolchain: str | None
    modules: tuple[Module, ...]
    table: gotable.LineTable | None = None


def go_build(reader: Reader, image: Image) -> GoBuild | None:
    """The build information of a program, or what else is left of it; None where it is no Go program.

    Raises MalformedElf and FileUnreadable.
    """
    for offset, end in _data(reader, image):
        place = _find(reader, offset, end)
        while place is not None:
            texts = _texts(reader, image, place, end)
            if texts is not None and texts[0]:
                return GoBuild(_decoded(texts[0]), tuple(_modules(texts[1])))
            place = _find(reader, place + _ALIGN, end)
    return _without_record(reader, image)


def _without_record(reader: Reader, image: Image) -> GoBuild | None:
    """What is left of a program whose build information was taken out."""
    table = gotable.line_table(reader, image)
    if table is None:
        return None
    version, text = gostrings.build_version(reader, image), gostrings.module_text(reader, image)
    return GoBuild(_decoded(version) if version else None, tuple(_modules(_framed(text or b""))), table)


def contents(build: GoBuild) -> list[Content]:
    """The standard library, by the name that Go's own database of vulnerabilities has for it, and the modules."""
    version = (build.toolchain or "").split(" ", 1)[0].removeprefix("go")
    library = Content(
        name="stdlib", ecosystem="go", version=version if version[:1].isdigit() else None, evidence=_proofs(build)
    )
    return [library, *(_content(module) for module in build.modules)]


def _content(module: Module) -> Content:
    proof = Evidence(kind="go-buildinfo", text=module.line)
    return Content(name=module.path, ecosystem="go", version=module.version, evidence=[proof])


def _proofs(build: GoBuild) -> list[Evidence]:
    """What proves the standard library: the record or, without it, a variable of the program and its own functions."""
    if build.table is None:
        return [Evidence(kind="go-buildinfo", text=build.toolchain)]
    function = gotable.FUNCTION.decode()
    told = Evidence(kind="symbol", text=f"{function}, in a table as Go {build.table.since} and later write it")
    if build.toolchain is None:
        return [told]
    return [Evidence(kind="go-buildinfo", text=f"{build.toolchain} (runtime.buildVersion)"), told]


def _data(reader: Reader, image: Image) -> Iterator[tuple[int, int]]:
    """The bounds of the writable data in the file."""
    left = _SEARCHED
    for segment in image.segments:
        if segment.type == c.PT_LOAD and segment.flags & c.PF_W and not segment.flags & c.PF_X:
            size = min(segment.filesz, left, reader.size - segment.offset)
            if size > 0:
                left -= size
                yield segment.offset, segment.offset + size


def _find(reader: Reader, start: int, end: int) -> int | None:
    """Where the header stands in [START, END) of the file, at a multiple of 16 bytes.

    The linker aligns its address, and addresses and offsets are the same modulo a page.
    """
    for at in range(start, end, _PIECE):
        data = reader.read(at, min(_PIECE + _HEADER, end - at))
        found = data.find(_MAGIC)
        while 0 <= found < _PIECE:
            if (at + found) % _ALIGN == 0 and at + found + _HEADER <= end:
                return at + found
            found = data.find(_MAGIC, found + 1)
    return None


def _texts(reader: Reader, image: Image, place: int, end: int) -> tuple[bytes, bytes] | None:
    """The toolchain's version and the text of the modules; None where the header leads to nothing."""
    header = reader.read(place, _HEADER)
    word, flags = header[14], header[15]
    if flags & _INLINE:
        version, at = _counted(reader, place + _HEADER, end)
        return version, _framed(_counted(reader, at, end)[0])
    if word not in (4, 8):
        return None
    order: Order = "big" if flags & _BIG_ENDIAN else "little"
    first, second = (int.from_bytes(header[at : at + word], order) for at in (16, 16 + word))
    try:
        return _go_string(reader, image, first, word, order), _framed(_go_string(reader, image, second, word, order))
    except MalformedElf:
        return None


def _counted(reader: Reader, at: int, end: int) -> tuple[bytes, int]:
    """The bytes behind their length at AT, and where they end; none where that is beyond END."""
    prefix = reader.read(at, max(min(5, end - at), 0))
    length = shift = 0
    for index, byte in enumerate(prefix):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            begin = at + index + 1
            return (
                (reader.read(begin, length), begin + length)
                if length <= min(end - begin, gostrings.LONGEST)
                else (b"", end)
            )
    return b"", end


def _go_string(reader: Reader, image: Image, address: int, word: int, order: Order) -> bytes:
    """The Go string whose header (an address and a length) stands at ADDRESS. Raises MalformedElf."""
    offset, available = file_offset(image.segments, address, image.path)
    header = reader.read(offset, min(2 * word, available))
    length = int.from_bytes(header[word:], order)
    if not length:
        return b""
    offset, available = file_offset(image.segments, int.from_bytes(header[:word], order), image.path)
    return reader.read(offset, length) if length <= min(available, gostrings.LONGEST) else b""


def _framed(text: bytes) -> bytes:
    """The text of the modules without the marks around it; nothing where it is not framed by them."""
    size = gostrings.FRAME
    framed = len(text) > 2 * size and text[-size - 1 : -size] == b"\n"
    return text[size:-size] if framed else b""


def _modules(text: bytes) -> Iterator[Module]:
    """The modules of the lines `mod` and `dep`, each with what replaces it (`=>`), whose code it is that is inside.

    A replacement from a folder has neither a path nor a version of its own: then the version is unknown.
    """
    last: Module | None = None
    for line in _decoded(text).splitlines():
        kind, _, rest = line.partition("\t")
        if kind not in ("mod", "dep", "=>"):
            continue
        path, version = (*rest.split("\t"), "")[:2]
        told = version if version and version != "(devel)" else None
        shown = " ".join(line.split("\t")).strip()
        if kind == "=>" and last is not None:
            is_folder = told is None or path.startswith((".", "/"))
            last = Module(last.path if is_folder else path, None if is_folder else told, f"{last.line} {shown}")
            continue
        if last is not None:
            yield last
        last = Module(path, told, shown) if path else None
    if last is not None:
        yield last


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")

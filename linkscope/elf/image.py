"""The loader's view of one file: ELF header, program headers, dynamic section. Never section headers.

Layouts are those of the gABI (ELF Header, Program Header, Dynamic Section); every address goes through the
PT_LOAD segments, as it does at run time, so that a file without section headers, or with false ones, reads the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from linkscope.elf import constants as c
from linkscope.elf import notes, sections, versions
from linkscope.elf.reader import Reader
from linkscope.elf.segments import LAYOUTS, Layout, Segment, file_offset
from linkscope.errors import MalformedElf, NotElf

_MAX_SEGMENTS = 1 << 18
_MAX_DYNAMIC = 1 << 16  # bytes; the largest in practice (libLLVM) is below one page
_LONGEST_STRING = 1 << 15  # the longest in practice, search paths of some thousand characters, are far below
_WHOLE_STRING_TABLE = 1 << 18
_ALL_STRINGS = 1 << 22  # bytes of all strings that are asked for
_STRING_CHUNK = 4096
_SCRIPT_LINE = 256  # Linux: BINPRM_BUF_SIZE


class Image(msgspec.Struct, frozen=True):
    """What the kernel and a dynamic loader see of one file. Strings are decoded with surrogateescape.

    dynamic: the section's (tag, value) pairs up to DT_NULL; None without PT_DYNAMIC. dependencies: the DT_NEEDED,
    DT_AUXILIARY and DT_FILTER entries as (tag, name), in the order of the section, which is the order in which
    glibc loads them. needed: the names of the first kind alone. rpath, runpath: None when the tag is absent, "" when
    it is there and empty.
    verneed, verdef: see `versions`; verdef is None where the file defines no versions at all.
    false_ident: e_ident names another class or byte order than the header has; the kernel goes by the header.
    interpreter_fault: what is wrong with PT_INTERP itself, so that the kernel refuses the file as a program.
    x86_isa_needed: GNU_PROPERTY_X86_ISA_1_NEEDED, 0 without. debug: a separate debug file: its segments have no bytes.
    """

    path: str
    identity: tuple[int, int]
    mode: int
    size: int
    layout: Layout
    machine: int
    type: int
    osabi: int
    abiversion: int
    flags: int
    entry: int
    segments: tuple[Segment, ...]
    false_ident: bool = False
    interpreter: str | None = None
    interpreter_fault: str | None = None
    dynamic: tuple[tuple[int, int], ...] | None = None
    soname: str | None = None
    dependencies: tuple[tuple[int, str], ...] = ()
    needed: tuple[str, ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    audit: str | None = None
    depaudit: str | None = None
    dt_flags: int = 0
    dt_flags_1: int = 0
    verneed: tuple[versions.VersionNeed, ...] = ()
    verdef: tuple[versions.VersionDefinition, ...] | None = None
    x86_isa_needed: int = 0
    debug: bool = False

    @property
    def elf_class(self) -> int:
        """32 or 64."""
        return self.layout.word * 8

    def value(self, tag: int) -> int | None:
        """The value of a dynamic tag; the last one counts where it is repeated (glibc elf/get-dynamic-info.h)."""
        found = None
        for this, value in self.dynamic or ():
            if this == tag:
                found = value
        return found

    def segment(self, kind: int) -> Segment | None:
        """The first program header of this p_type."""
        for segment in self.segments:
            if segment.type == kind:
                return segment
        return None


def read_image(reader: Reader) -> Image:
    """The loader's view of an open file.

    Raises NotElf for anything that is no ELF file (with the `#!` interpreter of a script), MalformedElf where the
    headers or the dynamic section contradict the file.
    """
    head = reader.head
    if head[:4] != b"\x7fELF":
        raise _not_elf(reader)
    if len(head) < 16:
        raise MalformedElf(reader.path, "truncated: shorter than an ELF header", len(head))
    layout = _layout_of(reader)
    ident, type_, machine, _version, entry, phoff, shoff, flags, *_ = fields = layout.header.unpack_from(head)
    phentsize, phnum = fields[9], fields[10]
    segments = _segments(reader, layout, phoff, phentsize, phnum, shoff)
    image = Image(
        path=reader.path,
        identity=reader.identity,
        mode=reader.mode,
        size=reader.size,
        layout=layout,
        machine=machine,
        type=type_,
        osabi=ident[7],
        abiversion=ident[8],
        flags=flags,
        entry=entry,
        segments=segments,
        false_ident=LAYOUTS.get((head[4], head[5])) is not layout,
    )
    if type_ not in (c.ET_EXEC, c.ET_DYN):
        return image
    if _has_code_without_bytes(image):
        return msgspec.structs.replace(image, debug=True)
    try:
        return msgspec.structs.replace(image, **_loader_view(reader, image))
    except MalformedElf:
        # Before binutils 2.35, and with eu-strip, a debug file keeps the segments of the file that it was cut from.
        if sections.holds_no_program(reader, image):
            return msgspec.structs.replace(image, debug=True)
        raise


def _layout_of(reader: Reader) -> Layout:
    """How the file is laid out: as e_ident says or, where its header contradicts that, as the header does.

    The kernel looks at e_machine and e_phentsize, and not at EI_CLASS and EI_DATA (Linux fs/binfmt_elf.c): a file
    whose e_ident lies runs all the same.
    """
    head = reader.head
    named = LAYOUTS.get((head[4], head[5]))
    if named is not None and _fits(head, named):
        return named
    fitting = [layout for layout in LAYOUTS.values() if _fits(head, layout)]
    if named is not None and len(fitting) != 1:
        if len(head) < named.header.size:
            raise MalformedElf(reader.path, "truncated: shorter than an ELF header", len(head))
        return named
    if len(fitting) == 1:
        return fitting[0]
    raise MalformedElf(reader.path, f"invalid ELF class {head[4]} or byte order {head[5]}", 4)


def _fits(head: bytes, layout: Layout) -> bool:
    """Whether e_version, e_ehsize and e_phentsize are what they are in files of this layout."""
    if len(head) < layout.header.size:
        return False
    fields = layout.header.unpack_from(head)
    return bool(fields[3] == 1 and fields[8] == layout.header.size and fields[9] == layout.segment.size)


def _not_elf(reader: Reader) -> NotElf:
    head = reader.head
    if not head:
        return NotElf(reader.path, "is empty, not an ELF file")
    if head[:2] == b"#!":
        return _script(reader.path, os.fsdecode(head[2:_SCRIPT_LINE].split(b"\n", 1)[0]))
    return NotElf(reader.path, "not an ELF file")


def _script(path: str, line: str) -> NotElf:
    """What a file is that begins with `#!` and LINE: interpreter and argument, parted by spaces and tabs alone.

    Source: Linux fs/binfmt_script.c, load_script. A carriage return is a character like any other there.
    """
    line = line.strip(" \t")
    interpreter = line.split(" ", 1)[0].split("\t", 1)[0]
    if not interpreter:
        return NotElf(path, "is a script without an interpreter, not an ELF file")
    argument = line[len(interpreter) :].strip(" \t")
    line = f"{interpreter} {argument}" if argument else interpreter
    what = f"is a script for {line}, not an ELF file"
    if line.endswith("\r"):
        what += " (the carriage return at the end of its #! line counts)"
    return NotElf(path, what, line)


def _segments(
    reader: Reader, layout: Layout, phoff: int, phentsize: int, phnum: int, shoff: int
) -> tuple[Segment, ...]:
    if phnum == 0:
        return ()
    if phnum == 0xFFFF:  # gABI, ELF Header: PN_XNUM, the number stands in sh_info of section 0
        phnum = sections.extended_segment_count(reader, layout.order, layout.word, shoff)
    if phentsize != layout.segment.size:
        raise MalformedElf(reader.path, f"program headers of {phentsize} bytes, {layout.segment.size} expected", phoff)
    if phnum > _MAX_SEGMENTS:
        raise MalformedElf(reader.path, f"{phnum} program headers", phoff)
    table = reader.read(phoff, phnum * phentsize)
    if layout.word == 8:
        return tuple(Segment(t, f, o, v, fs, ms, a) for t, f, o, v, _, fs, ms, a in layout.segment.iter_unpack(table))
    return tuple(Segment(t, f, o, v, fs, ms, a) for t, o, v, _, fs, ms, f, a in layout.segment.iter_unpack(table))


def _has_code_without_bytes(image: Image) -> bool:
    """Whether the executable segment has no bytes in the file, as `objcopy --only-keep-debug` leaves it."""
    code = [s for s in image.segments if s.type == c.PT_LOAD and s.flags & c.PF_X and s.memsz]
    return bool(code) and not any(s.filesz for s in code)


def _loader_view(reader: Reader, image: Image) -> dict[str, object]:
    """The fields of Image that come from PT_INTERP, PT_DYNAMIC and PT_GNU_PROPERTY."""
    view: dict[str, object] = {}
    dynamic_segment = None
    for segment in image.segments:
        if segment.type == c.PT_INTERP and "interpreter" not in view:
            view["interpreter"], view["interpreter_fault"] = _interpreter(reader, segment)
        elif segment.type == c.PT_DYNAMIC:
            dynamic_segment = segment  # glibc elf/rtld.c and dl-load.c: the last one counts
    if image.machine in (c.EM_X86_64, c.EM_386):
        view["x86_isa_needed"] = notes.x86_isa_needed(reader, image.layout, image.segments)
    if dynamic_segment is not None:
        view.update(_dynamic_view(reader, image, dynamic_segment))
    return view


def _interpreter(reader: Reader, segment: Segment) -> tuple[str, str | None]:
    """The path in PT_INTERP, and what the kernel would refuse it for; of a library nobody reads it.

    Linux fs/binfmt_elf.c, load_elf_binary: PATH_MAX at most, NUL-terminated, read at p_offset.
    """
    if not 2 <= segment.filesz <= 4096:
        return "", f"PT_INTERP has {segment.filesz} bytes"
    if segment.offset + segment.filesz > reader.size:
        return "", "PT_INTERP lies outside the file"
    text = reader.read(segment.offset, segment.filesz)
    return os.fsdecode(text.split(b"\0", 1)[0]), "PT_INTERP is not NUL-terminated" if text[-1] else None


def _dynamic_view(reader: Reader, image: Image, segment: Segment) -> dict[str, object]:
    offset, available = file_offset(image.segments, segment.vaddr, image.path)
    size = min(available, _MAX_DYNAMIC)  # the loaders read on to DT_NULL, whatever p_filesz says
    entry = image.layout.dynamic
    dynamic: list[tuple[int, int]] = []
    for tag, value in entry.iter_unpack(reader.read(offset, size - size % entry.size)):
        if tag == c.DT_NULL:
            break
        dynamic.append((tag, value))
    else:
        if size == _MAX_DYNAMIC:
            raise MalformedElf(image.path, f"a dynamic section of more than {_MAX_DYNAMIC} bytes", offset)
    last = dict(dynamic)
    view: dict[str, object] = {
        "dynamic": tuple(dynamic),
        "dt_flags": last.get(c.DT_FLAGS, 0),
        "dt_flags_1": last.get(c.DT_FLAGS_1, 0),
    }
    if c.DT_STRTAB in last:
        string = string_table(reader, image, last[c.DT_STRTAB], last.get(c.DT_STRSZ))
        dependencies = [(tag, string(value)) for tag, value in dynamic if tag in _DEPENDENCY_TAGS]
        view["dependencies"] = tuple(dependencies)
        view["needed"] = tuple([name for tag, name in dependencies if tag == c.DT_NEEDED])
        for tag, field in _STRING_TAGS:
            if tag in last:
                view[field] = string(last[tag])
        view["verneed"] = versions.read_verneed(reader, image, last, string)
        view["verdef"] = versions.read_verdef(reader, image, last, string)
    elif any(tag in _DEPENDENCY_TAGS for tag in last):
        raise MalformedElf(image.path, "DT_NEEDED without DT_STRTAB", offset)
    return view


_DEPENDENCY_TAGS = frozenset((c.DT_NEEDED, c.DT_AUXILIARY, c.DT_FILTER))
_STRING_TAGS = (
    (c.DT_SONAME, "soname"),
    (c.DT_RPATH, "rpath"),
    (c.DT_RUNPATH, "runpath"),
    (c.DT_AUDIT, "audit"),
    (c.DT_DEPAUDIT, "depaudit"),
)


def string_table(reader: Reader, image: Image, address: int, size: int | None) -> Callable[[int], str]:
    """A function from an offset in the dynamic string table to its string.

    size: DT_STRSZ; the loaders do not need it, so without it the table reaches to the end of its segment.
    A small table is read at once; of a large one only what is asked for. Strings may share their bytes, so it is their
    sum that is bounded: more than 4 MiB of them are refused.
    """
    offset, available = file_offset(image.segments, address, image.path)
    length = available if size is None else min(size, available)
    left = _ALL_STRINGS

    def decoded(text: bytes) -> str:
        nonlocal left
        left -= len(text)
        if left < 0:
            raise MalformedElf(image.path, f"more than {_ALL_STRINGS} bytes of names", offset)
        return text.decode("utf-8", "surrogateescape")

    if length <= _WHOLE_STRING_TABLE:
        whole = reader.read(offset, length)

        def from_whole(index: int) -> str:
            end = whole.find(b"\0", index, index + _LONGEST_STRING) if 0 <= index < length else -1
            if end < 0:
                raise MalformedElf(image.path, f"string {index} is not in the string table", offset)
            return decoded(whole[index:end])

        return from_whole

    def from_file(index: int) -> str:
        text = b""
        while 0 <= index + len(text) < length and len(text) < _LONGEST_STRING:
            start = index + len(text)
            chunk = reader.read(offset + start, min(_STRING_CHUNK, length - start))
            text += chunk
            if b"\0" in chunk:
                return decoded(text[: text.index(b"\0")])
        raise MalformedElf(image.path, f"string {index} is not in the string table", offset)

    return from_file

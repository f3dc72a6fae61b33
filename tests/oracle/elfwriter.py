"""A writer of small ELF files that a real loader maps, links and starts, so that thousands of them are cheap.

A file has two PT_LOADs: the headers and all that is only read (and the code), then what is written (the dynamic section
and the GOT). Section headers are left out unless asked for: loaders never look at them.
"""

import os
from pathlib import Path
from typing import Any

from tests.oracle import elfformat, elftables
from tests.oracle.elfformat import PF_R, PF_W, PF_X, Records, padded, records
from tests.oracle.machinecode import entry_point, entry_size
from tests.oracle.recipe import Recipe, Symbol

__all__ = ["GLIBC_X86_64", "Recipe", "Symbol", "encode", "executable", "program", "shared_object", "write"]

GLIBC_X86_64 = "/lib64/ld-linux-x86-64.so.2"
_HEADER_IDENT = b"\x7fELF"
_FIXED_BASE = 0x400000  # where an ET_EXEC is linked to


def shared_object(path: str | os.PathLike[str], **recipe: Any) -> Path:
    """Write a shared library after the recipe's fields; the path, as a Path."""
    return write(path, Recipe(**recipe))


def executable(
    path: str | os.PathLike[str], interp: str | None = GLIBC_X86_64, *, pie: bool = True, **recipe: Any
) -> Path:
    """Write a program (mode 0755) that prints its link map and exits with 0; the path, as a Path.

    interp: None gives one that the kernel starts without a loader. Machines: those of `machinecode`.
    """
    return write(path, program(interp, pie=pie, **recipe))


def program(interp: str | None = GLIBC_X86_64, *, pie: bool = True, **recipe: Any) -> Recipe:
    """The recipe of what `executable` writes."""
    recipe["flags_1"] = recipe.get("flags_1", 0) | (elfformat.DF_1_PIE if pie else 0)
    recipe.setdefault("e_type", elfformat.ET_DYN if pie else elfformat.ET_EXEC)
    return Recipe(interp=interp, entry=True, **recipe)


def write(path: str | os.PathLike[str], recipe: Recipe) -> Path:
    """Write the file that a recipe describes, executable by all as linkers make it; the path, as a Path."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o755)
    try:
        os.write(descriptor, encode(recipe))
    finally:
        os.close(descriptor)
    return Path(path)


def encode(recipe: Recipe) -> bytes:
    """The bytes of the file that a recipe describes."""
    form = records(recipe.elf_class, recipe.endian)
    tables = elftables.collect(recipe, form)
    kinds = _segment_kinds(recipe)
    read_only = _place(tables.read_only, form.header.size + len(kinds) * form.segment.size)
    written_at = -(-sum(read_only["text"]) // 8) * 8
    page = elfformat.PAGE.get(recipe.machine, 0x10000)
    base = _FIXED_BASE if recipe.e_type == elfformat.ET_EXEC else 0
    places = read_only | _place(tables.written, written_at)
    addresses = {name: base + at + (page if at >= written_at else 0) for name, (at, _) in places.items()}
    content = tables.fill(addresses)
    if recipe.entry:
        distance = addresses["dynamic"] - addresses["text"]
        content["text"] = entry_point(recipe.machine, distance) + content["text"][entry_size(recipe.machine) :]
    segments = _segments(form, kinds, places, addresses, page, recipe)
    body = bytearray(form.header.size) + segments
    for name, (at, _) in places.items():
        body += bytes(at - len(body)) + content[name]
    sections = (0, 0, 0)
    if recipe.sections:
        sections = elftables.append_sections(body, form, places, addresses, recipe)
    body[: form.header.size] = _header(form, recipe, addresses["text"], len(kinds), sections)
    return bytes(body)


def _place(sizes: dict[str, int], start: int) -> dict[str, tuple[int, int]]:
    """Where each block lies in the file: {name: (offset, size)}, in order, each on a multiple of 8."""
    places = {}
    for name, size in sizes.items():
        start = -(-start // 8) * 8
        places[name] = (start, size)
        start += size
    return places


def _segment_kinds(recipe: Recipe) -> list[int]:
    """The program headers that the file has, in order; PT_PHDR and PT_INTERP stand before PT_LOAD (gABI)."""
    kinds = [elfformat.PT_PHDR, elfformat.PT_INTERP] if recipe.interp is not None else []
    kinds += [elfformat.PT_LOAD, elfformat.PT_LOAD, elfformat.PT_DYNAMIC]
    if recipe.notes or recipe.build_id is not None:
        kinds.append(elfformat.PT_NOTE)
    if recipe.isa_needed is not None:
        kinds += [elfformat.PT_NOTE, elfformat.PT_GNU_PROPERTY]
    return [*kinds, elfformat.PT_GNU_STACK]


def _segments(
    form: Records,
    kinds: list[int],
    places: dict[str, tuple[int, int]],
    addresses: dict[str, int],
    page: int,
    recipe: Recipe,
) -> bytes:
    """The program headers. The first PT_LOAD has the headers in it, the second starts at the dynamic section."""
    read_end = sum(places["text"])
    start, base = places["dynamic"][0], addresses["text"] - places["text"][0]
    blocks = {
        elfformat.PT_PHDR: [(PF_R, form.header.size, base + form.header.size, len(kinds) * form.segment.size, 8)],
        elfformat.PT_LOAD: [
            (PF_R | PF_X, 0, base, read_end, page),
            (PF_R | PF_W, start, addresses["dynamic"], sum(places["got"]) - start, page),
        ],
        elfformat.PT_GNU_STACK: [(PF_R | PF_W | (PF_X if recipe.execstack else 0), 0, 0, 0, 16)],
    }
    for kind, name, align in (
        (elfformat.PT_INTERP, "interp", 1),
        (elfformat.PT_NOTE, "note", 4),
        (elfformat.PT_NOTE, "property", form.word),
        (elfformat.PT_GNU_PROPERTY, "property", form.word),
        (elfformat.PT_DYNAMIC, "dynamic", form.word),
    ):
        if name in places:
            flags = PF_R | (PF_W if name == "dynamic" else 0)
            blocks.setdefault(kind, []).append((flags, places[name][0], addresses[name], places[name][1], align))
    return b"".join(form.program_header(kind, *blocks[kind].pop(0)) for kind in kinds)


def _header(form: Records, recipe: Recipe, text: int, segments: int, sections: tuple[int, int, int]) -> bytes:
    """The ELF header. sections: (offset of the table, number, index of the names), all 0 without."""
    ident = _HEADER_IDENT + bytes(
        (2 if form.wide else 1, 1 if recipe.endian == "little" else 2, 1, recipe.osabi, recipe.abiversion)
    )
    table, count, names = sections
    return form.header.pack(
        padded(ident, 16),
        recipe.e_type,
        recipe.machine,
        1,
        text if recipe.entry else 0,
        form.header.size,
        table,
        recipe.e_flags,
        form.header.size,
        form.segment.size,
        segments,
        form.section.size if count else 0,
        count,
        names,
    )

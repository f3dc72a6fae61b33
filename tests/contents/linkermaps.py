"""What a linker's own map (-Map) says came from archives: the judge of what is found inside a linked file."""

import os
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

import msgspec

from linkscope.elf import constants as c
from linkscope.elf import sections
from tests.elf.samples import opened

_GNU = re.compile(  # GNU ld and gold; a long name has a line for itself
    r"^ (\.[^\s(]\S*|\S+)\s+(0x[0-9a-f]+)\s+(0x[0-9a-f]+) (.+)$", re.MULTILINE
)
_LLD = re.compile(r"^ *([0-9a-f]+) +([0-9a-f]+) +([0-9a-f]+) +\d+ {9}(\S.*):\((\S+)\)$", re.MULTILINE)
_MEMBER = re.compile(r"^(.*)\(([^()]+)\)$")


class Placed(msgspec.Struct, frozen=True):
    """An input section of an archive's member that is in the file's executable memory."""

    archive: str
    member: str
    section: str
    address: int
    size: int


def placed(map_file: Path, program: Path) -> list[Placed]:
    """The sections of archives' members that the map places in the program's executable sections."""
    with opened(program) as (reader, image):
        wanted = c.SHF_ALLOC | c.SHF_EXECINSTR
        code = [(s.addr, s.addr + s.size) for s in sections.read_sections(reader, image) if s.flags & wanted == wanted]
    found = []
    for section, address, size, file in _rows(map_file.read_text("utf-8", "replace")):
        member = _MEMBER.match(file)
        if member and size and any(start <= address < end for start, end in code):
            found.append(Placed(Path(os.path.realpath(member[1])).name, member[2], section, address, size))
    return found


def _rows(text: str) -> Iterator[tuple[str, int, int, str]]:
    if text.lstrip().startswith("VMA"):
        for address, _, size, file, section in _LLD.findall(text):
            yield section, int(address, 16), int(size, 16), file
        return
    text = text.partition("Memory map\n")[2] or text.partition("Linker script and memory map\n")[2] or text
    text = re.sub(r"^( \S+)\n +(0x)", r"\1 \2", text, flags=re.MULTILINE)
    for section, address, size, file in _GNU.findall(text):
        yield section, int(address, 16), int(size, 16), file


def linked_archives(map_file: Path, program: Path) -> dict[str, int]:
    """The bytes of executable code from each archive, by its file name."""
    sizes: dict[str, int] = {}
    for one in placed(map_file, program):
        sizes[one.archive] = sizes.get(one.archive, 0) + one.size
    return sizes


def bytes_from(places: Iterable[Placed], parts: Iterable[tuple[int, int, Container[str]]]) -> int:
    """How many bytes of PARTS come from the archives that are named with each: (first address, the one behind, names).

    They are given by their addresses, and do not overlap.
    """
    ordered = sorted(places, key=lambda one: one.address)
    found = at = 0
    for start, end, archives in parts:
        while at < len(ordered) and ordered[at].address + ordered[at].size <= start:
            at += 1
        behind = at
        while behind < len(ordered) and ordered[behind].address < end:
            one = ordered[behind]
            if one.archive in archives:
                found += max(0, min(end, one.address + one.size) - max(start, one.address))
            behind += 1
    return found

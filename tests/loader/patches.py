"""Single fields of a finished 64-bit little-endian ELF file, changed into what no linker writes."""

import struct
from pathlib import Path

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import open_reader
from linkscope.elf.segments import file_offset

DT_SYMTAB, DT_VERSYM, DT_VERNEED = 6, 0x6FFFFFF0, 0x6FFFFFFE
# Where a field stands in its record, and how it is packed: gABI, Symbol Table; LSB, Symbol Versioning.
_SYMBOL_FIELDS = {"info": (4, "<B"), "other": (5, "<B"), "shndx": (6, "<H"), "value": (8, "<Q")}
_SYMBOL_SIZE = 24
_VERNAUX_FIELDS = {"hash": (0, "<I"), "other": (6, "<H")}
_VERNEED_SIZE = 16


def patch_symbol(path: Path, index: int, **fields: int) -> None:
    """Change fields of a dynamic symbol (0 is the gABI's empty one)."""
    start = _place(path, DT_SYMTAB) + index * _SYMBOL_SIZE
    for name, value in fields.items():
        at, layout = _SYMBOL_FIELDS[name]
        _write(path, start + at, struct.pack(layout, value))


def patch_version_index(path: Path, index: int, value: int) -> None:
    """Change a dynamic symbol's entry of .gnu.version."""
    _write(path, _place(path, DT_VERSYM) + index * 2, struct.pack("<H", value))


def patch_needed_version(path: Path, **fields: int) -> None:
    """Change fields of the first Vernaux of the first Verneed, which stands right behind it."""
    for name, value in fields.items():
        at, layout = _VERNAUX_FIELDS[name]
        _write(path, _place(path, DT_VERNEED) + _VERNEED_SIZE + at, struct.pack(layout, value))


def patch_dynamic(path: Path, tag: int, value: int) -> None:
    """Change the value of a tag of the dynamic section, which has it once."""
    entry = struct.pack("<QQ", tag, _image(path).value(tag))
    content = path.read_bytes()
    assert content.count(entry) == 1
    path.write_bytes(content.replace(entry, struct.pack("<QQ", tag, value)))


def _image(path: Path) -> Image:
    with open_reader(str(path)) as reader:
        return read_image(reader)


def _place(path: Path, tag: int) -> int:
    """Where the table that a tag names begins in the file."""
    image = _image(path)
    address = image.value(tag)
    assert address is not None
    return file_offset(image.segments, address, str(path))[0]


def _write(path: Path, at: int, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)

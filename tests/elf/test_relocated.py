"""Where the loader writes when it relocates a file: readelf lists it."""

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.elf import constants as c
from linkscope.elf.relocated import some_relative, targets, unpacked
from tests.elf.samples import LIBRARIES, ask, elf_files, opened, spread
from tests.oracle.availability import Unavailable

RequireTool = Callable[[str], str]


def _listed(path: str) -> tuple[dict[int, str], set[int]]:
    """The places of readelf's tables with their types, and those of DT_RELR."""
    told = subprocess.run(["readelf", "--use-dynamic", "-rW", path], capture_output=True, text=True, check=True).stdout
    packed, places = set(), {}
    for line in told.splitlines():
        row = re.match(r"([0-9a-f]{8,16}) +[0-9a-f]{8,16} (R_\w+)", line)
        if row:
            places[int(row[1], 16)] = row[2]
        elif re.fullmatch(r"[0-9a-f]{8,16}(  .*)?", line):
            packed.add(int(line.split()[0], 16))
    return places, packed


def _made(require_tool: RequireTool, folder: Path, *flags: str) -> str:
    source = folder / "lib.c"
    source.write_text(
        "#include <stdio.h>\n"
        "int a; int *t[300] = {&a, [7] = &a, &a, [200] = &a, [299] = &a}; int **u[] = {t, t + 1};\n"
        '_Thread_local int l; int f(void) { return puts("") + l; } int (*g)(const char *) = puts;'
    )
    made = folder / "lib.so"
    subprocess.run([require_tool("gcc"), "-shared", "-fPIC", "-Wl,-Bsymbolic", *flags, source, "-o", made], check=True)
    return str(made)


@pytest.mark.parametrize("flags", [(), ("-Wl,-z,pack-relative-relocs",), ("-Wl,-z,nocombreloc",)], ids=str)
def test_all_places_are_those_that_readelf_lists(
    require_tool: RequireTool, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    path = _made(require_tool, tmp_path, *flags)
    with opened(path) as (reader, image):
        found = dict(targets(reader, image))
    assert set(found) == _relocation_places(path)


def _relocation_places(path: str) -> set[int]:
    """By sections, which tell DT_RELR address by address."""
    told = subprocess.run(["readelf", "-rW", path], capture_output=True, text=True, check=True).stdout
    return {int(line.split()[0], 16) for line in told.splitlines() if re.match(r"[0-9a-f]{8,16}\b", line)}


def test_the_places_in_libraries_of_this_machine_and_of_others(foreign_files: tuple[str, ...]) -> None:
    """RELA and REL, 32 and 64 bits, both byte orders. MIPS has the type elsewhere in r_info, and the same places."""
    for path in spread(elf_files(*LIBRARIES), 40) + spread(foreign_files, 60):
        with opened(path) as (reader, image):
            if image.dynamic is None or image.debug:
                continue
            found = {target for target, _ in targets(reader, image)}
        places, packed = _listed(path)
        if not packed:
            assert found == set(places), path


# By name, and elf.h has the numbers: how wide the field is that each type writes (psABI x86-64, 4.4.1; i386, 4.4; Arm's
# ELF for the AArch64, 5.7, and for the Arm architecture, 5.6).
WIDTHS = {
    "R_X86_64_64": 8,
    "R_X86_64_PC32": 4,
    "R_X86_64_32": 4,
    "R_X86_64_32S": 4,
    "R_X86_64_16": 2,
    "R_X86_64_PC16": 2,
    "R_X86_64_8": 1,
    "R_X86_64_PC8": 1,
    "R_X86_64_RELATIVE": 8,
    "R_X86_64_GLOB_DAT": 8,
    "R_X86_64_JUMP_SLOT": 8,
    "R_X86_64_DTPMOD64": 8,
    "R_X86_64_TPOFF64": 8,
    "R_X86_64_TPOFF32": 4,
    "R_X86_64_IRELATIVE": 8,
    "R_X86_64_TLSDESC": 16,
    "R_386_32": 4,
    "R_386_PC32": 4,
    "R_386_16": 2,
    "R_386_PC8": 1,
    "R_386_RELATIVE": 4,
    "R_386_GLOB_DAT": 4,
    "R_386_TLS_TPOFF": 4,
    "R_386_TLS_DESC": 8,
    "R_AARCH64_ABS64": 8,
    "R_AARCH64_ABS32": 4,
    "R_AARCH64_ABS16": 2,
    "R_AARCH64_PREL32": 4,
    "R_AARCH64_RELATIVE": 8,
    "R_AARCH64_GLOB_DAT": 8,
    "R_AARCH64_TLSDESC": 16,
    "R_AARCH64_IRELATIVE": 8,
    "R_ARM_ABS32": 4,
    "R_ARM_ABS16": 2,
    "R_ARM_RELATIVE": 4,
    "R_ARM_TLS_DESC": 8,
}


@pytest.mark.parametrize("name", WIDTHS)
def test_a_type_writes_as_many_bytes_as_its_abi_says(name: str, tmp_path: Path) -> None:
    """As the only relocation of a made file of that machine."""
    machine, word = next(row for prefix, *row in MACHINES if name.startswith(prefix))
    path = _one_relocation(tmp_path / "made", machine, word, _number(name))
    assert [width for _, width in ask(lambda *file: list(targets(*file)), path)] == [WIDTHS[name]]


MACHINES = (
    ("R_X86_64_", c.EM_X86_64, 8),
    ("R_386_", c.EM_386, 4),
    ("R_AARCH64_", c.EM_AARCH64, 8),
    ("R_ARM_", c.EM_ARM, 4),
)


def _number(name: str) -> int:
    """What /usr/include/elf.h says."""
    header = Path("/usr/include/elf.h")
    if not header.exists():
        raise Unavailable("elf.h is not here (Debian package libc6-dev)")
    found = re.search(rf"#define\s+{name}\s+(\d+)", header.read_text())
    if found is None:
        raise Unavailable(f"elf.h does not know {name}")
    return int(found[1])


def _one_relocation(path: Path, machine: int, word: int, kind: int) -> Path:
    """A shared library whose headers, dynamic section and one relocation are all that it has."""
    letter, elf_class = ("Q", 2) if word == 8 else ("I", 1)
    sizes = (64, 56) if word == 8 else (52, 32)
    ident = b"\x7fELF" + bytes((elf_class, 1, 1)) + bytes(9)
    numbers = (3, machine, 1, 0, sizes[0], 0, 0, *sizes, 2, 0, 0, 0)
    header = ident + struct.pack(f"<HHI{letter}{letter}{letter}IHHHHHH", *numbers)
    segments = b"".join(_segment(word, *fields) for fields in ((c.PT_LOAD, 0, 0x300), (c.PT_DYNAMIC, 0x100, 0x80)))
    tags = (c.DT_RELA, 0x200, c.DT_RELASZ, 3 * word, c.DT_NULL, 0)
    dynamic = struct.pack(f"<6{letter}", *tags)
    data = (header + segments).ljust(0x100, b"\0") + dynamic.ljust(0x100, b"\0")
    path.write_bytes((data + struct.pack(f"<3{letter}", 0x280, kind, 0)).ljust(0x300, b"\0"))
    return path


def _segment(word: int, kind: int, at: int, size: int) -> bytes:
    if word == 8:
        return struct.pack("<IIQQQQQQ", kind, 6, at, at, at, size, size, 8)
    return struct.pack("<8I", kind, at, at, at, size, size, 6, 8)


@pytest.mark.parametrize("word", [4, 8])
def test_relr_bitmaps_unpack_as_the_gabi_says(word: int) -> None:
    all_ones = (1 << word * 8) - 1
    assert list(unpacked([0x1000], word)) == [0x1000]
    assert list(unpacked([0x1000, 0b1011], word)) == [0x1000, 0x1000 + word, 0x1000 + 3 * word]
    assert list(unpacked([0x1000, all_ones, 0b11], word)) == [0x1000 + i * word for i in range(word * 8 + 1)]
    assert list(unpacked([1, 1], word)) == []


@pytest.mark.parametrize("flags", [(), ("-Wl,-z,pack-relative-relocs",)], ids=["rela", "relr"])
def test_relative_relocations_have_the_addends_that_the_source_has(
    require_tool: RequireTool, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """`t` holds the address of `a` in five places, and `u` that of `t` and of its second element."""
    path = _made(require_tool, tmp_path, "-nostartfiles", *flags)
    told = subprocess.run(["nm", "-D", path], capture_output=True, text=True, check=True).stdout
    address = {name: int(value, 16) for value, _, name in re.findall(r"^([0-9a-f]+) (\w) (\w+)$", told, re.MULTILINE)}
    with opened(path) as (reader, image):
        found = dict(some_relative(reader, image, 1000))
        some = dict(some_relative(reader, image, 2))
    expected = {address["t"] + 8 * place: address["a"] for place in (0, 7, 8, 200, 299)}
    expected |= {address["u"]: address["t"], address["u"] + 8: address["t"] + 8}
    assert found == expected
    assert some.items() < found.items()

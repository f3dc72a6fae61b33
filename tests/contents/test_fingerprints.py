"""What of a section's bytes is kept: real linkers are the judges of what they change, readelf of what there is."""

import contextlib
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.contents import archives, changeable, objects
from linkscope.contents.changeable import Range
from linkscope.contents.fingerprints import signature
from linkscope.contents.objects import Code
from linkscope.elf.reader import open_reader
from linkscope.elf.segments import file_offset
from linkscope.errors import MalformedElf
from tests.contents import linkermaps, memorypack
from tests.elf.samples import FixtureFile, RequireTool, opened, tool
from tests.oracle.availability import Unavailable

LIBC = Path("/usr/lib/x86_64-linux-gnu/libc.a")
LIBSTDCXX = Path("/usr/lib/gcc/x86_64-linux-gnu/12/libstdc++.a")
_SOURCE = Path(__file__).parents[2] / "fixtures/src/inside/relaxed.c"

# How the code of fixtures/inside.mk may be linked; what a linker rewrites differs in each.
LINKS = {
    "static": ["-static"],
    "static, cet": ["-static", "-Wl,-z,ibtplt"],
    "static-pie": ["-static-pie"],
    "dynamic": ["-no-pie"],
    "pie": ["-pie"],
    "shared": ["-shared", "-fPIC"],
    "not relaxed": ["-static", "-Wl,--no-relax"],
    "call with a prefix": ["-static", "-Wl,-z,call-nop=prefix-0x90"],
    "call with a suffix": ["-static", "-Wl,-z,call-nop=suffix-0x90"],
    "gold": ["-static", "-fuse-ld=gold"],
    "gold, pie": ["-pie", "-fuse-ld=gold"],
    "gold, icf": ["-static", "-fuse-ld=gold", "-Wl,--icf=all"],
    "lld": ["-static", "-fuse-ld=lld"],
    "lld, pie": ["-pie", "-fuse-ld=lld"],
    "lld, shared": ["-shared", "-fPIC", "-fuse-ld=lld"],
}


def _linked(compiler: str, archive: Path, flags: list[str], folder: Path) -> tuple[Path, Path]:
    program, map_file = folder / "program", folder / "program.map"
    independent = [flag for flag in flags if flag in ("-pie", "-static-pie", "-shared")]
    model = {"-shared": ["-fPIC"], "-pie": ["-fPIE"], "-static-pie": ["-fPIE"]}.get("".join(independent), ["-fno-pie"])
    # What was compiled for one place in memory cannot be taken into a file that has none.
    inputs = [str(archive)] if independent else ["-Wl,--whole-archive", str(archive), "-Wl,--no-whole-archive"]
    command = [compiler, "-O1", *model, str(_SOURCE), *inputs, *flags, f"-Wl,-Map={map_file}", "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{compiler} {' '.join(flags)}: {done.stderr[-300:]}")
    return program, map_file


def _code(archive: Path) -> dict[tuple[str, str], tuple[str, Code]]:
    """The sections of an archive, whose names are unique, with their architecture."""
    with open_reader(str(archive)) as reader:
        whole = list(archives.members(reader, None))
    found = {}
    for member in whole:
        read = objects.read_object(member.content, member.name)
        for code in read.code if read else ():
            found[member.name, code.name] = read.architecture if read else "", code
    return found


def _in_program(program: Path, map_file: Path, archive: Path) -> Iterator[tuple[str, Code, bytes]]:
    """Each section of the archive that was linked: (architecture, as it was, as it is in the program)."""
    code = _code(archive)
    with opened(program) as (reader, image):
        for placed in linkermaps.placed(map_file, program):
            if placed.archive == archive.name and (placed.member, placed.section) in code:
                architecture, section = code[placed.member, placed.section]
                assert placed.size == len(section.content), placed
                offset, _ = file_offset(image.segments, placed.address, image.path)
                yield architecture, section, reader.read(offset, placed.size)


def _changed(before: bytes, after: bytes) -> set[int]:
    return {at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}


def _inside(ranges: list[Range]) -> set[int]:
    return {at for start, end in ranges for at in range(start, end)}


@pytest.mark.parametrize("link", LINKS)
def test_every_byte_that_a_linker_changes_is_left_out(link: str, fixture_file: FixtureFile, tmp_path: Path) -> None:
    archive = fixture_file("inside/libinside.a")
    program, map_file = _linked("gcc", archive, LINKS[link], tmp_path)
    sections = list(_in_program(program, map_file, archive))
    assert len(sections) >= 5
    rewritten = 0
    for architecture, section, after in sections:
        left_out = _inside(changeable.changeable(architecture, section.content, section.relocations))
        changed = _changed(section.content, after)
        assert changed <= left_out, (section.name, sorted(changed - left_out))
        fields = {at for offset, _ in section.relocations for at in range(offset, offset + 4)}
        rewritten += len(changed - fields)
    if link not in ("not relaxed", "shared", "lld, shared"):
        assert rewritten > 20  # opcodes, not only the fields of relocations


@pytest.mark.parametrize("flags", [["-static"], ["-static", "-Wl,--fix-cortex-a53-835769"], ["-static-pie"], ["-pie"]])
def test_every_byte_that_a_linker_of_arm64_changes_is_left_out(
    flags: list[str], fixture_file: FixtureFile, require_tool: RequireTool, tmp_path: Path
) -> None:
    archive = fixture_file("inside/arm64/libinside.a")
    program, map_file = _linked(require_tool("aarch64-linux-gnu-gcc"), archive, flags, tmp_path)
    sections = list(_in_program(program, map_file, archive))
    assert len(sections) >= 5
    for architecture, section, after in sections:
        left_out = _inside(changeable.changeable(architecture, section.content, section.relocations))
        assert _changed(section.content, after) <= left_out, section.name


@pytest.mark.parametrize("linker", ["bfd", "gold", "lld"])
@pytest.mark.parametrize("archive", [LIBC, LIBSTDCXX], ids=lambda path: path.name)
def test_nothing_else_of_a_real_library_changes(archive: Path, linker: str, tmp_path: Path) -> None:
    if not archive.exists():
        raise Unavailable(f"{archive} is not installed")
    source = tmp_path / "a.cc"
    source.write_text(
        '#include <iostream>\n#include <fstream>\nint main() { std::ofstream("a") << std::cin.rdbuf(); }\n'
    )
    program, map_file = tmp_path / "a", tmp_path / "a.map"
    command: list[str | Path] = ["g++", source, "-static", f"-fuse-ld={linker}", f"-Wl,-Map={map_file}", "-o", program]
    if subprocess.run(command, capture_output=True).returncode:
        raise Unavailable(f"g++ -fuse-ld={linker} does not link")
    count = 0
    for architecture, section, after in _in_program(program, map_file, archive):
        left_out = _inside(changeable.changeable(architecture, section.content, section.relocations))
        assert _changed(section.content, after) <= left_out, section.name
        count += 1
    assert count > 100


def test_sites_that_objdump_shows_rewritten_are_left_out(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """`mov` becomes `lea` or an immediate, the indirect call a direct one, as psABI x86-64 B.2 has it."""
    archive = fixture_file("inside/libinside.a")
    program, _ = _linked("gcc", archive, LINKS["static"], tmp_path)
    text = tool("objdump", "-d", "--no-show-raw-insn", "--disassemble=through_the_got", program)
    assert "*0x" not in text.partition("<through_the_got>:")[2].replace("*0x0", ""), text
    assert re.search(r"addr32 call|call .*\n.*nop", text), text
    assert len(re.findall(r"\b(?:mov|test|add|sub|and|or|xor|cmp|adc|sbb) +\$0x", text)) >= 10


def test_code_of_headers_is_told_apart_as_readelf_tells_comdat_groups() -> None:
    if not LIBSTDCXX.exists():
        raise Unavailable("libstdc++-12-dev is not installed")
    grouped = 0
    for part in tool("readelf", "-gW", LIBSTDCXX).split("\nFile: ")[1:]:
        grouped += len(re.findall(r"^ +\[ *\d+\] +\.text", part, re.MULTILINE))
    code = [section for _, section in _all_code(LIBSTDCXX)]
    assert sum(section.shared for section in code) == grouped - _empty_in_groups(LIBSTDCXX)


def _all_code(archive: Path) -> list[tuple[str, Code]]:
    with open_reader(str(archive)) as reader:
        read = [(m.name, objects.read_object(m.content, m.name)) for m in archives.members(reader, None)]
    return [(name, code) for name, found in read if found for code in found.code]


def _empty_in_groups(archive: Path) -> int:
    """Sections of code in groups that have no bytes."""
    return len(
        re.findall(
            r"^ +\[ *\d+\] \.text\S* +PROGBITS +0+ \w+ 0+ \w+ +AXG", tool("readelf", "-SW", archive), re.MULTILINE
        )
    )


def test_relocations_are_those_that_readelf_lists(fixture_file: FixtureFile) -> None:
    archive = fixture_file("inside/libinside.a")
    listed = re.findall(r"^([0-9a-f]{16}) +([0-9a-f]{16}) R_", _of_code(tool("readelf", "-rW", archive)), re.MULTILINE)
    wanted = sorted((int(offset, 16), int(info, 16) & 0xFFFFFFFF) for offset, info in listed)
    assert sorted(pair for _, code in _all_code(archive) for pair in code.relocations) == wanted


def _of_code(text: str) -> str:
    parts = re.split(r"^Relocation section '", text, flags=re.MULTILINE)
    return "\n".join(part for part in parts if part.startswith(".rela.text"))


def test_the_same_code_has_the_same_digest_wherever_it_stands() -> None:
    code = Code(".text", bytes(range(64)), [(8, 2), (20, 4)], shared=False)
    other = Code(".text.f", bytes(range(8)) + b"\x77" * 4 + bytes(range(12, 64)), [(8, 2), (20, 4)], shared=True)
    longer = Code(".text", bytes(range(64)), [(8, 2)], shared=False)
    first, second, third = (signature("x86_64", "a.o", one) for one in (code, other, longer))
    assert first
    assert second
    assert third
    assert first.digest == second.digest != third.digest
    assert (first.fixed, third.fixed) == (56, 60)


def test_anchor_and_check_are_fixed_bytes_of_the_section() -> None:
    if not LIBC.exists():
        raise Unavailable("libc6-dev is not installed")
    (archive,) = memorypack.read(LIBC)
    code: dict[tuple[str, str], list[bytes]] = {}
    for member, section in _all_code(LIBC):
        code.setdefault((member, section.name), []).append(section.content)
    for one in archive.signatures:
        left_out = _inside(changeable.unpack(one.changeable))
        anchor, check = range(one.anchor_at, one.anchor_at + 8), range(one.check_at, one.check_at + 4)
        assert left_out.isdisjoint((*anchor, *check)), one
        assert any(
            content[anchor.start : anchor.stop] == struct.pack("<Q", one.anchor)
            and content[check.start : check.stop] == struct.pack("<I", one.check)
            for content in code[one.member, one.section]
        )


def test_what_is_too_short_or_all_filling_is_not_recognised() -> None:
    for content in (b"\xc3", bytes(range(15)), b"\x90" * 400, b"\0" * 64, b"\xcc\x90" * 40):
        assert signature("x86_64", "a.o", Code(".text", content, [], shared=False)) is None


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), max_size=40))
def test_ranges_are_read_as_they_were_packed(gaps: list[tuple[int, int]]) -> None:
    ranges: list[Range] = []
    end = 0
    for number, (gap, length) in enumerate(gaps):
        start = end + gap + bool(number)
        end = start + length
        ranges.append((start, end))
    assert changeable.unpack(changeable.pack(ranges)) == ranges


@given(st.binary(max_size=60))
def test_ranges_of_other_bytes_are_read_without_harm(packed: bytes) -> None:
    assert all(0 <= start <= end for start, end in changeable.unpack(packed))


@given(st.binary(max_size=400), st.integers(0, 400), st.binary(max_size=8))
def test_a_damaged_object_is_an_error_or_another_object(tail: bytes, at: int, put: bytes) -> None:
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 3, 2)
    content = bytearray(header + tail)
    content[at : at + len(put)] = put
    with contextlib.suppress(MalformedElf):
        objects.read_object(bytes(content), "a.o")

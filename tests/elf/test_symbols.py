"""Dynamic symbols, their versions, and what relocations refer to: pyelftools and readelf are the judges."""

import os
import re
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from linkscope.elf.symbols import Symbols, dynamic_table, read_references, read_symbols, section_table
from linkscope.errors import MalformedElf
from tests.elf.samples import (
    DEBUG_FILES,
    LIBRARIES,
    PROGRAMS,
    FixtureFile,
    RequireTool,
    ask,
    elf_files,
    opened,
    spread,
    tool,
)
from tests.oracle import elfwriter
from tests.oracle.recipe import Symbol

Raw = tuple[str, int, int, int, int]
EM_MIPS = 8


def _name(strings: bytes, at: int) -> str:
    return os.fsdecode(strings[at : strings.index(b"\0", at)])


def _sections_symbols(elf: Any) -> list[Raw]:
    """What .dynsym holds, which linkers make the same as what DT_SYMTAB leads to."""
    section = elf.get_section_by_name(".dynsym")
    strings = elf.get_section(section["sh_link"]).data()
    order = "<" if elf.little_endian else ">"
    if elf.elfclass == 64:
        rows = struct.iter_unpack(order + "IBBHQQ", section.data())
        return [(_name(strings, at), info, other, shndx, value) for at, info, other, shndx, value, _ in rows]
    rows = struct.iter_unpack(order + "IIIBBH", section.data())
    return [(_name(strings, at), info, other, shndx, value) for at, value, _, info, other, shndx in rows]


def _sections_indices(elf: Any) -> list[int] | None:
    section = elf.get_section_by_name(".gnu.version")
    if section is None:
        return None
    order = "<" if elf.little_endian else ">"
    return [index for (index,) in struct.iter_unpack(order + "H", section.data())]


def _sections_references(elf: Any, lazy_at: int | None) -> tuple[set[int], set[int]]:
    """(by tables that are worked off at start, by the lazy one)."""
    found: tuple[set[int], set[int]] = set(), set()
    for section in elf.iter_sections():
        if section["sh_type"] in ("SHT_REL", "SHT_RELA") and section["sh_flags"] & 2:
            lazy = section["sh_addr"] == lazy_at
            found[lazy].update(row["r_info_sym"] for row in section.iter_relocations() if row["r_info_sym"])
    return found


def _differences(path: str) -> list[str]:
    with open(path, "rb") as stream, opened(path) as (reader, image):
        elf: Any = ELFFile(stream)
        if elf.get_section_by_name(".dynsym") is None:
            return []
        own = read_symbols(reader, image)
        references = read_references(reader, image, own)
        raw = [(s.name, s.info, s.other, s.shndx, s.value) for s in own.entries]
        indices = [s.version | s.hidden << 15 for s in own.entries] if own.versioned else None
        checks: list[tuple[str, object, object]] = [
            ("symbols", raw, _sections_symbols(elf)),
            ("versions", indices, _sections_indices(elf)),
        ]
        if image.machine != EM_MIPS:  # its global GOT is judged apart
            judged = _sections_references(elf, image.value(23))
            checks.append(("references", (set(references.data), set(references.functions)), judged))
        return [f"{path}: {what}" for what, ours, theirs in checks if ours != theirs]


def _all_differences(paths: Sequence[str]) -> list[str]:
    return [difference for path in paths if not path.startswith(DEBUG_FILES) for difference in _differences(path)]


def test_the_symbols_of_the_machines_programs_are_those_of_their_sections() -> None:
    """The count comes from the hash tables, or from relocations where a program exports nothing."""
    assert _all_differences(elf_files(*PROGRAMS)) == []


def test_the_symbols_of_the_machines_libraries_are_those_of_their_sections() -> None:
    small = [path for path in elf_files(*LIBRARIES) if os.path.getsize(path) < 3_000_000]
    assert _all_differences(spread(small, 300)) == []


def test_the_symbols_of_other_machines_are_those_of_their_sections(foreign_files: tuple[str, ...]) -> None:
    assert _all_differences(foreign_files) == []


def test_every_program_is_read_without_its_section_headers(fixture_file: FixtureFile) -> None:
    whole, cut = (
        ask(read_symbols, fixture_file(f"{name}-dynamic{end}"))
        for name, end in (("hello/hello", "-pie"), ("kinds/sectionless", ""))
    )
    assert whole == cut
    assert {"puts", "printf", "__libc_start_main"} & {symbol.name for symbol in whole.entries}


def test_a_file_with_sysv_hash_only_is_counted_by_it(fixture_file: FixtureFile) -> None:
    with opened(fixture_file("hello/hello-sysv-hash")) as (reader, image):
        assert image.value(0x6FFFFEF5) is None
        assert _differences(image.path) == []
        assert len(read_symbols(reader, image).entries) > 3


def test_a_file_without_dynamic_symbols_has_none(fixture_file: FixtureFile) -> None:
    assert ask(read_symbols, fixture_file("hello/hello-static")) == Symbols((), {}, False)


def test_versions_are_named_by_the_file_that_must_define_them(fixture_file: FixtureFile) -> None:
    symbols: Symbols = ask(read_symbols, fixture_file("hello/hello-dynamic-pie"))
    (start,) = [symbol for symbol in symbols.entries if symbol.name == "__libc_start_main"]
    version = symbols.versions[start.version]
    assert (version.name, version.file, version.weak) == ("GLIBC_2.34", "libc.so.6", False)


def test_a_librarys_default_and_hidden_versions_are_told_apart(require_tool: RequireTool) -> None:
    """readelf prints @@ for a default version, @ for a hidden one, and none for the symbols named as a version."""
    path = require_tool("/lib/x86_64-linux-gnu/libc.so.6")
    symbols: Symbols = ask(read_symbols, path)
    own = {
        f"{symbol.name}{'@' if symbol.hidden else '@@'}{symbols.versions[symbol.version].name}"
        for symbol in symbols.entries
        if symbol.shndx and symbol.version > 1 and symbol.name != symbols.versions[symbol.version].name
    }
    rows = re.findall(
        r" (GLOBAL|WEAK) +(DEFAULT|PROTECTED) +(?!UND)\w+ (\S+@\S+)", tool("readelf", "-W", "--dyn-syms", path)
    )
    assert own == {name for _, _, name in rows}
    assert "memcpy@GLIBC_2.2.5" in own
    assert "memcpy@@GLIBC_2.14" in own


@pytest.mark.parametrize("elf_class", [32, 64])
@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("hash_style", ["sysv", "gnu", "both"])
def test_any_form_of_file_reads_the_same(elf_class: int, endian: str, hash_style: str, tmp_path: Path) -> None:
    path = elfwriter.shared_object(
        tmp_path / "made",
        elf_class=elf_class,
        endian=endian,
        hash_style=hash_style,
        verdef=("V_1", "V_2"),
        verneed=(("libx.so", (("X_1", 0), ("X_2", 2))),),
        symbols=(Symbol("one", "V_1", hidden=True), Symbol("one", "V_2"), Symbol("plain", kind="object")),
        undefined=(Symbol("far", "X_1"), Symbol("maybe", "X_2", weak=True)),
    )
    symbols: Symbols = ask(read_symbols, path)
    told = {
        (symbol.name, symbol.shndx != 0, symbol.hidden, symbol.version > 1 and symbols.versions[symbol.version].name)
        for symbol in symbols.entries[1:]
    }
    assert told == {
        ("one", True, True, "V_1"),
        ("one", True, False, "V_2"),
        ("plain", True, False, False),
        ("far", False, False, "X_1"),
        ("maybe", False, False, "X_2"),
    }


def test_names_that_are_no_utf_8_keep_their_bytes(tmp_path: Path) -> None:
    path = elfwriter.shared_object(tmp_path / "made", symbols=(Symbol("caf\udce9"), Symbol("größe")))
    symbols: Symbols = ask(read_symbols, path)
    assert {"caf\udce9", "größe"} == {symbol.name for symbol in symbols.entries[1:]}


SOURCE = """
extern int variable; int called(void); int pointed(void); int unused(void) __attribute__((weak));
int (*pointer)(void) = pointed;
int use(void) { return variable + called(); }
"""


def test_functions_that_are_only_called_may_wait_for_the_call(tmp_path: Path) -> None:
    """With lazy binding: readelf shows them as JUMP_SLOT, the others as GLOB_DAT and 64."""
    (tmp_path / "source.c").write_text(SOURCE)
    made = tmp_path / "made.so"
    flags = ["-shared", "-fPIC", "-nostdlib", "-fplt", "-Wl,-z,lazy"]
    subprocess.run(["cc", *flags, tmp_path / "source.c", "-o", made], check=True)
    with opened(made) as (reader, image):
        symbols = read_symbols(reader, image)
        references = read_references(reader, image, symbols)
    assert {symbols.entries[index].name for index in references.functions} == {"called"}
    assert {symbols.entries[index].name for index in references.data} >= {"variable", "pointed"}
    assert not references.copies


def test_a_copied_variable_is_looked_up_though_the_program_defines_it(tmp_path: Path) -> None:
    (tmp_path / "source.c").write_text("#include <stdio.h>\nint main(void) { return stdout == 0; }")
    made = tmp_path / "made"
    subprocess.run(["cc", "-fno-pie", "-no-pie", tmp_path / "source.c", "-o", made], check=True)
    with opened(made) as (reader, image):
        symbols = read_symbols(reader, image)
        references = read_references(reader, image, symbols)
    assert "R_X86_64_COPY" in tool("readelf", "-rW", made) or os.uname().machine != "x86_64"
    assert {symbols.entries[index].name for index in references.copies} == {"stdout"}
    assert references.copies <= references.data


def test_on_mips_the_global_got_is_looked_up_too(foreign_files: tuple[str, ...]) -> None:
    """readelf prints it: entries with a stub (a `Sym.Val.` in the file) may wait, the others are bound at start."""
    (path,) = [path for path in foreign_files if path.endswith("/mips-linux-gnu/lib/libresolv.so.2")]
    with opened(path) as (reader, image):
        symbols = read_symbols(reader, image)
        references = read_references(reader, image, symbols)
    table = tool("readelf", "-AW", path).partition("Global entries:")[2].partition("PLT GOT")[0]
    rows = re.findall(r"^ +\w+ +-?\d+\(gp\) +\w+ +(\w+) (\w+) +(\w+) (\S+)$", table, re.MULTILINE)
    assert len(rows) > 50
    lazy = {name for value, kind, _, name in rows if kind == "FUNC" and int(value, 16)}
    at_start = {name for _, _, _, name in rows} - lazy
    names = [symbol.name for symbol in symbols.entries]
    assert {names[index] for index in references.functions} >= lazy
    assert {names[index] for index in references.data} >= at_start


def test_a_relocation_table_that_counts_the_lazy_one_too_is_not_read_twice(tmp_path: Path) -> None:
    """As some linkers write DT_RELASZ; glibc subtracts it (elf/dynamic-link.h)."""
    (tmp_path / "source.c").write_text(SOURCE)
    made = tmp_path / "made.so"
    flags = ["-shared", "-fPIC", "-nostdlib", "-fplt", "-Wl,-z,lazy"]
    subprocess.run(["cc", *flags, tmp_path / "source.c", "-o", made], check=True)
    with opened(made) as (reader, image):
        before = read_references(reader, image, read_symbols(reader, image))
        sizes = {tag: image.value(tag) or 0 for tag in (7, 8, 23, 2)}
    assert sizes[7] + sizes[8] == sizes[23], "the tables do not stand side by side"
    data = made.read_bytes()
    entry = struct.pack("<qQ", 8, sizes[8])
    assert data.count(entry) == 1
    made.write_bytes(data.replace(entry, struct.pack("<qQ", 8, sizes[8] + sizes[2])))
    with opened(made) as (reader, image):
        assert read_references(reader, image, read_symbols(reader, image)) == before


def test_the_largest_table_of_the_machine_is_read_in_a_second() -> None:
    """Tens of thousands of symbols, as libLLVM has them."""
    largest = max(elf_files(*LIBRARIES), key=_symbol_count)
    start = time.process_time()
    symbols: Symbols = ask(read_symbols, largest)
    assert time.process_time() - start < 1
    assert len(symbols.entries) > 1000


def _symbol_count(path: str) -> int:
    with opened(path) as (reader, image):
        table = dynamic_table(reader, image)
    return len(table.records) if table else 0


def test_names_that_overlap_without_measure_are_refused(tmp_path: Path) -> None:
    """A table whose every name is the tail of one long string would fill the memory."""
    path = elfwriter.shared_object(tmp_path / "made", symbols=tuple(Symbol(f"n{i}" + "x" * 1000) for i in range(500)))
    symbols: Symbols = ask(read_symbols, path)
    assert len(symbols.entries) == 501
    data = bytearray(path.read_bytes())
    with opened(path) as (_, image):
        strings, size, table = (image.value(tag) or 0 for tag in (5, 10, 6))
    data[strings : strings + size - 1] = b"x" * (size - 1)
    for index in range(1, 501):
        struct.pack_into("<I", data, table + 24 * index, index)
    path.write_bytes(data)
    with pytest.raises(MalformedElf, match="overlap"):
        ask(read_symbols, path)


def test_the_symbols_of_sections_are_read_where_nothing_is_dynamic(fixture_file: FixtureFile) -> None:
    for name in ("kinds/hello.o", "hello/hello-static", "kinds/with-debug"):
        with opened(fixture_file(name)) as (reader, image):
            table = section_table(reader, image)
        assert table is not None
        assert table.names_among(frozenset((b"main", b"ain", b"no such name"))) == {b"main"}


def test_a_stripped_file_has_no_symbols_of_sections(fixture_file: FixtureFile) -> None:
    assert ask(section_table, fixture_file("hello/hello-static-stripped")) is None


def test_damaged_section_headers_hide_the_symbols_as_stripping_does(fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = bytearray(fixture_file("hello/hello-static").read_bytes())
    program[40:48] = (1 << 40).to_bytes(8, "little")  # e_shoff
    damaged = tmp_path / "damaged"
    damaged.write_bytes(program)
    assert ask(section_table, damaged) is None

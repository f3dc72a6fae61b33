"""What the bytes of a file are for: readelf's sections, size, strip and stat are the judges."""

import os
import re
import shutil
import struct
from pathlib import Path

import pytest

from linkscope.elf.parts import KINDS, parts
from tests.elf.samples import LIBRARIES, PROGRAMS, FixtureFile, RequireTool, ask, elf_files, readelf, spread, tool
from tests.oracle import roots

FIXTURES = (
    "hello/hello-dynamic-pie",
    "hello/hello-dynamic-stripped",
    "hello/hello-static",
    "hello/hello-static-pie",
    "hello/hello-static-stripped",
    "hello/hello-musl-static",
    "hello/hello-sysv-hash",
    "hello/hello-cpp",
    "hello/hello-rust",
    "hello/hello-go",
    "hello/hello-go-pie",
    "hello/hello-arm64",
    "runs/small-32bit",
    "kinds/with-debug",
    "kinds/hello.debug",
    "kinds/hello.o",
    "versions/relr",
)
_ROW = re.compile(
    r"^ +\[ *(\d+)\] (\S*) +([A-Z_0-9]+) +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) [0-9a-f]+ +([A-Za-z]*) +(\d+) +\d+ +\d+$",
    re.MULTILINE,
)
_LINKING = ("DYNSYM", "STRTAB", "HASH", "GNU_HASH", "RELA", "REL", "RELR", "VERDEF", "VERNEED", "VERSYM", "DYNAMIC")
_DEBUG = (".debug", ".zdebug", ".gnu_debug", ".gdb_index")
_SHOFF = {8: (40, "<Q"), 4: (32, "<I")}


def _as_readelf_has_it(listed: str) -> dict[str, int]:
    """The sizes by kind, from the table that `readelf -SW` prints."""
    rows = _ROW.findall(listed)
    names = {link for _, _, kind, _, _, _, link in rows if kind == "SYMTAB"}
    sizes: dict[str, int] = dict.fromkeys(KINDS, 0)
    for number, name, kind, _, size, flags, _ in rows:
        if kind not in ("NULL", "NOBITS"):
            sizes[_kind(name, kind, flags, number in names)] += int(size, 16)
    return sizes


def _kind(name: str, kind: str, flags: str, names_symbols: bool) -> str:
    if name.startswith(_DEBUG):
        return "debug"
    if "A" not in flags:
        return "symbols" if kind == "SYMTAB" or names_symbols else "other"
    if kind in _LINKING or name == ".interp":
        return "linking"
    if kind == "NOTE":
        return "other"
    return "code" if "X" in flags else "data" if "W" in flags else "read-only-data"


def _assert_as_readelf(paths: list[str]) -> None:
    listed = readelf("-SW", paths)
    for path in paths:
        expected, found = _as_readelf_has_it(listed[path]), ask(parts, path)
        expected["other"] += os.stat(path).st_size - sum(expected.values())
        assert found == expected, path


@pytest.mark.parametrize("name", FIXTURES)
def test_each_section_counts_as_what_its_type_and_flags_say(name: str, fixture_file: FixtureFile) -> None:
    _assert_as_readelf([str(fixture_file(name))])


def test_the_same_of_real_programs_and_libraries() -> None:
    _assert_as_readelf([*spread(elf_files(*PROGRAMS), 40), *spread(elf_files(*LIBRARIES), 40)])


def test_the_same_of_files_of_32_bits() -> None:
    root = roots.root("debian:12/i386")
    _assert_as_readelf([str(root / "usr/bin/bash"), str(root / "usr/lib/i386-linux-gnu/libc.so.6")])


@pytest.mark.parametrize(
    "name", ["hello/hello-dynamic-pie", "hello/hello-static", "hello/hello-go", "hello/hello-rust"]
)
def test_what_is_loaded_is_what_size_counts(name: str, fixture_file: FixtureFile) -> None:
    """`size` has all that is loaded and not written under text, the rest under data, .bss apart."""
    path = fixture_file(name)
    text, data = tool("size", "-B", path).splitlines()[1].split()[:2]
    found = ask(parts, path)
    notes = sum(int(row[4], 16) for row in _ROW.findall(tool("readelf", "-SW", path)) if row[2] == "NOTE")
    loaded = found["code"] + found["read-only-data"] + found["data"] + found["linking"] + notes
    assert loaded == int(text) + int(data)


@pytest.mark.parametrize("compress", ["none", "zlib"])
def test_what_strip_takes_away_is_symbols_and_debug(
    compress: str, tmp_path: Path, fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    for needed in ("objcopy", "strip"):
        require_tool(needed)
    path, stripped = tmp_path / "program", tmp_path / "stripped"
    tool("objcopy", f"--compress-debug-sections={compress}", fixture_file("kinds/with-debug"), path)
    tool("strip", "-o", stripped, path)
    before, after = ask(parts, path), ask(parts, stripped)
    assert before["symbols"]
    assert before["debug"]
    assert {kind: size for kind, size in before.items() if kind not in ("symbols", "debug", "other")} == {
        kind: size for kind, size in after.items() if kind not in ("symbols", "debug", "other")
    }
    assert (after["symbols"], after["debug"]) == (0, 0)
    tool("strip", "--strip-debug", "-o", stripped, path)
    assert ask(parts, stripped)["debug"] == 0
    assert ask(parts, stripped)["symbols"]


def _without_section_headers(path: Path, copy: Path) -> Path:
    shutil.copyfile(path, copy)
    data = bytearray(copy.read_bytes())
    word = 8 if data[4] == 2 else 4
    at, form = _SHOFF[word]
    struct.pack_into(form, data, at, 0)
    copy.write_bytes(data)
    return copy


@pytest.mark.parametrize(
    "name", ["hello/hello-dynamic-pie", "hello/hello-static", "hello/hello-cpp", "hello/hello-arm64"]
)
def test_without_section_headers_segments_and_tags_tell(name: str, fixture_file: FixtureFile, tmp_path: Path) -> None:
    """Code is what is in the executable segment; .symtab cannot be found any more."""
    path = fixture_file(name)
    known, found = ask(parts, path), ask(parts, _without_section_headers(path, tmp_path / "copy"))
    assert sum(found.values()) == path.stat().st_size
    assert found["symbols"] == 0
    rows = re.findall(r"^  LOAD +\S+ \S+ \S+ (0x\w+) \S+ (...) ", tool("readelf", "-lW", path), re.MULTILINE)
    executable = sum(int(size, 16) for size, flags in rows if "E" in flags)
    if all(flags == "R E" for _, flags in rows if "E" in flags) and len(rows) > 2:  # code has a segment for itself
        assert found["code"] == executable
    assert known["code"] <= found["code"] + found["linking"]
    loaded = ("code", "read-only-data", "data", "linking")
    padding = sum(found[kind] for kind in loaded) - sum(known[kind] for kind in loaded)
    assert 0 <= padding < 4 * 4096
    # Of versions and hash tables no tag says how long they are; of a static program there are no tags.
    assert known["linking"] - found["linking"] < known["linking"] / 2 or "static" in name


def _with_every_section_everywhere(path: Path, copy: Path) -> Path:
    """A copy whose section headers all claim nearly all that can be addressed."""
    data = bytearray(path.read_bytes())
    (shoff,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    for at in range(shoff, shoff + size * count, size):
        struct.pack_into("<QQ", data, at + 24, 1, 2**64 - 1)
    copy.write_bytes(data)
    return copy


def _with_one_section_twice(path: Path, copy: Path) -> Path:
    """A copy in which .rodata is said to stand where .text does."""
    data = bytearray(path.read_bytes())
    (shoff,) = struct.unpack_from("<Q", data, 40)
    rows = {row[1]: row for row in _ROW.findall(tool("readelf", "-SW", path))}
    at = shoff + 64 * int(rows[".rodata"][0]) + 24
    struct.pack_into("<QQ", data, at, int(rows[".text"][3], 16), int(rows[".text"][4], 16))
    copy.write_bytes(data)
    return copy


def test_false_section_headers_count_no_byte_twice(fixture_file: FixtureFile, tmp_path: Path) -> None:
    path = fixture_file("hello/hello-static")
    found = ask(parts, _with_every_section_everywhere(path, tmp_path / "everywhere"))
    assert sum(found.values()) == path.stat().st_size
    assert min(found.values()) >= 0
    known, found = ask(parts, path), ask(parts, _with_one_section_twice(path, tmp_path / "twice"))
    assert found["code"] == known["code"]
    assert found["read-only-data"] < known["read-only-data"]
    assert sum(found.values()) == path.stat().st_size


def test_a_file_that_is_cut_off_has_no_more_bytes_than_it_has(fixture_file: FixtureFile, tmp_path: Path) -> None:
    data = fixture_file("hello/hello-static").read_bytes()
    for size in range(4096, len(data), len(data) // 12):
        (tmp_path / "cut").write_bytes(data[:size])
        assert sum(ask(parts, tmp_path / "cut").values()) == size

"""How many relocations a file has, by kind: readelf counts them one by one."""

import re
import shutil
import struct
from pathlib import Path

import pytest

from linkscope.elf.relocationcounts import RelocationCounts, indirect_functions, relocation_counts
from linkscope.errors import MalformedElf
from tests.elf.samples import LIBRARIES, PROGRAMS, FixtureFile, RequireTool, ask, elf_files, readelf, spread, tool
from tests.oracle import roots

FIXTURES = (
    "hello/hello-dynamic-pie",
    "hello/hello-dynamic-nonpie",
    "hello/hello-static-pie",
    "hello/hello-musl-dynamic-pie",
    "hello/hello-musl-static-pie",
    "hello/hello-cpp",
    "hello/hello-rust",
    "hello/hello-go-pie",
    "hello/hello-arm64",
    "runs/small-32bit",
    "versions/relr",
    "policy-hardening/static-pie-now",
    "policy-hardening/libtextrel.so",
    "policy/librelr.so",
    "process/textrel",
)
_TABLE = re.compile(r"^Relocation section '(\S+)' at offset \S+ contains \d+ entr.*\n((?:.+\n)*)", re.MULTILINE)
_TYPE = re.compile(r"^[0-9a-f]{8,}  ?[0-9a-f]{8,} (R_\w+)(?: +(\S+))?", re.MULTILINE)


def _as_readelf_has_it(listed: str) -> dict[str, int]:
    """The counts of the tables that `readelf -rW` prints: the last one of functions apart, if it is .rela.plt."""
    found = dict.fromkeys(("relative", "packed", "symbolic", "functions", "indirect", "copies"), 0)
    for name, rows in _TABLE.findall(listed):
        if packed := re.search(r"^ +(\d+) offsets?$", rows, re.MULTILINE):
            found["packed"] += int(packed[1])
        for kind, _ in _TYPE.findall(rows):
            if "_IRELATIV" in kind:
                found["indirect"] += 1
            elif "_RELATIV" in kind:
                found["relative"] += 1
            elif name.endswith(".plt") and "TLS" not in kind:
                found["functions"] += 1
            elif not kind.endswith("_NONE"):
                found["symbolic"] += 1
                found["copies"] += kind.endswith("_COPY")
    return found


def _kinds(counts: RelocationCounts) -> dict[str, int]:
    return {
        "relative": counts.relative,
        "packed": counts.packed,
        "symbolic": counts.symbolic,
        "functions": counts.functions,
        "indirect": counts.indirect,
        "copies": counts.copies,
    }


@pytest.mark.parametrize("name", FIXTURES)
def test_each_relocation_counts_once_as_what_it_is(name: str, fixture_file: FixtureFile) -> None:
    path = str(fixture_file(name))
    assert _kinds(ask(relocation_counts, path)) == _as_readelf_has_it(readelf("-rW", [path])[path])


def test_the_same_of_real_programs_and_libraries() -> None:
    paths = [*spread(elf_files(*PROGRAMS), 30), *spread(elf_files(*LIBRARIES), 30), "/lib/x86_64-linux-gnu/libc.so.6"]
    paths = [path for path in paths if not path.endswith((".o", ".ko", ".debug")) and Path(path).exists()]
    listed = readelf("-rW", paths)
    checked = 0
    for path in paths:
        if ask(lambda _, image: image.dynamic, path) is not None and "R_" in listed[path]:
            assert _kinds(ask(relocation_counts, path)) == _as_readelf_has_it(listed[path]), path
            checked += 1
    assert checked > 10


def test_the_same_of_files_of_32_bits() -> None:
    """Their tables are DT_REL, without addends."""
    root = roots.root("debian:12/i386")
    paths = [str(root / "usr/bin" / name) for name in ("bash", "curl", "ls")]
    paths += [str(root / "usr/lib/i386-linux-gnu" / name) for name in ("libc.so.6", "libstdc++.so.6")]
    listed = readelf("-rW", paths)
    for path in paths:
        assert _kinds(ask(relocation_counts, path)) == _as_readelf_has_it(listed[path]), path


def _without_section_headers(path: Path, copy: Path) -> Path:
    shutil.copyfile(path, copy)
    data = bytearray(copy.read_bytes())
    struct.pack_into("<Q", data, 40, 0)
    copy.write_bytes(data)
    return copy


@pytest.mark.parametrize("name", ["hello/hello-static", "hello/hello-static-stripped", "compare/server-static"])
def test_indirect_functions_of_a_static_program_are_counted_with_and_without_section_headers(
    name: str, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    path = fixture_file(name)
    expected = _as_readelf_has_it(tool("readelf", "-rW", path))["indirect"]
    assert expected > 10
    assert ask(indirect_functions, path) == expected
    assert ask(indirect_functions, _without_section_headers(path, tmp_path / "copy")) == expected


@pytest.mark.parametrize("name", ["hello/hello-musl-static", "hello/hello-go", "kinds/bare-static", "kinds/hello.o"])
def test_programs_without_indirect_functions_have_none(name: str, fixture_file: FixtureFile, tmp_path: Path) -> None:
    path = fixture_file(name)
    assert ask(indirect_functions, path) == 0
    assert ask(indirect_functions, _without_section_headers(path, tmp_path / "copy")) == 0


def _with_tag(path: Path, copy: Path, tag: int, value: int) -> Path:
    """A copy in which the dynamic section has another VALUE for a TAG."""
    data = bytearray(path.read_bytes())
    at = int(re.findall(r"Dynamic section at offset (0x\w+)", tool("readelf", "-dW", path))[0], 16)
    while struct.unpack_from("<Q", data, at)[0] != tag:
        at += 16
    struct.pack_into("<Q", data, at + 8, value)
    copy.write_bytes(data)
    return copy


def test_false_sizes_are_bounded_by_the_file(fixture_file: FixtureFile, tmp_path: Path) -> None:
    path = fixture_file("hello/hello-dynamic-pie")
    for tag in (2, 8, 0x6FFFFFF9):  # DT_PLTRELSZ, DT_RELASZ, DT_RELACOUNT
        counts = ask(relocation_counts, _with_tag(path, tmp_path / "copy", tag, 2**63))
        assert max(_kinds(counts).values()) < path.stat().st_size
    with pytest.raises(MalformedElf):
        ask(relocation_counts, _with_tag(path, tmp_path / "copy", 7, 2**63))  # DT_RELA


def test_sections_that_the_loader_never_reads_tell_nothing(
    fixture_file: FixtureFile, tmp_path: Path, require_tool: RequireTool
) -> None:
    require_tool("objcopy")
    path = fixture_file("hello/hello-dynamic-pie")
    assert ask(relocation_counts, _without_section_headers(path, tmp_path / "copy")) == ask(relocation_counts, path)

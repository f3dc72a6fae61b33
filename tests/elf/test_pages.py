"""How much memory the segments of a file take: what a started program's own /proc/self/maps says."""

import os
import re
import struct
import subprocess
from pathlib import Path

import pytest

from linkscope.elf.pages import mapped_size
from linkscope.loader.environment import has_file_capabilities
from tests.elf.samples import PROGRAMS, FixtureFile, RequireTool, ask, elf_files, opened, spread, tool
from tests.oracle.availability import Unavailable

# Preloaded, it shows what is mapped once all is relocated, and ends the program before it begins.
SHOW = """
#include <fcntl.h>
#include <unistd.h>
static void show(void)
{
    char data[4096];
    ssize_t got;
    int maps = open("/proc/self/maps", O_RDONLY);
    while ((got = read(maps, data, sizeof data)) > 0)
        got = write(1, data, got);
    _exit(0);
}
"""
BEFORE = SHOW + "__attribute__((constructor)) static void before(void) { show(); }\n"
ALONE = SHOW + "static char zeros[100000]; int main(void) { zeros[5] = 1; show(); }\n"
_ROW = re.compile(r"^(\w+)-(\w+) (\S+) \S+ \S+ \d+ *(.*)$", re.MULTILINE)
_LOAD = re.compile(r"^  LOAD +\S+ (0x\w+) \S+ \S+ (0x\w+) ", re.MULTILINE)
_PAGE = 4096


def _made(folder: Path, source: str, *flags: str, compiler: str = "cc") -> Path:
    (folder / "source.c").write_text(source)
    made = folder / "made"
    done = subprocess.run([compiler, "-O1", *flags, "-o", made, folder / "source.c"], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{compiler} cannot link it: {done.stderr.strip()}")
    return made


def _mapped(maps: str) -> dict[str, int]:
    """Of each file in a process's maps, the bytes within its extent that can be used; the extent is as readelf has it.

    Of .bss there is anonymous memory behind the file's. What no access is allowed to takes no memory.
    """
    rows = [(int(start, 16), int(end, 16), access, name) for start, end, access, name in _ROW.findall(maps)]
    found: dict[str, int] = {}
    for start, _, _, name in rows:
        if not name.startswith("/") or name in found:
            continue
        loads = [(int(at, 16), int(size, 16)) for at, size in _LOAD.findall(tool("readelf", "-lW", name))]
        if not loads:  # no ELF file: a cache
            continue
        lowest = min(at // _PAGE * _PAGE for at, _ in loads)
        last = start + max(-(-(at + size) // _PAGE) * _PAGE for at, size in loads) - lowest
        found[name] = sum(
            min(end, last) - begin
            for begin, end, access, owner in rows
            if start <= begin < last and access != "---p" and owner in ("", name)
        )
    return found


def _assert_mapped(maps: str) -> None:
    found = _mapped(maps)
    assert found
    for path, size in found.items():
        with opened(path) as (_, image):
            assert mapped_size(image) == size, path


def _takes(path: str, library: Path) -> bool:
    """Whether glibc preloads the library into the program, which would run otherwise."""
    with opened(path) as (_, image), opened(library) as (_, other):
        same = (image.machine, image.elf_class) == (other.machine, other.elf_class)
        glibc = "/ld-linux" in (image.interpreter or "")
    return same and glibc and not os.stat(path).st_mode & 0o6000 and not has_file_capabilities(path)


def test_a_programs_and_its_libraries_pages_are_those_of_its_maps(
    fixture_file: FixtureFile, tmp_path: Path, require_tool: RequireTool
) -> None:
    require_tool("/usr/include/stdio.h")
    before = _made(tmp_path, BEFORE, "-shared", "-fPIC")
    own = [str(fixture_file(f"hello/hello-{how}")) for how in ("dynamic-pie", "dynamic-nonpie", "cpp")]
    for path in filter(lambda path: _takes(path, before), [*own, *spread(elf_files(*PROGRAMS), 25)]):
        environment = {"LD_PRELOAD": str(before)}
        maps = subprocess.run([path], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if "/" in maps.stdout:
            _assert_mapped(maps.stdout)


@pytest.mark.parametrize("how", ["-static", "-static-pie", "-no-pie"])
def test_zeros_behind_the_data_count(how: str, tmp_path: Path, require_tool: RequireTool) -> None:
    require_tool("/usr/include/stdio.h")
    _assert_mapped(tool(_made(tmp_path, ALONE, how)))


def test_musl_maps_the_same_pages(tmp_path: Path, require_tool: RequireTool) -> None:
    require_tool("musl-gcc")
    _assert_mapped(tool(_made(tmp_path, ALONE, "-static", compiler="musl-gcc")))
    _assert_mapped(tool(_made(tmp_path, ALONE, compiler="musl-gcc")))


@pytest.mark.parametrize("alignment", ["0x1000", "0x10000", "0x200000"])
def test_gaps_for_larger_pages_are_not_counted(alignment: str, tmp_path: Path, require_tool: RequireTool) -> None:
    """arm64's segments lie 64 KiB apart, so that the same file runs with pages of that size."""
    require_tool("/usr/include/stdio.h")
    made = _made(tmp_path, ALONE, f"-Wl,-z,max-page-size={alignment},-z,separate-code")
    _assert_mapped(tool(made))


def test_a_page_of_two_segments_counts_once(fixture_file: FixtureFile) -> None:
    path = fixture_file("hello/hello-arm64")
    pages = {
        page
        for at, size in _LOAD.findall(tool("readelf", "-lW", path))
        for page in range(int(at, 16) // _PAGE, -(-(int(at, 16) + int(size, 16)) // _PAGE))
    }
    assert ask(lambda _, image: mapped_size(image), path) == len(pages) * _PAGE


def test_a_segment_that_no_kernel_would_map_has_a_size_all_the_same(tmp_path: Path, fixture_file: FixtureFile) -> None:
    """Its p_memsz says more than there are addresses."""
    data = bytearray(fixture_file("hello/hello-static").read_bytes())
    (phoff,) = struct.unpack_from("<Q", data, 32)
    at = next(at for at in range(phoff, len(data), 56) if struct.unpack_from("<I", data, at)[0] == 1)
    struct.pack_into("<Q", data, at + 40, 2**64 - 1)
    (tmp_path / "false").write_bytes(data)
    assert ask(lambda _, image: mapped_size(image), tmp_path / "false") <= 2**56

"""What is mapped by hand and is no library, or a damaged one; and how long very many mappings take."""

import mmap
import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.model.pid import Process
from tests.analysis.observed import as_nobody, called, codes, objects, observed, origins, smaps
from tests.oracle.elfwriter import Recipe, encode, shared_object
from tests.process.started import as_user, started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

MAPS = """
import mmap, os, sys
kept = []
for name in sys.argv[1:]:
    protection = mmap.PROT_READ | (0 if name.endswith(".data") else mmap.PROT_EXEC)
    descriptor = os.open(name, os.O_RDONLY)
    kept.append(mmap.mmap(descriptor, 0, mmap.MAP_PRIVATE, protection))
print("ready", flush=True)
sys.stdin.read()
"""


def _cut(data: bytes) -> bytes:
    """Only the header."""
    return data[:64]


def _with_headers_nowhere(data: bytes) -> bytes:
    """e_phoff leads beyond the end."""
    return data[:32] + struct.pack("<Q", 1 << 40) + data[40:]


def _with_endless_headers(data: bytes) -> bytes:
    """e_phnum is the most that there can be."""
    return data[:56] + b"\xfe\xff" + data[58:]


def _with_a_wild_dynamic_section(data: bytes) -> bytes:
    """All that follows the headers is noise."""
    return data[:0x200] + bytes(range(256)) * ((len(data) - 0x200) // 256)


DAMAGES = [_cut, _with_headers_nowhere, _with_endless_headers, _with_a_wild_dynamic_section]


def _mapped_by_hand(require_tool: RequireTool, *files: Path) -> Process:
    with started([require_tool("/usr/bin/python3"), "-I", "-S", "-c", MAPS, *files]) as python:
        python.expect("ready")
        process = observed(python.pid)
        assert {os.fspath(file) for file in files} <= {row.name for row in smaps(python.pid)}
    return process


def test_a_text_that_is_mapped_executable_is_no_object(require_tool: RequireTool, folder: Path) -> None:
    for name, content in (
        ("text", b"no library\n" * 1000),
        ("zeros", bytes(mmap.PAGESIZE)),
        ("almost", b"\x7fELf" * 9),
    ):
        (folder / name).write_bytes(content)
    process = _mapped_by_hand(require_tool, *(folder / name for name in ("text", "zeros", "almost")))
    assert not [one for one in objects(process) if one.path.startswith(os.fspath(folder))]
    assert {"stale-object", "disk-unknown"}.isdisjoint(codes(process))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.removeprefix("_"))
def test_a_damaged_library_that_is_mapped_executable_is_an_object_all_the_same(
    require_tool: RequireTool, folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    """It begins as one does; nobody needs it, and nothing else suffers."""
    whole = encode(Recipe(soname="libwhole.so", needed=("libc.so.6",), sections=True))
    (folder / "libdamaged.so").write_bytes(damage(whole.ljust(mmap.PAGESIZE, b"\0")))
    process = _mapped_by_hand(require_tool, folder / "libdamaged.so")
    mapped = called(process, "libdamaged.so")
    assert (mapped.origin, mapped.disk, mapped.loaded_as) == ("dlopen", "same", None)
    assert called(process, "libc.so.6").origin == "needed"
    assert process.absent == []


def test_a_library_that_is_only_read_is_no_object(require_tool: RequireTool, folder: Path) -> None:
    """And one that was mapped executable without the loader is one, in no link map."""
    for name in ("libread.so.data", "libmapped.so"):
        shared_object(folder / name, soname=name)
    process = _mapped_by_hand(require_tool, folder / "libread.so.data", folder / "libmapped.so")
    own = [one for one in objects(process) if one.path.startswith(os.fspath(folder))]
    assert [(one.soname, one.origin, one.loaded_as, one.namespaces) for one in own] == [
        ("libmapped.so", "dlopen", None, [])
    ]


def test_a_library_whose_code_was_deleted_is_read_where_it_is_mapped(fixture_file: FixtureFile, folder: Path) -> None:
    """Also by a user who may not follow the kernel's links: memory has its beginning, and the link map its names."""
    library = Path(shutil.copy(fixture_file("process/plugins/libneedy.so"), folder))
    needed = Path(shutil.copy(fixture_file("process/plugins/libneeded.so"), folder))
    with as_user([fixture_file("process/dlopen"), library]) as running:
        running.expect("ready")
        library.unlink()
        needed.unlink()
        seen = [observed(running.pid), *as_nobody([running.pid]).processes]
    for process in seen:
        assert (called(process, "libneedy.so").disk, called(process, "libneedy.so").origin) == ("deleted", "dlopen")
        assert called(process, "libneeded.so").origin == "dlopen-needed"
        assert called(process, "libneeded.so").soname == "libneeded.so"


def _seconds(pid: int) -> float:
    """The processor time of a look, the shorter of two."""
    times = []
    for _ in range(2):
        before = time.process_time()
        process = observed(pid)
        times.append(time.process_time() - before)
        assert set(origins(process).values()) == {"executable", "interpreter", "needed", "vdso"}
    return min(times)


def test_sixty_thousand_mappings_take_six_times_as_long_as_ten_thousand(fixture_file: FixtureFile) -> None:
    """And not thirty-six times."""
    spent = {}
    for count in (10_000, 60_000):
        with started([fixture_file("process/many-maps"), str(count)]) as running:
            running.expect("ready")
            assert len(Path(f"/proc/{running.pid}/maps").read_bytes().splitlines()) >= count
            spent[count] = _seconds(running.pid)
    assert spent[60_000] < 15 * spent[10_000]

"""Files that are made to hurt whoever predicts a start: each is answered for soon and in little memory.

Each is a function from an empty root to nothing, that writes a program /app and what it would meet on its way.
"""

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from linkscope.elf.reader import Reader
from linkscope.errors import FileUnreadable
from tests.oracle import elfwriter
from tests.oracle.recipe import Recipe, Symbol

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 12  # of processor time
ROOM = 200_000  # kilobytes
LOADER = "/lib64/ld-linux-x86-64.so.2"
MUSL = "/lib/ld-musl-x86_64.so.1"
FOLDERS = b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0"
BANNER = b"\0ld.so (Debian GLIBC 2.36-9) stable release version 2.36.\n\0"


def _put(root: Path, name: str, data: bytes) -> None:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755)


def _program(root: Path, *needed: str, runpath: str | None = None, interp: str = LOADER) -> None:
    recipe = Recipe(needed=needed, runpath=runpath, interp=interp, entry=True, undefined=(Symbol("open64"),))
    _put(root, "/app", elfwriter.encode(recipe))


def _header(segments: int, start: int = 0) -> bytes:
    ident = b"\x7fELF\2\1\1"
    return struct.pack("<16sHHIQQQIHHHHHH", ident, 3, 62, 1, start, 64, 0, 0, 64, 56, segments, 64, 0, 0)


def _segment(kind: int, offset: int, size: int, flags: int = 4, align: int = 4096) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, offset, 0, size, size, align)


def _loader(texts: bytes) -> bytes:
    """A file of one read-only segment, all TEXTS."""
    return _header(1) + _segment(1, 120, len(texts)) + texts


def _many_segments_over_a_hole(root: Path, interp: str) -> None:
    count = 300
    size = 64 + 56 * count + (8 << 20)
    _program(root, "liba.so", interp=interp)
    _put(root, interp, _header(count) + _segment(1, 0, size) * count)
    os.truncate(root / interp.lstrip("/"), size)


def a_loader_of_many_segments_over_the_same_bytes(root: Path) -> None:
    _many_segments_over_a_hole(root, LOADER)


def a_musl_loader_of_many_segments_over_the_same_bytes(root: Path) -> None:
    _many_segments_over_a_hole(root, MUSL)


def a_loader_with_a_folder_of_many_parts(root: Path) -> None:
    _program(root, "liba.so")
    _put(root, LOADER, _loader(b"\0" + b"/a" * 400_000 + b"\0"))


def a_loader_with_many_beginnings_of_a_version(root: Path) -> None:
    _program(root, "liba.so")
    _put(root, LOADER, _loader(FOLDERS + b"ld.so (" * 200_000))


def a_loader_with_many_folders(root: Path) -> None:
    _program(root, *(f"lib{number}.so" for number in range(100)))
    _put(root, LOADER, _loader(b"\0" + b"".join(b"/lib%d/\0" % number for number in range(100_000)) + BANNER))


def a_musl_loader_with_many_beginnings_of_a_list(root: Path) -> None:
    _program(root, "liba.so", interp=MUSL)
    _put(root, MUSL, _loader(b"\0" + b"aio_cancel\0aio_error\0" * 150_000 + b"x" * 100))


def a_musl_loader_with_a_long_version(root: Path) -> None:
    _program(root, "liba.so", interp=MUSL)
    texts = b"\0aio_cancel\0aio_error\0read\0\0" + b"9" * 10_000 + b".1.1\0"
    _put(root, MUSL, _loader(texts))


def _with_dynamic(root: Path, entries: list[tuple[int, int]], texts: bytes) -> None:
    """A program of one segment: its dynamic section at 0x1000, then its strings at 0x20000, and what is beside them."""
    entries = [*entries, (5, 0x20000), (10, len(texts)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    head = _header(2) + _segment(1, 0, 0x20000 + len(texts)) + _segment(2, 0x1000, len(dynamic))
    _put(root, "/app", head.ljust(0x1000, b"\0") + dynamic.ljust(0x1F000, b"\0") + texts)


def needs_that_share_one_tail(root: Path) -> None:
    _with_dynamic(root, [(1, number) for number in range(4000)], b"x" * 32_000 + b"\0")


def needs_that_share_the_tail_of_a_large_table(root: Path) -> None:
    _with_dynamic(root, [(1, number) for number in range(4000)], b"x" * 32_000 + bytes(1 << 20))


def versions_that_share_one_tail(root: Path) -> None:
    texts = b"x" * 32_000 + b"\0\0\0\0"
    auxiliary = b"".join(struct.pack("<IHHII", 0, 0, 2, at, 16) for at in range(8000))
    need = struct.pack("<HHIII", 1, 8000, 0, 16, 0)
    _with_dynamic(root, [(0x6FFFFFFE, 0x20000 + len(texts))], texts + need + auxiliary)


def many_property_segments_over_the_same_notes(root: Path) -> None:
    count = 5000
    start = 64 + 56 * count
    _put(root, "/app", _header(count) + _segment(0x6474E553, start, 1 << 20, align=8) * count + bytes(1 << 20))


def many_aligned_note_segments_over_the_same_notes(root: Path) -> None:
    count = 5000
    start = 64 + 56 * count
    _put(root, "/app", _header(count) + _segment(4, start, 1 << 20, align=8) * count + bytes(1 << 20))


def many_needs_in_many_folders(root: Path) -> None:
    folders = [f"/opt/{number}" for number in range(1000)]
    for folder in folders:
        (root / folder.lstrip("/")).mkdir(parents=True)
    _program(root, *(f"lib{number}.so" for number in range(100)), runpath=":".join(folders))
    _put(root, LOADER, _loader(FOLDERS + BANNER))


def configuration_files_that_include_one_another(root: Path) -> None:
    _program(root, "liba.so")
    _put(root, LOADER, _loader(FOLDERS + BANNER))
    _put(root, "/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n")
    for number in range(4):
        _put(root, f"/etc/ld.so.conf.d/{number}.conf", b"include *.conf\n/opt/lib\n")


def _cache(sections: bytes, more: bytes = b"") -> bytes:
    """A cache without entries whose extension stands right behind its header, then MORE."""
    head = b"glibc-ld.so.cache1.1" + struct.pack("<IIBxxxI12x", 0, 0, 2, 48)
    return head + struct.pack("<II", 0xEAA42174, len(sections) // 16) + sections + more


def a_cache_of_names_that_share_one_string(root: Path) -> None:
    _program(root, "liba.so")
    _put(root, LOADER, _loader(FOLDERS + BANNER))
    count = 2000
    names = struct.pack("<I", 72 + 4 * count) * count
    _put(root, "/etc/ld.so.cache", _cache(struct.pack("<IIII", 1, 0, 72, len(names)), names + b"x" * 500_000))


def a_cache_whose_names_leave_it(root: Path) -> None:
    """An old one with a new one inside, so that its offsets do not count from the file's beginning."""
    _program(root, "liba.so")
    _put(root, LOADER, _loader(FOLDERS + BANNER))
    inner = _cache(struct.pack("<IIII", 1, 0, 72, 32), bytes(16))
    _put(root, "/etc/ld.so.cache", b"ld.so-1.7.0\0" + struct.pack("<I", 0) + inner)


def a_preload_file_of_comments(root: Path) -> None:
    _program(root, "liba.so")
    _put(root, LOADER, _loader(FOLDERS + BANNER))
    _put(root, "/etc/ld.so.preload", b"#\n" * 400_000)


def a_preload_file_of_names(root: Path) -> None:
    _program(root, "liba.so")
    _put(root, LOADER, _loader(FOLDERS + BANNER))
    _put(root, "/etc/ld.so.preload", b"\n".join(b"lib%d" % number for number in range(100_000)))


HOSTILE: list[Callable[[Path], None]] = [
    a_loader_of_many_segments_over_the_same_bytes,
    a_musl_loader_of_many_segments_over_the_same_bytes,
    a_loader_with_a_folder_of_many_parts,
    a_loader_with_many_beginnings_of_a_version,
    a_loader_with_many_folders,
    a_musl_loader_with_many_beginnings_of_a_list,
    a_musl_loader_with_a_long_version,
    needs_that_share_one_tail,
    needs_that_share_the_tail_of_a_large_table,
    versions_that_share_one_tail,
    many_property_segments_over_the_same_notes,
    many_aligned_note_segments_over_the_same_notes,
    many_needs_in_many_folders,
    configuration_files_that_include_one_another,
    a_cache_of_names_that_share_one_string,
    a_cache_whose_names_leave_it,
    a_preload_file_of_comments,
    a_preload_file_of_names,
]
CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv.pop(1)),) * 2)
from linkscope.cli.invocation import run
code = run(sys.argv[1:])
# Of this program alone: getrusage(2) counts what the test runner had when it forked.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(peak, file=sys.stderr)
sys.exit(code)
"""


def inspected(arguments: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """`linkscope inspect` with these arguments, in a process of its own that may use a gigabyte and some seconds."""
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(SECONDS), "inspect", "--clean-env", "--format", "jsonl", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("made", HOSTILE, ids=lambda made: made.__name__)
def test_a_hostile_file_costs_little(made: Callable[[Path], None], tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    made(root)
    run = inspected(["--root", root, "--symbols", "/app"])
    assert run.returncode in (0, 1, 2), run.stderr[-2000:]
    assert "Traceback" not in run.stderr
    assert "memory" not in run.stdout
    assert int(run.stderr.split()[-1]) < ROOM


def test_a_name_with_a_nul_is_no_file_of_any_root(tmp_path: Path) -> None:
    """A path in the analysed file cannot hold one; one of the list of names can."""
    (tmp_path / "names").write_bytes(b"/a\0b\n")
    run = inspected(["--root", tmp_path, "--files-from", tmp_path / "names"])
    assert run.returncode == 2, run.stderr
    assert "no such file" in run.stdout + run.stderr


def test_what_is_open_must_be_a_regular_file() -> None:
    """Whatever stood at its path when it was looked at, before it was opened."""
    descriptor, other = os.pipe()
    try:
        with pytest.raises(FileUnreadable, match="FIFO"):
            Reader(descriptor, "swapped")
    finally:
        os.close(descriptor)
        os.close(other)

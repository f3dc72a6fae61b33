"""Damaged files: every public function of the room answers or raises LinkScopeError, soon and in little memory."""

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkscope.elf import (
    hardening,
    libc,
    linkage,
    notes,
    packing,
    protections,
    runtimeloads,
    symbols,
    toolchain,
    versions,
)
from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader, open_reader
from linkscope.elf.sections import read_sections
from linkscope.errors import LinkScopeError
from tests.elf.samples import FixtureFile
from tests.oracle import elfwriter
from tests.oracle.recipe import Symbol

SECONDS = 2.0
REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = (
    "hello/hello-dynamic-pie",
    "hello/hello-sysv-hash",
    "hello/hello-musl-static",
    "kinds/bare-static-pie",
    "kinds/hello.o",
    "kinds/module.ko",
    "kinds/hello.debug",
    "kinds/sectionless-dynamic",
    "runtime/declares-dlopen",
    "policy-hardening/libtextrel.so",
)


def _symbols(reader: Reader, image: Image) -> object:
    found = symbols.read_symbols(reader, image)
    return symbols.read_references(reader, image, found)


QUESTIONS: dict[str, Callable[[Reader, Image], object]] = {
    "kind": linkage.kind,
    "linkage": lambda _, image: (linkage.linkage(image), linkage.pie(image)),
    "libc": libc.libc,
    "hardening": hardening.hardening,
    "unchecked": hardening.unchecked_functions,
    "relocated code": protections.relocated_functions,
    "toolchain": toolchain.toolchain,
    "loads": runtimeloads.loads_at_run_time,
    "packed": packing.packed,
    "build id": notes.build_id,
    "dlopen": notes.dlopen_entries,
    "symbols": _symbols,
    "symtab": symbols.section_table,
    "sections": lambda reader, image: list(read_sections(reader, image)),
    "versions": lambda _, image: versions.highest_versions(image.verneed),
}


def ask_everything(path: str | os.PathLike[str]) -> None:
    """Every question of the room, each whatever became of the others."""
    start, said = time.perf_counter(), ""
    try:
        with open_reader(os.fspath(path)) as reader:
            image = read_image(reader)
            for question in QUESTIONS.values():
                with suppress(LinkScopeError):
                    question(reader, image)
    except LinkScopeError as error:
        said = str(error)
    assert "\n" not in said
    assert time.perf_counter() - start < SECONDS


def _writers_file(elf_class: int, endian: str) -> bytes:
    """A small file with everything in it that the room reads."""
    return elfwriter.encode(
        elfwriter.Recipe(
            elf_class=elf_class,  # type: ignore[arg-type]
            endian=endian,  # type: ignore[arg-type]
            soname="libmade.so.1",
            needed=("libc.so.6", "libx.so"),
            rpath="/a:/b",
            runpath="/c",
            interp="/lib/ld.so.1",
            verdef=("V_1", "V_2"),
            verneed=(("libx.so", (("X_1", 0), ("X_2", 2))),),
            symbols=(Symbol("one", "V_1"), Symbol("two", "V_2", kind="object")),
            undefined=(Symbol("far", "X_1"), Symbol("near", kind="object")),
            hash_style="both",
            notes=(("FDO", notes.FDO_DLOPEN, b'[{"soname":["liby.so"]}]'),),
            build_id=bytes(range(20)),
            isa_needed=1,
            sections=True,
        )
    )


FORMS = [(elf_class, endian) for elf_class in (32, 64) for endian in ("little", "big")]
WRITTEN = [_writers_file(*form) for form in FORMS]


@pytest.mark.parametrize("form", range(len(FORMS)), ids=[f"{c}-{e}" for c, e in FORMS])
def test_a_file_cut_at_any_byte_is_survived(form: int, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(WRITTEN[form])
    ask_everything(path)
    for length in range(len(WRITTEN[form]) - 1, -1, -1):
        os.truncate(path, length)
        ask_everything(path)


@pytest.mark.parametrize("name", FIXTURES)
def test_a_real_file_cut_anywhere_is_survived(name: str, fixture_file: FixtureFile, tmp_path: Path) -> None:
    """At every byte of its headers, and at some of the rest."""
    data = fixture_file(name).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data)
    lengths = set(range(1200)) | set(range(0, len(data), max(1, len(data) // 300)))
    for length in sorted(lengths & set(range(len(data))), reverse=True):
        os.truncate(path, length)
        ask_everything(path)


@pytest.mark.parametrize("value", [0x00, 0x7F, 0xFF], ids=hex)
@pytest.mark.parametrize("form", range(len(FORMS)), ids=[f"{c}-{e}" for c, e in FORMS])
def test_any_one_byte_may_be_wrong(form: int, value: int, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    data = WRITTEN[form]
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes((value,)) + data[at + 1 :])
        ask_everything(path)


NUMBERS = st.one_of(
    st.sampled_from(
        [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]
    ),
    st.integers(0, 1 << 16),
    st.integers(0, (1 << 64) - 1),
)
# Where (a fraction of the file, or from 1 on a byte of its first page), how many bytes, and what number stands there.
PLACES = st.one_of(st.floats(0, 1, exclude_max=True), st.floats(1, 4096))
WOUNDS = st.lists(st.tuples(PLACES, st.sampled_from([1, 2, 4, 8]), NUMBERS), min_size=1, max_size=12)


def damaged(data: bytes, wounds: list[tuple[float, int, int]], order: str) -> bytes:
    """The file with numbers written over it, each at a place that its size divides."""
    result = bytearray(data)
    for where, size, number in wounds:
        at = int(where * len(data)) if where < 1 else int(where)
        at -= at % size
        if at + size <= len(result):
            result[at : at + size] = (number & (1 << 8 * size) - 1).to_bytes(size, order)  # type: ignore[arg-type]
    return bytes(result)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.integers(0, len(FORMS) - 1), wounds=WOUNDS)
def test_a_small_file_may_be_damaged_anyhow(form: int, wounds: list[tuple[float, int, int]], tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(damaged(WRITTEN[form], wounds, FORMS[form][1]))
    ask_everything(path)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FIXTURES), wounds=WOUNDS)
def test_a_real_file_may_be_damaged_anyhow(
    name: str, wounds: list[tuple[float, int, int]], fixture_file: FixtureFile, tmp_path: Path
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(damaged(fixture_file(name).read_bytes(), wounds, "little"))
    ask_everything(path)


# Files that are made to hurt: each a function from a path to nothing, that writes the file there.
def _header(segments: int = 0, sections: tuple[int, int, int] = (0, 0, 0), kind: int = 3) -> bytes:
    table, count, names = sections
    ident = b"\x7fELF\2\1\1"
    return struct.pack("<16sHHIQQQIHHHHHH", ident, kind, 62, 1, 0, 64, table, 0, 64, 56, segments, 64, count, names)


def _segment(kind: int, offset: int, size: int, flags: int = 4, align: int = 4) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, offset, 0, size, size, align)


def many_note_segments(path: Path) -> None:
    """Sixty thousand segments, all with the same megabyte of notes."""
    count = 60_000
    start = 64 + 56 * count
    body = struct.pack("<III", 4, 4, 1) + b"GNU\0" + bytes(4)
    path.write_bytes(_header(count) + _segment(4, start, 1 << 20) * count + body * ((1 << 20) // len(body) + 1))


def _with_dynamic(path: Path, entries: list[tuple[int, int]], strings: bytes, more: int = 0) -> None:
    """A library of one segment: its dynamic section, then its string table (address 0x100000), then a hole."""
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (5, 0x100000), (10, len(strings)), (0, 0)])
    end = 0x100000 + len(strings) + more
    head = _header(2) + _segment(1, 0, end) + _segment(2, 0x1000, len(dynamic))
    with open(path, "wb") as file:
        file.write(head)
        file.seek(0x1000)
        file.write(dynamic)
        file.seek(0x100000)
        file.write(strings)
        file.truncate(end)


def many_long_needs(path: Path) -> None:
    """Sixty thousand NEEDED, each a quarter of a megabyte long."""
    _with_dynamic(path, [(1, at) for at in range(60_000)], b"x" * 200_000 + b"\0")


def a_hash_table_of_a_sparse_gigabyte(path: Path) -> None:
    """As many symbols as DT_HASH says."""
    table = struct.pack("<II", 1, 0xFFFFFFFF)
    _with_dynamic(path, [(4, 0x100000), (6, 0x100010)], table + bytes(64), more=1 << 30)


def a_chain_without_end(path: Path) -> None:
    """DT_GNU_HASH whose last chain goes on through a hole of a gigabyte."""
    table = struct.pack("<IIIIQI", 1, 1, 1, 0, 0, 1)
    _with_dynamic(path, [(0x6FFFFEF5, 0x100000), (6, 0x100000)], table, more=1 << 30)


def relocations_without_end(path: Path) -> None:
    """A gigabyte of them, all zero, and no hash table, so that they count the symbols."""
    _with_dynamic(path, [(7, 0x100100), (8, 1 << 30), (6, 0x100000)], bytes(64), more=1 << 30)


def names_that_share_one_tail(path: Path) -> None:
    """A million symbols, each named by another tail of one string of megabytes."""
    count = 1 << 19
    strings = b"x" * (1 << 23) + b"\0"
    records = b"".join(struct.pack("<IBBHQQ", 8 * number, 0x12, 0, 0, 0, 0) for number in range(count))
    _with_dynamic(path, [(4, 0x100000 + len(strings) + len(records)), (6, 0x100000 + len(strings))], strings)
    with open(path, "r+b") as file:
        file.seek(0x100000 + len(strings))
        file.write(records + struct.pack("<II", 1, count))
        end = file.tell()
        file.seek(64)
        file.write(_segment(1, 0, end))


def empty_names_of_a_sparse_gigabyte(path: Path) -> None:
    _with_dynamic(path, [(4, 0x100000), (6, 0x100010)], struct.pack("<II", 1, 1000) + bytes(64), more=1 << 30)
    data = bytearray(path.open("rb").read(0x1100))
    at = data.index(struct.pack("<qQ", 10, 72))
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(struct.pack("<qQ", 10, 1 << 30))


def a_version_far_away(path: Path) -> None:
    """Each entry of DT_VERNEED points two gigabytes further on."""
    need = struct.pack("<HHIII", 1, 0, 0, 0, 0x7FFFFFF0)
    _with_dynamic(path, [(0x6FFFFFFE, 0x100000)], need + bytes(64), more=1 << 33)


def a_version_number_of_ten_thousand_digits(path: Path) -> None:
    strings = b"\0GLIBC_" + b"9" * 10_000 + b"\0libc.so.6\0"
    need = struct.pack("<HHIII", 1, 1, 10_008, 16, 0) + struct.pack("<IHHII", 0, 0, 2, 1, 0)
    _with_dynamic(path, [(0x6FFFFFFE, 0x100000 + len(strings)), (1, 10_008)], strings + need)


def sections_of_a_sparse_terabyte(path: Path) -> None:
    """Names, symbols and comments, each as large as the file, which is nearly all hole."""
    size = 1 << 40
    row = struct.pack("<IIQQQQIIQQ", 1, 2, 0, 0, 0x1000, size - 0x2000, 1, 0, 8, 24)
    names = struct.pack("<IIQQQQIIQQ", 1, 3, 0, 0, 0x1000, size - 0x2000, 0, 0, 1, 0)
    with open(path, "wb") as file:
        file.write(_header(0, (64, 3, 1), kind=1) + bytes(64) + names + row)
        file.seek(0x1001)
        file.write(b".comment\0")
        file.truncate(size)


def calls_without_end(path: Path) -> None:
    """Sixty thousand segments of the same code, all of it calls."""
    count, strings = 60_000, b"\0dlopen\0"
    start = 64 + 56 * (count + 1)
    code = b"\xe8" * (1 << 20)
    note = struct.pack("<III", 4, 16, 1) + b"GNU\0" + bytes(16)
    symbol = struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 1, 0)
    places = [start, start + len(code), start + len(code) + len(note)]
    places += [places[2] + len(strings), places[2] + len(strings) + 48]
    rows = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, places[2], len(strings), 0, 0, 1, 0)
    rows += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, places[3], 48, 0, 0, 8, 24)
    body = code + note + strings + bytes(24) + symbol + rows
    segments = _segment(1, start, len(code), flags=5) * count + _segment(4, places[1], len(note))
    path.write_bytes(_header(count + 1, (places[4], 2, 0), kind=2) + segments + body)


HOSTILE = [
    many_note_segments,
    many_long_needs,
    a_hash_table_of_a_sparse_gigabyte,
    a_chain_without_end,
    relocations_without_end,
    names_that_share_one_tail,
    empty_names_of_a_sparse_gigabyte,
    a_version_far_away,
    a_version_number_of_ten_thousand_digits,
    sections_of_a_sparse_terabyte,
    calls_without_end,
]
LIMIT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from tests.elf import test_damage
test_damage.SECONDS = 20
test_damage.ask_everything(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("made", HOSTILE, ids=lambda made: made.__name__)
def test_a_hostile_file_costs_little(made: Callable[[Path], None], tmp_path: Path) -> None:
    """Within 600 MB and some seconds, in a process of its own."""
    path = tmp_path / "hostile"
    made(path)
    start = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", LIMIT, path], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    path.unlink()
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 600_000
    assert time.perf_counter() - start < 15

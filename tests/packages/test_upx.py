"""What UPX packed is unpacked to the bytes that were packed: those of the file before, and of `upx -d`."""

import os
import zlib
from pathlib import Path

import pytest

from linkscope.packages.limits import Broken, Limits
from linkscope.packages.upx import blocks, extents
from linkscope.packages.upx.headers import Block
from linkscope.packages.upx.unpacking import unpack
from tests.contents.samples import linked
from tests.contents.suites import package_files
from tests.elf.samples import FixtureFile, opened
from tests.oracle.availability import Unavailable
from tests.oracle.upx import RELEASES, packed, unpacked_by_upx
from tests.packages import upx_samples
from tests.packages.upx_samples import machine_program, unpacked

METHODS = ("--nrv2b", "--nrv2d", "--nrv2e", "--lzma")
OLD = ("hello-static", "hello-static-pie")  # 3.96 refuses small and dynamic ones
LARGE = 200_000
PROGRAMS = (
    *OLD,
    "hello-static-stripped",
    "hello-dynamic-pie",
    "hello-dynamic-nonpie",
    "hello-musl-dynamic-pie",
    "hello-musl-static",
    "hello-musl-static-pie",
    "hello-arm64",
    "hello-go",
    "hello-go-pie",
)


def same(program: Path, made: Path, suite: str = "trixie") -> None:
    """MADE is unpacked to PROGRAM, and to what UPX itself unpacks it to."""
    original = unpacked(made)
    assert original.content == program.read_bytes()
    assert original.content == unpacked_by_upx(made, made.with_suffix(".upx"), suite)
    assert (original.release, original.checked) == (RELEASES[suite], True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", ["-1", "-9"])
def test_every_method_is_undone(method: str, level: str, fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = fixture_file("hello/hello-musl-static")
    made = packed(program, tmp_path / "packed", level, method)
    same(program, made)
    assert unpacked(made).methods[0] == method[2:].upper()


@pytest.mark.parametrize("options", [("--best", "--all-filters"), ("-3", "--no-filter"), ("--best", "--lzma")])
def test_a_whole_c_library_is_undone(options: tuple[str, ...], fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = fixture_file("hello/hello-static-stripped")
    same(program, packed(program, tmp_path / "packed", *options))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_kind_of_program_is_undone(name: str, fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = fixture_file(f"hello/{name}")
    quick = ("--lzma",) if program.stat().st_size > LARGE else ()  # to unpack
    same(program, packed(program, tmp_path / "packed", "-1", *quick))


@pytest.mark.parametrize(("name", "method"), [*zip(OLD, ("--nrv2e", "--lzma"), strict=True)])
def test_what_an_older_release_packed_is_undone(
    name: str, method: str, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    program = fixture_file(f"hello/{name}")
    same(program, packed(program, tmp_path / "packed", "-1", method, suite="bullseye"), "bullseye")


@pytest.mark.parametrize(
    ("architecture", "suite", "options"),
    [
        ("i386", "trixie", ("--filter=0x46",)),
        ("i386", "bullseye", ("--filter=0x49",)),
        ("arm64", "trixie", ()),
        ("arm64", "bullseye", ()),
        ("armhf", "trixie", ("--filter=0x50",)),
        ("ppc64el", "trixie", ()),
        ("mipsel", "bullseye", ()),
    ],
)
def test_programs_of_other_machines_are_undone(
    architecture: str, suite: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    folder = package_files("bookworm", "busybox-static", architecture)
    program = next(path for path in (folder / "bin/busybox", folder / "usr/bin/busybox") if path.exists())
    same(program, packed(program, tmp_path / "packed", "-1", "--lzma", *options, suite=suite), suite)


@pytest.mark.parametrize(
    ("machine", "order", "word", "flags"),
    [(20, ">", 4, 0), (21, ">", 8, 1), (21, "<", 8, 2), (8, ">", 4, 0x70001007), (40, ">", 4, 0x05000000)],
    ids=["ppc", "ppc64", "ppc64le", "mips", "armeb"],
)
def test_big_endian_files_and_their_filters_are_undone(
    machine: int, order: str, word: int, flags: int, tmp_path: Path
) -> None:
    """Together with what had been appended, which is no part of a segment."""
    call = upx_samples.arm_call if machine == 40 else upx_samples.powerpc_call
    program = machine_program(tmp_path / "program", machine, order, word, flags, call)
    same(program, packed(program, tmp_path / "packed", "-1"))


LIBRARY = """
int x = 3;
static void __attribute__((constructor)) start(void) { x++; }
const int constants[3000] = {4, 5, 6};
int table[4000] = {1, 2, 3};
const char *names[] = {"a", "b", "c"};
"""
FUNCTION = "int f%d(int a) { for (int i = 0; i < a; i++) x += constants[i] %% %d ? %d : table[i]; return x; }\n"


@pytest.mark.parametrize(
    ("flags", "compiler"),
    [
        ((), "gcc"),
        (("-Wl,-z,noseparate-code",), "gcc"),
        (("-fuse-ld=gold",), "gcc"),
        ((), "aarch64-linux-gnu-gcc"),
    ],
    ids=["separate", "together", "gold", "arm64"],
)
def test_a_library_is_undone_to_the_way_it_began(flags: tuple[str, ...], compiler: str, tmp_path: Path) -> None:
    source = LIBRARY + "".join(FUNCTION % (n, n, n) for n in range(2, 30))
    library = linked(tmp_path / "lib.so", source, ["-shared", "-fPIC", *flags], compiler)
    same(library, packed(library, tmp_path / "packed", "-1"))


def test_a_library_without_dt_init_is_undone(tmp_path: Path) -> None:
    """`upx -d` leaves a false first function in DT_INIT_ARRAY, where the file before is the judge."""
    source = LIBRARY + "".join(FUNCTION % (n, n, n) for n in range(2, 30))
    library = linked(tmp_path / "lib.so", source, ["-shared", "-fPIC", "-nostartfiles"])
    assert unpacked(packed(library, tmp_path / "packed", "-1")).content == library.read_bytes()


def system_library(name: str) -> Path:
    """A library of this machine. Raises Unavailable."""
    library = Path("/usr/lib/x86_64-linux-gnu") / name
    if not library.exists():
        raise Unavailable(f"{name} is not here")
    return library.resolve()


@pytest.mark.parametrize("name", ["libz.so.1", "libexpat.so.1", "libcrypto.so.3"])
def test_libraries_of_this_machine_are_undone(name: str, tmp_path: Path) -> None:
    library = system_library(name)
    same(library, packed(library, tmp_path / "packed", "-1", "--lzma"))


def test_a_library_that_upx_itself_cannot_unpack_is_said_to_be_one(tmp_path: Path) -> None:
    made = packed(system_library("libz.so.1"), tmp_path / "packed", "-1", suite="bullseye")
    with pytest.raises(Unavailable):
        unpacked_by_upx(made, tmp_path / "again", "bullseye")
    with pytest.raises(Broken, match=r"older than 3\.97"):
        unpacked(made)


@pytest.mark.parametrize(("method", "refused"), [("--nrv2e", True), ("--lzma", False)])
def test_what_would_take_too_long_is_refused_by_the_method(
    method: str, refused: bool, fixture_file: FixtureFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extents, "_MOST_NRV", 10_000)
    made = packed(fixture_file("hello/hello-musl-static"), tmp_path / "packed", "-1", method)
    if refused:
        with pytest.raises(Broken, match="by NRV2E, which would take too long"):
            unpacked(made)
    else:
        assert unpacked(made).methods[0] == "LZMA"


def test_what_was_appended_afterwards_does_not_matter(fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = fixture_file("hello/hello-musl-static")
    made = packed(program, tmp_path / "packed", "-1")
    made.write_bytes(made.read_bytes() + os.urandom(100_000))
    assert unpacked(made).content == program.read_bytes()


def test_without_the_last_36_bytes_there_is_no_checksum(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """As malware has it, so that `upx -d` refuses: what stands behind the program headers is enough."""
    program = fixture_file("hello/hello-musl-static")
    made = packed(program, tmp_path / "packed", "-1")
    made.write_bytes(made.read_bytes()[:-36])
    with pytest.raises(Unavailable):
        unpacked_by_upx(made, tmp_path / "again")
    original = unpacked(made)
    assert original.content == program.read_bytes()
    assert not original.checked


def test_deflate_is_undone() -> None:
    """UPX knows it for files of other systems; none is packed by it here."""
    plain = b"what is packed by deflate " * 50
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = compressor.compress(plain) + compressor.flush()
    assert blocks.plain(data, Block(0, len(plain), len(data), 15, 0, 0)) == plain


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(total=10_000), "has 1"),
        (Limits(total=20_000), "claims to unpack to 24776 bytes"),
        (Limits(ratio=1, ratio_from=20_000), "more than 1 times its own size"),
    ],
)
def test_no_more_is_unpacked_than_is_allowed(
    limits: Limits, reason: str, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    made = packed(fixture_file("hello/hello-musl-static"), tmp_path / "packed", "-1")
    with opened(made) as (reader, image), pytest.raises(Broken, match=reason):
        unpack(reader, image, limits)

"""The members of static libraries: ar says which there are, and what is in them."""

import contextlib
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.contents.archives import BadArchive, Member, members
from linkscope.contents.fingerprints import fingerprints
from linkscope.elf.reader import open_reader
from linkscope.errors import FileUnreadable, MalformedElf
from tests.contents.memorypack import read
from tests.elf.samples import FixtureFile, RequireTool, spread, tool
from tests.oracle.availability import Unavailable

_LONG = "a_name_that_does_not_fit_into_sixteen_bytes.o"


def _members(path: Path, folder: Path | None = None) -> list[Member]:
    with open_reader(str(path)) as reader:
        return list(members(reader, str(folder) if folder else None))


def _real_archives() -> list[str]:
    found = [str(path) for path in Path("/usr/lib/x86_64-linux-gnu").glob("*.a") if path.stat().st_size < 1 << 20]
    real = sorted(path for path in found if Path(path).read_bytes()[:8] == b"!<arch>\n")
    if not real:
        raise Unavailable("no static library is installed")
    return spread(real, 12)


def test_members_and_their_bytes_are_those_that_ar_prints() -> None:
    total = 0  # some have none
    for path in _real_archives():
        found = _members(Path(path))
        total += len(found)
        assert [one.name for one in found] == tool("ar", "t", path).splitlines()
        printed = subprocess.run(["ar", "p", path], capture_output=True, check=True).stdout
        assert b"".join(one.content for one in found) == printed
    assert total > 10


def _objects(folder: Path, names: tuple[str, ...] = ("a.o", "odd.o", _LONG), *flags: str) -> list[Path]:
    made = []
    for number, name in enumerate(names):
        source = folder / f"{number}.c"
        source.write_text(f"int f{number}(int *p) {{ return p[{number}] * {number + 77}; }}\n")
        done = subprocess.run(["gcc", "-O2", "-c", *flags, source, "-o", folder / name], capture_output=True)
        if done.returncode:
            raise Unavailable("gcc does not compile")
        made.append(folder / name)
    with open(made[1], "ab") as file:
        file.write(b"\n" * (1 - made[1].stat().st_size % 2))  # an odd size, which is padded
    return made


@pytest.mark.parametrize("format_", ["gnu", "bsd", "darwin"])
def test_names_of_system_v_and_bsd_are_read(format_: str, tmp_path: Path) -> None:
    ar = shutil.which("llvm-ar") or next(iter(sorted(map(str, Path("/usr/lib").glob("llvm-*/bin/llvm-ar")))), None)
    if ar is None:
        raise Unavailable("llvm-ar is not here")
    made = _objects(tmp_path)
    archive = tmp_path / "lib.a"
    subprocess.run([ar, f"--format={format_}", "rcs", archive, *made], check=True, capture_output=True)
    found = _members(archive)
    assert [one.name for one in found] == [path.name for path in made]
    assert [one.content.rstrip(b"\n\0") for one in found] == [path.read_bytes().rstrip(b"\n\0") for path in made]


def test_the_members_of_a_thin_archive_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    made = _objects(tmp_path)
    archive = tmp_path / "sub/thin.a"
    subprocess.run(["ar", "rcsT", archive, *(f"../{path.name}" for path in made)], check=True, cwd=tmp_path / "sub")
    assert archive.read_bytes().startswith(b"!<thin>\n")
    found = _members(archive, archive.parent)
    assert [(one.name, one.content) for one in found] == [(path.name, path.read_bytes()) for path in made]
    with pytest.raises(BadArchive, match="thin archive"):
        _members(archive)
    made[0].unlink()
    with pytest.raises(FileUnreadable, match=r"a\.o.*no such file.*thin archive names it"):
        _members(archive, archive.parent)


def test_a_thin_archive_of_an_archive_holds_what_that_one_does(tmp_path: Path) -> None:
    made = _objects(tmp_path)
    subprocess.run(["ar", "rcs", "inner.a", *(path.name for path in made)], check=True, cwd=tmp_path)
    subprocess.run(["ar", "rcsT", "outer.a", "inner.a"], check=True, cwd=tmp_path)
    found = _members(tmp_path / "outer.a", tmp_path)
    assert [one.content for one in found] == [path.read_bytes() for path in made]


def test_a_thin_archive_has_the_fingerprints_of_a_regular_one(fixture_file: FixtureFile) -> None:
    (thin,), (regular,) = read(fixture_file("inside/thin/libinside.a")), read(fixture_file("inside/libinside.a"))
    assert thin == regular


@pytest.mark.parametrize(("compiler", "flags"), [("gcc", ["-flto", "-fno-fat-lto-objects"]), ("clang", ["-flto"])])
def test_what_only_an_optimiser_reads_is_counted_and_has_no_signatures(
    compiler: str, flags: list[str], require_tool: RequireTool, tmp_path: Path
) -> None:
    (tmp_path / "a.c").write_text("int f(int *p) { return p[3] * 77; }\n")
    subprocess.run([require_tool(compiler), *flags, "-O2", "-c", "a.c"], check=True, cwd=tmp_path)
    (found,) = fingerprints("lib.a", [Member("a.o", (tmp_path / "a.o").read_bytes())])
    assert (found.bitcode, found.members, found.signatures) == (1, 0, ())


def test_code_beside_what_an_optimiser_reads_counts_as_code(tmp_path: Path) -> None:
    (made,) = _objects(tmp_path, ("a.o", "b.o"), "-flto", "-ffat-lto-objects")[:1]
    (found,) = fingerprints("lib.a", [Member("a.o", made.read_bytes())])
    assert (found.bitcode, found.members, found.sections) == (0, 1, 1)


def truncated(data: bytes) -> bytes:
    return data[:-20]


def with_half_a_header(data: bytes) -> bytes:
    return data + b"half/           0"


def with_a_size_of_letters(data: bytes) -> bytes:
    return data[:8] + data[8:56] + b"many      `\n" + data[68:]


def with_a_member_larger_than_the_file(data: bytes) -> bytes:
    return data[:56] + b"999999999 `\n" + data[68:]


def with_an_enormous_member(data: bytes) -> bytes:
    return data[:56] + b"9999999999`\n" + data[68:]


def with_a_name_beyond_the_table(data: bytes) -> bytes:
    return data.replace(b"/0              ", b"/99999999       ")


def of_text(data: bytes) -> bytes:
    return b"GROUP ( libm-2.36.a )\n" + data[:4]


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        with_half_a_header,
        with_a_size_of_letters,
        with_a_member_larger_than_the_file,
        with_an_enormous_member,
        with_a_name_beyond_the_table,
        of_text,
    ],
    ids=lambda function: function.__name__,
)
def test_a_damaged_archive_is_refused_in_one_line(damage: object, tmp_path: Path) -> None:
    made = _objects(tmp_path)
    archive = tmp_path / "lib.a"
    subprocess.run(["ar", "rcs", archive, *made], check=True)
    whole = archive.read_bytes()
    assert callable(damage)
    damaged = damage(whole)
    assert damaged != whole
    archive.write_bytes(damaged)
    with pytest.raises(BadArchive) as raised:
        _members(archive)
    assert "\n" not in str(raised.value)


@given(st.integers(0, 400), st.binary(max_size=24))
def test_any_bytes_in_an_archive_are_read_or_refused(at: int, put: bytes) -> None:
    header = b"%-16s%-12s%-6s%-6s%-8s%-10d`\n"
    data = bytearray(b"!<arch>\n")
    for name, content in (
        (b"//", b"long_name_of_a_member.o/\n"),
        (b"/0", b"1234"),
        (b"#1/8", b"name.o\0\0x"),
        (b"b.o/", b""),
    ):
        data += header % (name, b"0", b"0", b"0", b"644", len(content)) + content + b"\n" * (len(content) % 2)
    data[at : at + len(put)] = put
    descriptor = os.memfd_create("archive")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(BadArchive):
            _members(Path(f"/proc/self/fd/{descriptor}"))


def test_a_thin_archive_does_not_lead_to_a_file_of_any_size(tmp_path: Path) -> None:
    made = _objects(tmp_path)
    subprocess.run(["ar", "rcsT", "thin.a", *(path.name for path in made)], check=True, cwd=tmp_path)
    os.truncate(made[0], 1 << 40)
    with pytest.raises(BadArchive, match="too many for a member"):
        _members(tmp_path / "thin.a", tmp_path)


def test_an_object_whose_sections_are_all_the_same_bytes_is_refused(tmp_path: Path) -> None:
    """Every section of relocations is as large as the file: read again for each, it would take hours."""
    flags = ["-O2", "-ffunction-sections", "-c"]
    functions = "".join(f"int g(int); int f{n}(int x) {{ return g(x * {n}) + g(x + {n}); }}\n" for n in range(50))
    (tmp_path / "many.c").write_text(functions)
    subprocess.run(["gcc", *flags, "many.c"], check=True, cwd=tmp_path)
    content = bytearray((tmp_path / "many.o").read_bytes())
    assert fingerprints("lib.a", [Member("many.o", bytes(content))])
    (headers,), (count,) = struct.unpack_from("<Q", content, 40), struct.unpack_from("<H", content, 60)
    for at in range(headers, headers + 64 * count, 64):
        if struct.unpack_from("<I", content, at + 4) == (4,):  # SHT_RELA
            struct.pack_into("<QQ", content, at + 24, 0, len(content))  # sh_offset, sh_size
    with pytest.raises(MalformedElf, match="sections overlap"):
        fingerprints("lib.a", [Member("many.o", bytes(content))])

"""What is inside a packed program is what was inside it before, and it is told that it was unpacked."""

from pathlib import Path

import pytest

from linkscope.analysis.facts import file_facts
from linkscope.analysis.original import inside_packed
from linkscope.analysis.signatures import packs
from linkscope.contents.identify import Inside, inside
from linkscope.contents.upx import CannotUnpack
from linkscope.model.inspect import Content
from tests.contents.samples import linked, said_by
from tests.elf.samples import FixtureFile, opened, tool
from tests.oracle.upx import packed


def before(path: Path) -> Inside:
    with opened(path) as (reader, image):
        return inside(reader, image, file_facts(reader, image).file, packs())


def after(path: Path) -> tuple[Inside, Content]:
    """What is told of a packed file, and apart from it the packer."""
    with opened(path) as (reader, image):
        found = inside_packed(reader, image, packs())
    (upx,) = [one for one in found.contents if one.name == "upx"]
    rest = [one for one in found.contents if one is not upx]
    return Inside(rest, found.code), upx


ZLIB = '#include <stdio.h>\n#include <zlib.h>\nint main(void) { printf("zlib=%s\\n", zlibVersion()); return 0; }\n'


@pytest.mark.parametrize("method", ["--nrv2e", "--lzma"])
def test_a_static_library_is_found_with_its_version(method: str, tmp_path: Path) -> None:
    """By its machine code, its texts and all other traces, as many as before; the program still runs."""
    use = ZLIB.replace("return 0", "unsigned long n = 1; char b[1]; return compress(b, &n, b, 1) * 0")
    program = linked(tmp_path / "app", use, ["-static", "-lz"])
    made = packed(program, tmp_path / "packed", "-1", method)
    found, _ = after(made)
    assert said_by(made) == said_by(program)
    assert {one.name: one.version for one in found.contents}["zlib"] == said_by(program)["zlib"]
    assert found == before(program)


@pytest.mark.parametrize(
    "name", ["hello-go", "hello-go-pie", "hello-musl-static", "hello-static-pie", "hello-dynamic-pie", "hello-arm64"]
)
def test_everything_is_told_that_was_before(name: str, fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = fixture_file(f"hello/{name}")
    found, _ = after(packed(program, tmp_path / "packed", "-1"))
    assert found == before(program)


def test_the_packer_is_told_with_how_it_was_undone(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """Its release as the stub has it, which `strings` shows too, and what the program asks for that was packed."""
    program = fixture_file("hello/hello-dynamic-pie")
    made = packed(program, tmp_path / "packed", "-1", "--nrv2d")
    _, upx = after(made)
    assert "$Id: UPX 4.24 Copyright" in tool("strings", made)
    assert upx.version == "4.2.4"
    how, asks = [proof.text or "" for proof in upx.evidence]
    assert how.startswith("UPX (NRV2D")
    assert f"{made.stat().st_size:,} bytes to {program.stat().st_size:,}; the checksums (Adler-32) agree" in how
    (interpreter,) = [word for word in tool("readelf", "-lW", program).split() if word.endswith(".so.2]")]
    assert asks == f"what was packed needs libc.so.6 and is started by {interpreter.rstrip(']')}"


def test_what_cannot_be_unpacked_says_why(fixture_file: FixtureFile, tmp_path: Path) -> None:
    made = packed(fixture_file("hello/hello-static"), tmp_path / "packed", "-1")
    made.write_bytes(made.read_bytes()[:200_000])
    with pytest.raises(CannotUnpack, match=r"cannot be unpacked: it is truncated: a block ends at byte 0x"):
        after(made)

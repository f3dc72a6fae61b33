"""`inspect --contents`: what stands in its text and its JSON, and what does not without it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.contents.samples import linked, said_by
from tests.elf.samples import RequireTool, tool

SOURCE = '#include <stdio.h>\n#include <zlib.h>\nint main(void) { printf("zlib=%s\\n", zlibVersion()); return 0; }\n'


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A static program with zlib in it."""
    use = SOURCE.replace("return 0", "unsigned long n = 1; char b[1]; return compress(b, &n, b, 1) * 0")
    return linked(tmp_path / "app", use, ["-static", "-lz"])


def test_the_text_lists_what_is_inside(linkscope: Linkscope, program: Path) -> None:
    ran = linkscope("inspect", "--contents", program)
    version = said_by(program)["zlib"]
    assert ran.returncode == 0
    (row,) = [line for line in ran.stdout.decode().splitlines() if line.strip().startswith("zlib")]
    assert row.split()[:2] == ["zlib", version]
    plain = linkscope("inspect", "--contents", "--no-shipped", program, env={"LINKSCOPE_STORE": "none"})
    (row,) = [line for line in plain.stdout.decode().splitlines() if line.strip().startswith("zlib")]
    assert row.split()[:3] == ["zlib", version, "deflate"]


def test_the_document_has_it_with_its_evidence(linkscope: Linkscope, program: Path) -> None:
    (file,) = msgspec.json.decode(linkscope("inspect", "--contents", "--format", "json", program).stdout)["files"]
    (zlib,) = [one for one in file["contents"] if one["name"] == "zlib"]
    assert (zlib["ecosystem"], zlib["version"]) == ("generic", said_by(program)["zlib"])
    assert {proof["kind"] for proof in zlib["evidence"]} >= {"banner"}


def test_without_it_a_static_files_text_says_how_to_ask(linkscope: Linkscope, program: Path) -> None:
    """And the document has null: nobody looked."""
    assert f"`linkscope inspect --contents {program}`".encode() in linkscope("inspect", program).stdout
    (file,) = msgspec.json.decode(linkscope("inspect", "--format", "json", program).stdout)["files"]
    assert file["contents"] is None


def test_a_file_with_nothing_in_it_says_so(linkscope: Linkscope, require_tool: RequireTool) -> None:
    true = require_tool("true")
    assert b"inside       nothing that is known" in linkscope("inspect", "--contents", true).stdout
    (file,) = msgspec.json.decode(linkscope("inspect", "--contents", "--format", "json", true).stdout)["files"]
    assert file["contents"] == []


def test_it_is_loaded_only_when_asked_for(require_tool: RequireTool) -> None:
    told = [
        subprocess.run(
            [sys.executable, "-X", "importtime", *COMMAND[1:], "inspect", *options, require_tool("true")],
            env=environment(),
            capture_output=True,
        ).stderr
        for options in ([], ["--contents"])
    ]
    assert [b"linkscope.contents" in imported for imported in told] == [False, True]


def test_a_packed_program_shows_nothing(linkscope: Linkscope, program: Path, tmp_path: Path) -> None:
    data = bytearray(program.read_bytes())
    at = 64 + 56 * int.from_bytes(data[0x38:0x3A], "little") + 4
    data[at : at + 4] = b"UPX!"
    (tmp_path / "packed").write_bytes(data)
    assert "UPX" in tool("strings", tmp_path / "packed")
    (file,) = msgspec.json.decode(linkscope("inspect", "--contents", "--format", "json", tmp_path / "packed").stdout)[
        "files"
    ]
    assert file["contents"] == []

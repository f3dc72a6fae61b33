"""Go programs whose record of the build was taken out; `go version -m` of them before that says what is in them."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from linkscope.contents.golang import go_build
from linkscope.elf.gotable import line_table
from linkscope.elf.toolchain import toolchain
from tests.contents.samples import all_found_in, linked, versions_in, with_constants
from tests.contents.test_golang import FILES, _built, _lines, _told
from tests.elf.samples import RequireTool, ask, tool
from tests.oracle import npm

MAGIC = b"\xff Go buildinf:"
MARKS = (bytes.fromhex("3077af0c9274080241e1c107e6d618e6"), bytes.fromhex("f932433186182072008242104116d8f2"))
SHAPES = {
    "plain": {"GOFLAGS": "-mod=vendor"},
    "stripped": {"GOFLAGS": "-mod=vendor -ldflags=-s"},
    "position-independent": {"GOFLAGS": "-mod=vendor -buildmode=pie -ldflags=-s"},
    "other-linker": {"GOFLAGS": "-mod=vendor -ldflags=-linkmode=external", "CGO_ENABLED": "1"},
    "other-linker-pie": {"GOFLAGS": "-mod=vendor -buildmode=pie -ldflags=-linkmode=external", "CGO_ENABLED": "1"},
    "library": {"GOFLAGS": "-mod=vendor -buildmode=c-shared", "CGO_ENABLED": "1"},
}


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _module(
        tmp_path_factory.mktemp("module"), {**FILES, "c.go": 'package main\n\n// #include <stdio.h>\nimport "C"\n'}
    )


def _module(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _without_section(path: Path) -> Path:
    target = path.with_suffix(".removed")
    subprocess.run(["objcopy", "--remove-section", ".go.buildinfo", path, target], check=True, capture_output=True)
    assert MAGIC not in target.read_bytes()
    return target


def _without(path: Path, *texts: bytes) -> Path:
    """A copy with zeros instead of these texts."""
    data = path.read_bytes()
    for text in texts:
        assert text in data
        data = data.replace(text, bytes(len(text)))
    target = path.with_suffix(".without")
    target.write_bytes(data)
    target.chmod(0o755)
    return target


def _without_section_headers(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff, and the numbers of what stands there
    data[0x3C:0x40] = bytes(4)
    target = path.with_suffix(".headless")
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("shape", SHAPES)
def test_modules_and_toolchain_are_those_of_go_version_before(
    shape: str, module: Path, require_tool: RequireTool
) -> None:
    go, _ = require_tool("go"), require_tool("objcopy")
    path = _built(go, module, shape, **SHAPES[shape])
    path.chmod(0o755)  # `go version` passes over a library that cannot be started
    told = _told(go, path)
    removed = _without_section(path)
    build = ask(go_build, removed)
    assert build.table is not None
    assert (build.toolchain, _lines(build)) == told
    assert ask(toolchain, removed).language == "Go"


@pytest.mark.parametrize("architecture", ["386", "s390x", "mips"])
def test_programs_of_other_machines(architecture: str, module: Path, require_tool: RequireTool) -> None:
    """Of 32 and 64 bits, either byte first, and of all lengths of their instructions; objcopy knows few of them."""
    go = require_tool("go")
    path = _built(go, module, architecture, GOARCH=architecture)
    build = ask(go_build, _without(path, MAGIC))
    assert build.table is not None
    assert (build.toolchain, _lines(build)) == _told(go, path)


def test_a_program_without_section_headers_is_known_by_its_table(module: Path, require_tool: RequireTool) -> None:
    """Nor has it the note with Go's name of the build."""
    go = require_tool("go")
    path = _built(go, module, "headless", GOFLAGS="-mod=vendor -ldflags=-buildid=")
    headless = _without_section_headers(_without(path, MAGIC))
    build = ask(go_build, headless)
    assert (build.toolchain, _lines(build)) == _told(go, path)
    assert ask(toolchain, headless).language == "Go"


def test_a_program_without_the_text_of_its_modules_holds_the_standard_library(
    module: Path, require_tool: RequireTool
) -> None:
    go = require_tool("go")
    path = _built(go, module, "textless", GOFLAGS="-mod=vendor -ldflags=-buildid=")
    version = tool(go, "env", "GOVERSION").strip()
    stripped = _without(path, MAGIC, *MARKS)
    assert versions_in(stripped) == {"go:stdlib": version.removeprefix("go")}
    assert ask(toolchain, stripped).language == "Go"
    (library,) = all_found_in(_without(path, MAGIC, *MARKS, version.encode() + b"\0"))
    assert (library.name, library.version, library.proof) == ("stdlib", None, "symbols")


def test_of_two_texts_that_may_be_the_version_none_is_it(module: Path, require_tool: RequireTool) -> None:
    """What `-X` fills in stands as the toolchain's version does."""
    go = require_tool("go")
    path = _built(go, module, "filled", GOFLAGS="-mod=vendor -ldflags=-X=example.org/plain.V=go1.2.3")
    build = ask(go_build, _without(path, MAGIC))
    assert build.toolchain == tool(go, "env", "GOVERSION").strip()  # nothing is called so
    named = _module(module.parent / "named", {**FILES, "vendor/example.org/plain/x.go": _NAMED})
    path = _built(go, named, "filled", GOFLAGS="-mod=vendor -ldflags=-X=example.org/plain.V=go1.2.3")
    build = ask(go_build, _without(path, MAGIC))
    assert (build.toolchain, _lines(build)) == (None, _told(go, path)[1])


_NAMED = 'package plain\n\nvar V = ""\n\nfunc F() int { println(V); return 1 }\n'
_CARRIES = """package main

import (
	_ "embed"
	"os"
)

//go:embed carried
var carried []byte

func main() { os.Stdout.Write(carried) }
"""


def test_what_a_program_carries_is_not_its_own(module: Path, require_tool: RequireTool, tmp_path: Path) -> None:
    """One of Go's has the carried one's texts as well, one of C's has its whole table of functions."""
    go = require_tool("go")
    carried = _without(_built(go, module, "carried"), MAGIC)
    files = {"go.mod": "module example.org/carrier\n\ngo 1.18\n", "main.go": _CARRIES}
    folder = _module(tmp_path / "carrier", files)
    (folder / "carried").write_bytes(carried.read_bytes())
    path = _built(go, folder, "carrier", GOFLAGS="-mod=mod")
    build = ask(go_build, _without(path, MAGIC))
    assert (build.toolchain, _lines(build)) == _told(go, path)
    assert [module.path for module in build.modules] == ["example.org/carrier"]
    source = f'__asm__(".section .rodata\\n.incbin \\"{carried}\\"\\n.text");\nint main(void) {{ return 0; }}\n'
    assert ask(go_build, linked(tmp_path / "in-c", source, [])) is None


def test_a_program_that_knows_the_marks_holds_no_go(tmp_path: Path) -> None:
    """Also where it knows the beginnings of tables, or refers to each text, and in such number that it takes long."""
    at, size = 0x1000, 1 << 22
    table = struct.pack("<IHBB", 0xFFFFFFF1, 0, 1, 8)
    framed = MARKS[0] + b"path\tx\nmod\texample.org/x\tv1.0.0\t\n" + MARKS[1]
    own = table + b"\0runtime.other\0" + b"go1.22.3\0" + framed
    headers = b"".join(struct.pack("<QQ", at + own.index(text), n) for text, n in ((table, 8), (framed, len(framed))))
    for data in (own + headers, own * (size // len(own)), table * (size // 8), MARKS[0] * (size // 16)):
        path = with_constants(tmp_path / "knows", data, flags=6)
        assert ask(go_build, path) is None
        assert ask(toolchain, path).language is None


def test_a_table_at_the_end_of_all_addresses_is_none(tmp_path: Path) -> None:
    data = struct.pack("<IHBB", 0xFFFFFFF1, 0, 1, 8) + b"\0runtime.main\0"
    path = with_constants(tmp_path / "high", bytes(16) + data, flags=6)
    high = bytearray(path.read_bytes())
    high[80:88] = struct.pack("<Q", (1 << 64) - 8)  # p_vaddr
    path.write_bytes(high)
    assert ask(line_table, path) is None


def test_the_go_command_reads_such_records_and_has_one(require_tool: RequireTool, tmp_path: Path) -> None:
    go = require_tool("go")
    path = Path(os.path.realpath(go))
    copy = tmp_path / "go"
    copy.write_bytes(path.read_bytes())
    build = ask(go_build, _without(copy, MAGIC))
    assert (build.toolchain, _lines(build)) == _told(go, path)


def test_esbuild_as_it_is_released(require_tool: RequireTool) -> None:
    """Its Makefile takes the record out of Go's linker. What it is made of stands in its go.mod and go.version."""
    path = npm.packaged("@esbuild/linux-x64", "0.28.2", "bin/esbuild")
    path.chmod(0o755)
    assert tool(path, "--version") == "0.28.2\n"
    assert (
        "not a Go executable"
        in subprocess.run([require_tool("go"), "version", path], capture_output=True, text=True).stderr
    )
    versions = {name: version for name, version in versions_in(path).items() if name.startswith("go:")}
    assert versions == {
        "go:stdlib": "1.26.5",
        "go:github.com/evanw/esbuild": None,
        "go:golang.org/x/sys": "v0.0.0-20220715151400-c0bba94af5f8",
    }

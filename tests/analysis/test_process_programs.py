"""Programs that come from nowhere or hide, that are static, of another language, or of another machine."""

import base64
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.model.pid import Process
from tests.analysis.observed import called, codes, elf_files, held, objects, observed, smaps
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import encode, executable, program, shared_object
from tests.oracle.machinecode import entry_size
from tests.process.started import started, state, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

VARIANTS = ["", "-static", "-musl", "-musl-static"]


def _whole(process: Process) -> None:
    """The objects are the files that the kernel shows, as they are, and nothing is missing or new."""
    assert {one.path for one in objects(process)} == {*elf_files(process.pid), "[vdso]"}
    assert {one.disk for one in objects(process)} <= {"same", "memfd"}
    assert process.absent == []
    assert {"stale-object", "other-path", "missing-object", "disk-unknown"}.isdisjoint(codes(process))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_program_out_of_a_memfd_has_no_file(fixture_file: FixtureFile, variant: str) -> None:
    target = fixture_file(f"process/states{variant}")
    with started([fixture_file(f"process/memfd{variant}"), target, "sleeping"]) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert process.executable is not None
    assert (process.executable.path, process.executable.disk) == ("/memfd:program", "memfd")
    assert process.executable.linkage == ("static" if "static" in variant else "dynamic")
    assert objects(process)[0].origin == "executable"
    kinds = {one.origin for one in objects(process)}
    assert kinds <= {"executable", "vdso", "interpreter", "needed"}
    assert process.absent == []
    assert codes(process) == ["memory-file"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_program_that_has_written_over_its_environment_says_so(fixture_file: FixtureFile, variant: str) -> None:
    """It matters to those alone that have a loader."""
    with started([fixture_file(f"process/scrubbed{variant}"), "worker process"], env={"A": "b"}) as running:
        running.expect("ready")
        process = observed(running.pid)
        _whole(process)
    assert process.cmdline == ["worker process"]
    assert codes(process) == ([] if "static" in variant else ["environment-unknown"])


def test_a_program_whose_folder_was_taken_away(folder: Path) -> None:
    """Nothing is searched for in there, so nothing is missing."""
    (folder / "gone").mkdir()
    app = executable(folder / "app")
    with held([app], cwd=folder / "gone") as running:
        (folder / "gone").rmdir()
        assert os.readlink(f"/proc/{running.pid}/cwd").endswith(" (deleted)")
        process = observed(running.pid)
    assert codes(process) == []


def test_a_name_that_is_no_text_is_told_exactly(folder: Path) -> None:
    """With what is no UTF-8 shown as U+FFFD, and the bytes beside it."""
    place = os.fsencode(folder) + b"/b\xffad\n (deleted)"
    os.mkdir(place)
    shared_object(os.fsdecode(place + b"/lib\xfe.so"))
    app = executable(os.fsdecode(place + b"/a\xffpp"), needed=(os.fsdecode(b"lib\xfe.so"),), runpath="$ORIGIN")
    with held([app]) as running:
        process = observed(running.pid)
    assert process.executable is not None
    assert process.executable.path == f"{folder}/b\ufffdad\n (deleted)/a\ufffdpp"
    assert process.executable.path_bytes is not None
    assert base64.b64decode(process.executable.path_bytes) == place + b"/a\xffpp"
    library = called(process, "lib\ufffd.so")
    assert (library.origin, library.disk) == ("needed", "same")
    assert library.path_bytes is not None
    assert base64.b64decode(library.path_bytes) == place + b"/lib\xfe.so"
    assert codes(process) == []


# The fixture: whether it opens something in any case (what NSS opens depends on nsswitch.conf).
STATIC = {"static-iconv": True, "static-nss": False, "static-dlopen": True}


@pytest.mark.parametrize("name", STATIC)
def test_what_a_static_program_loads_after_all_is_shown(fixture_file: FixtureFile, name: str) -> None:
    with held([fixture_file(f"runtime/{name}")]) as running:
        process = observed(running.pid)
        _whole(process)
    loaded = {one.path: one.origin for one in objects(process) if one.origin not in ("executable", "vdso")}
    assert set(loaded.values()) <= {"dlopen", "dlopen-needed"}
    assert bool(loaded) or not STATIC[name]
    assert objects(process)[0].origin == "executable"
    assert process.executable is not None
    assert (process.executable.linkage, process.libraries) == ("static", len(loaded))
    assert codes(process) == (["loaded-by-static"] if loaded else [])
    if loaded:
        assert called(process, "libc.so.6").origin == "dlopen-needed"
        assert objects(process)[0].loaded_as == ""


# The fixture: linkage, the names of its libraries.
LANGUAGES = {
    "hello-go": ("static", set()),
    "hello-go-pie": ("dynamic", {"ld-linux-x86-64.so.2"}),
    "hello-rust": ("dynamic", {"libc.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}),
    "hello-cpp": ("dynamic", {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2"}),
    "hello-static-pie": ("static", set()),
    "hello-musl-static-pie": ("static", set()),
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_programs_of_other_languages_are_told_as_they_are_linked(fixture_file: FixtureFile, name: str) -> None:
    with held([fixture_file(f"hello/{name}")]) as running:
        process = observed(running.pid)
        _whole(process)
    linkage, libraries = LANGUAGES[name]
    assert process.executable is not None
    if name == "hello-musl-static-pie" and process.executable.linkage == "dynamic":
        raise Unavailable("this musl-gcc makes a dynamic program of -static-pie")
    assert process.executable.linkage == linkage
    mapped = {one.soname for one in objects(process) if one.origin in ("needed", "interpreter")}
    assert mapped == libraries
    assert codes(process) == []


def test_an_arm64_program_under_qemu_is_qemu(require_tool: RequireTool, folder: Path) -> None:
    """It maps the program and its libraries as data: this processor never runs them."""
    qemu = require_tool("qemu-aarch64-static")
    loader = require_tool("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1")
    shared_object(folder / "liba.so", machine=183, soname="liba.so")
    app = executable(folder / "app", interp="/lib/ld-linux-aarch64.so.1", machine=183, needed=("liba.so",))
    with held([qemu, loader, "--library-path", folder, app]) as running:
        mapped = {row.name for row in smaps(running.pid)}
        process = observed(running.pid)
        _whole(process)
    assert os.fspath(app) in mapped
    assert process.executable is not None
    assert (process.executable.path, process.executable.linkage) == (os.path.realpath(qemu), "static")
    assert {one.origin for one in objects(process)} == {"executable", "vdso"}
    assert "loaded-by-static" not in codes(process)


def _waits_in_32_bits(path: Path) -> Path:
    """A static i386 program that pauses for ever: `mov $SYS_pause,%eax; int $0x80; jmp`, in the place of the entry."""
    recipe = program(None, pie=False, machine=3, elf_class=32)
    data = bytearray(encode(recipe))
    (entry,) = struct.unpack_from("<I", data, 24)
    at = entry - 0x400000
    code = bytes.fromhex("b81d000000cd80ebf7")
    data[at : at + entry_size(3)] = code.ljust(entry_size(3), b"\x90")
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def test_a_32_bit_program_is_read_with_32_bit_words(folder: Path) -> None:
    app = _waits_in_32_bits(folder / "app")
    try:
        running = subprocess.Popen([app], stdin=subprocess.DEVNULL)
    except OSError as error:
        raise Unavailable(f"this kernel runs no 32-bit program: {error.strerror}") from error
    try:
        until(lambda: state(running.pid) == "S", "a program that waits")
        process = observed(running.pid)
    finally:
        running.kill()
        running.wait()
    assert process.executable is not None
    assert (process.executable.path, process.executable.linkage) == (os.fspath(app), "static")
    assert {one.origin for one in objects(process)} <= {"executable", "vdso"}
    assert codes(process) == []

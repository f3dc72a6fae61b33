"""The link map out of memory: judged by the program's own report, by pldd and by /proc/PID/maps."""

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.elf import constants as c
from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.process import mappings, procfs
from linkscope.process.image_memory import Places, load_addresses
from linkscope.process.linkmap_memory import (
    Carrier,
    LinkMapMemory,
    NoLinkMap,
    entry_mapping,
    read_by_carriers,
    read_link_map,
)
from tests.process.inside import everybody, inside, link_map, listed
from tests.process.started import started, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

GLIBC_LOADER = "/lib64/ld-linux-x86-64.so.2"
MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"
PLUGINS = {"process/dlopen": "process/plugins", "process/dlopen-musl": "process/plugins-musl"}


def _names(found: LinkMapMemory, namespace: int = 0) -> list[str]:
    return [entry.name for entry in found.entries if entry.namespace == namespace]


def _compiled(require_tool: RequireTool, folder: Path, name: str, source: str, *flags: str, by: str = "gcc") -> Path:
    made = folder / name
    (folder / f"{name}.c").write_text(source)
    subprocess.run([require_tool(by), folder / f"{name}.c", "-o", made, *flags], check=True, capture_output=True)
    return made


# --- Against the program's own report ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLUGINS)
def test_the_names_and_their_order_are_those_that_the_program_sees_itself(fixture_file: FixtureFile, name: str) -> None:
    """Also after it has opened and closed libraries."""
    plugins = fixture_file(PLUGINS[name])
    with started([fixture_file(name), plugins / "libplain.so", plugins / "libneedy.so"]) as program:
        program.expect("ready")
        assert _names(listed(program.pid)) == program.values("map")
        for order in (f"open {plugins}/libopener.so", f"close {plugins}/libplain.so"):
            before = len(program.values("map"))
            program.ask(order, "ready")
            assert _names(listed(program.pid)) == program.values("map")[before:]


def test_further_namespaces_are_seen_each_with_its_number(fixture_file: FixtureFile) -> None:
    plugins = fixture_file("process/plugins")
    program_file = fixture_file("process/dlopen")
    with started([program_file, "-n", plugins / "libneedy.so", "-n", plugins / "libplain.so"]) as program:
        program.expect("ready")
        found = listed(program.pid)
        reported = [line.split(" ", 1) for line in program.values("other")]
    assert found.version >= 2
    assert {entry.namespace for entry in found.entries} == {0, 1, 2}
    assert [[str(e.namespace), e.name] for e in found.entries if e.namespace] == reported
    assert _names(found) == program.values("map")


def test_a_preload_and_an_auditor_stand_where_the_loader_put_them(
    fixture_file: FixtureFile, require_tool: RequireTool, tmp_path: Path
) -> None:
    """An auditor lives in a namespace of its own, with a libc of its own (rtld-audit(7))."""
    version = '#include <stdlib.h>\nunsigned la_version(unsigned v) { return getenv("NO_AUDIT") ? 0 : v; }'
    auditor = _compiled(require_tool, tmp_path, "auditor.so", version, "-shared", "-fPIC")
    preload = fixture_file("process/plugins") / "libplain.so"
    env = {"LD_PRELOAD": os.fspath(preload), "LD_AUDIT": os.fspath(auditor)}
    with started([fixture_file("process/dlopen")], env=env) as program:
        program.expect("ready")
        found = listed(program.pid)
        assert _names(found) == program.values("map")
    assert _names(found)[2] == os.fspath(preload)
    assert _names(found, 1)[0] == os.fspath(auditor)
    assert any(name.endswith("/libc.so.6") for name in _names(found, 1))


def test_pldd_lists_the_same(fixture_file: FixtureFile, require_tool: RequireTool) -> None:
    """It leaves the program itself out of the list, and shows its real name at the top; the vdso is in both."""
    with started([fixture_file("process/dlopen"), fixture_file("process/plugins") / "libopener.so"]) as program:
        program.expect("ready")
        pldd = subprocess.run([require_tool("pldd"), str(program.pid)], capture_output=True, text=True)
        found = _names(listed(program.pid))
    assert pldd.stdout.splitlines()[1:] == [name for name in found if name]


# --- How a program was linked and started -----------------------------------------------------------------------------

WAITS = """
#include <iconv.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    if (argc > 1)
        iconv_open("UTF-16", argv[1]);
    puts("ready");
    fflush(stdout);
    alarm(600);
    for (;;)
        pause();
}
"""
LINKED = {
    "pie": (),
    "no-pie": ("-no-pie",),
    "no-relro": ("-Wl,-z,norelro",),
    "relr": ("-Wl,-z,pack-relative-relocs",),
    "separate-code": ("-Wl,-z,separate-code",),
    "no-separate-code": ("-Wl,-z,noseparate-code",),
    "high-base": ("-no-pie", "-Wl,-Ttext-segment=0x70000000"),
}


def _mapped_files(pid: int) -> set[str]:
    """The ELF files with code, as /proc shows them."""
    return {m.name for m in mappings.read_maps(pid) if m.executable and m.is_file}


def _entry_files(pid: int, found: LinkMapMemory) -> set[str]:
    places = Places(mappings.read_maps(pid))
    files = {mapping.name for entry in found.entries if (mapping := entry_mapping(entry, places)) is not None}
    return files - {"[vdso]"}


@pytest.mark.parametrize("explicit", [False, True], ids=["kernel", "loader"])
@pytest.mark.parametrize("flags", LINKED.values(), ids=LINKED)
def test_a_dynamic_program_is_read_however_it_was_linked_and_started(
    require_tool: RequireTool, tmp_path: Path, flags: tuple[str, ...], explicit: bool
) -> None:
    """A program started through its loader (`ld.so ./app`) is in the link map, though AT_PHDR is the loader's."""
    app = _compiled(require_tool, tmp_path, "app", WAITS, *flags)
    with started([GLIBC_LOADER, app] if explicit else [app]) as program:
        program.expect("ready")
        found = listed(program.pid)
        assert _entry_files(program.pid, found) == _mapped_files(program.pid)
    names = [os.path.basename(entry.name) for entry in found.entries]
    assert names == ["", "linux-vdso.so.1", "libc.so.6", "ld-linux-x86-64.so.2"]
    assert found.entries[0].names.needed == ("libc.so.6",)
    assert found.entries[2].names.soname == "libc.so.6"


@pytest.mark.parametrize("explicit", [False, True], ids=["kernel", "loader"])
def test_musl_programs_are_read(require_tool: RequireTool, tmp_path: Path, explicit: bool) -> None:
    app = _compiled(require_tool, tmp_path, "app", WAITS, by="musl-gcc")
    with started([MUSL_LOADER, app] if explicit else [app]) as program:
        program.expect("ready")
        found = listed(program.pid)
        assert _entry_files(program.pid, found) == _mapped_files(program.pid)
    assert [entry.name for entry in found.entries[:2]] == [os.fspath(app), MUSL_LOADER]
    assert found.entries[0].names.needed == ("libc.so",)


@pytest.mark.parametrize("explicit", [False, True], ids=["kernel", "loader"])
def test_without_dt_debug_the_loaders_symbol_leads_to_the_link_map(
    require_tool: RequireTool, tmp_path: Path, explicit: bool
) -> None:
    """A library that was started through the loader has none, nor a program from which the tag was taken away."""
    app = _compiled(require_tool, tmp_path, "app", WAITS)
    data = app.read_bytes()
    tag = struct.pack("<qQ", c.DT_DEBUG, 0)
    assert data.count(tag) == 1
    app.write_bytes(data.replace(tag, struct.pack("<qQ", 0x6000000D, 0)))
    with (
        started([GLIBC_LOADER, app] if explicit else [app]) as program,
        open_reader(GLIBC_LOADER) as reader,
    ):
        program.expect("ready")
        loader = read_image(reader)
        with inside(program.pid) as process:
            base = process.vector[procfs.AT_ENTRY if explicit else procfs.AT_BASE] - (loader.entry if explicit else 0)
            memory, mapped = process.memory, process.places.mappings
            found = read_by_carriers(memory, mapped, loader.layout, [Carrier(base, loader, reader)])
            assert isinstance(read_link_map(memory, mapped, process.vector, loader.layout), NoLinkMap)
        assert isinstance(found, LinkMapMemory)
        assert _entry_files(program.pid, found) == _mapped_files(program.pid)


STATIC = {"static": ("-static", "-no-pie"), "static-pie": ("-static-pie",)}


@pytest.mark.parametrize("flags", STATIC.values(), ids=STATIC)
def test_what_a_static_program_loads_after_all_is_seen(
    require_tool: RequireTool, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """By the symbol in .symtab; a static-pie has DT_DEBUG (glibc 2.36, observed)."""
    app = _compiled(require_tool, tmp_path, "app", WAITS, *flags)
    with started([app, "CP1047"]) as program:
        program.expect("ready")
        loaded = _mapped_files(program.pid) - {os.fspath(app)}
        assert _entry_files(program.pid, listed(program.pid)) - {os.fspath(app)} == loaded
        assert any(name.endswith("IBM1047.so") for name in loaded)


def test_a_static_program_has_no_link_map(fixture_file: FixtureFile) -> None:
    for name in ("process/states-static", "process/states-musl-static"):
        with started([fixture_file(name), "sleeping"]) as program:
            program.expect("ready")
            assert link_map(program.pid) == NoLinkMap("no dynamic section in memory leads to a link map")


def test_a_program_that_has_only_just_been_started_has_none_yet(
    require_tool: RequireTool, fixture_file: FixtureFile
) -> None:
    """The kernel stops a traced process at its execve, before the loader has run."""
    commands = [f"exec-file {fixture_file('process/dlopen')}", "starti", "info inferiors"]
    gdb = [require_tool("gdb"), "-nx", "-q", *(word for command in commands for word in ("-ex", command))]
    with started([*gdb, "-ex", "echo ready\\n"]) as debugger:
        debugger.expect("ready")
        pid = next(int(line.split("process ")[1].split()[0]) for line in debugger.lines if "process " in line)
        found = link_map(pid)
    assert isinstance(found, NoLinkMap)
    assert found.early


# --- While it changes, and where it is loaded -------------------------------------------------------------------------


def test_many_threads_of_dlopen_and_dlclose_are_looked_at_without_harm(
    require_tool: RequireTool, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """While the list changes, an answer comes all the same, and it never names what was never loaded."""
    source = """
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    alarm(600);
    puts("ready");
    fflush(stdout);
    for (;;)
        for (int i = 1; i < argc; i++)
            dlclose(dlopen(argv[i], RTLD_NOW));
}
"""
    app = _compiled(require_tool, tmp_path, "app", source)
    plugins = [os.fspath(fixture_file("process/plugins") / f"lib{name}.so") for name in ("plain", "late", "needy")]
    with started([app, *plugins]) as program:
        program.expect("ready")
        whole = 0

        def looked() -> bool:
            nonlocal whole
            found = link_map(program.pid)
            if isinstance(found, LinkMapMemory) and found.broken is None and found.state == "consistent":
                whole += 1
            return whole >= 20

        until(looked, "twenty answers that are whole")


@pytest.mark.parametrize("name", ["process/dlopen", "process/states-static", "process/dlopen-musl"])
def test_the_load_address_of_a_program_leads_from_its_entry_to_the_kernels(
    fixture_file: FixtureFile, name: str
) -> None:
    with started([fixture_file(name), "sleeping"]) as program:
        program.expect("ready")
        with inside(program.pid) as process:
            (carrier,) = process.carriers
            assert carrier.base + process.image.entry == process.vector[procfs.AT_ENTRY]


def test_a_library_in_two_namespaces_has_two_load_addresses(fixture_file: FixtureFile) -> None:
    """The link map says which."""
    plain = fixture_file("process/plugins") / "libplain.so"
    with (
        started([fixture_file("process/dlopen"), plain, "-n", plain]) as program,
        open_reader(os.fspath(plain)) as reader,
    ):
        program.expect("ready")
        image = read_image(reader)
        own = [mapping for mapping in mappings.read_maps(program.pid) if mapping.name == os.fspath(plain)]
        bases = {entry.base for entry in listed(program.pid).entries if entry.name == os.fspath(plain)}
        assert len(bases) == 2
        assert set(load_addresses(image.segments, own, image.layout.word)) == bases


# --- Every process of the machine -------------------------------------------------------------------------------------


def test_every_process_of_the_machine_lists_the_files_that_it_has_mapped() -> None:
    """Where a program has a link map, its entries are the mapped ELF files with code, and the reverse."""
    seen = 0
    for pid in everybody():
        try:
            found = link_map(pid)
            if isinstance(found, NoLinkMap):
                continue
            mapped = _mapped_files(pid)
            files = _entry_files(pid, found)
            again = link_map(pid)
        except (LinkScopeError, OSError):
            continue  # it has ended meanwhile
        if found != again or found.state != "consistent":
            continue
        assert found.broken is None
        assert files <= mapped, f"{pid}: {files - mapped}"
        assert {name for name in mapped - files if ".so" in name} == set(), f"{pid}: {mapped - files}"
        seen += 1
    assert seen


def test_names_out_of_memory_are_those_of_the_files(fixture_file: FixtureFile) -> None:
    """readelf reads the files."""
    with started([fixture_file("process/dlopen"), fixture_file("process/plugins") / "libneedy.so"]) as program:
        program.expect("ready")
        for entry in listed(program.pid).entries:
            if not entry.name.startswith("/"):
                continue
            told = subprocess.run(["readelf", "-dW", entry.name], capture_output=True, text=True, check=True).stdout
            rows = [line.split("[")[1].rstrip("]") for line in told.splitlines() if "(NEEDED)" in line]
            assert entry.names.needed == tuple(rows)


def test_this_very_process_is_read() -> None:
    found = listed(os.getpid())
    assert any("libc.so" in entry.name for entry in found.entries)

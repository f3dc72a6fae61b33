"""The link map out of memory: judged by the program's own report, by pldd and by /proc/PID/maps."""

import os
import struct
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.elf import constants as c
from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.elf.segments import LAYOUTS, Layout, Segment
from linkscope.errors import LinkScopeError
from linkscope.process import mappings, procfs
from linkscope.process.image_memory import Places, load_addresses, pointer, read_dynamic, read_names, segments_at
from linkscope.process.linkmap_memory import (
    Carrier,
    Entry,
    LinkMapMemory,
    NoLinkMap,
    entry_mapping,
    read_by_carriers,
    read_link_map,
)
from tests.process.inside import PAGE, Pages, everybody, inside, link_map, listed
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


# --- Other machines, made up: 32 bits, the other byte order, MIPS -----------------------------------------------------

STRINGS = b"\0libc.so.6\0libx.so\0"


def _made_up(layout: Layout, tags: tuple[tuple[int, int], ...], debug_at: int = 0x30000) -> dict[int, bytes]:
    """A program at 0x10000 whose r_debug lies at `debug_at`, with two objects; the second is the first's mirror."""
    order, word = layout.order, layout.word
    letter = "Q" if word == 8 else "I"
    dynamic = b"".join(layout.dynamic.pack(tag, value) for tag, value in (*tags, (c.DT_NULL, 0)))
    pad = "4x" if word == 8 else ""
    debug = struct.pack(f"{order}i{pad}{letter}{letter}i{pad}{letter}{letter}", 1, 0x30100, 0, 0, 0, 0)
    first = struct.pack(f"{order}5{letter}", 0x10000, 0x30300, 0x10800, 0x30200, 0)
    second = struct.pack(f"{order}5{letter}", 0x50000, 0x30310, 0, 0, 0x30100)
    segment = _segment(layout, _PHDR, 0x40, 0x40) + _segment(layout, c.PT_DYNAMIC, 0x800, 0x800)
    program = bytes(0x40) + segment.ljust(0x3C0, b"\0") + STRINGS.ljust(0x400, b"\0") + dynamic.ljust(0x800, b"\0")
    data = bytearray(0x1000)
    data[:0x28] = debug.ljust(0x28, b"\0")
    data[0x100 : 0x100 + len(first)] = first
    data[0x200 : 0x200 + len(second)] = second
    data[0x300:0x320] = b"".ljust(0x10, b"\0") + b"/lib/libx.so".ljust(0x10, b"\0")
    data[0x400 : 0x400 + word] = (debug_at).to_bytes(word, "little" if order == "<" else "big")
    return {0x10000: program, 0x30000: bytes(data)}


_PHDR = 6


def _segment(layout: Layout, kind: int, offset: int, address: int) -> bytes:
    if layout.word == 8:
        return layout.segment.pack(kind, 6, offset, address, address, 0x100, 0x100, 8)
    return layout.segment.pack(kind, offset, address, address, 0x100, 0x100, 6, 8)


MAPPINGS = [
    mappings.Mapping(0x10000, 0x11000, True, True, False, False, 0, (1, 1), "/app"),
    mappings.Mapping(0x30000, 0x31000, True, True, False, False, 0, (0, 0), ""),
]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: f"{layout.word * 8}{layout.order}")
@pytest.mark.parametrize("kind", ["debug", "rld-map", "rld-map-rel"])
def test_every_layout_and_the_ways_of_mips_lead_to_the_link_map(layout: Layout, kind: str) -> None:
    """The d_ptr values are not relocated here, as with musl and on MIPS."""
    entry_at = 0x10800 + 2 * layout.dynamic.size
    lead = {
        "debug": (c.DT_DEBUG, 0x30000),
        "rld-map": (c.DT_MIPS_RLD_MAP, 0x30400),
        "rld-map-rel": (c.DT_MIPS_RLD_MAP_REL, 0x30400 - entry_at),
    }[kind]
    tags = ((c.DT_STRTAB, 0x400), (c.DT_NEEDED, 1), lead, (c.DT_SONAME, 11), (c.DT_STRSZ, len(STRINGS)))
    memory = Pages(_made_up(layout, tags))
    vector = {procfs.AT_PHDR: 0x10040, procfs.AT_PHENT: layout.segment.size, procfs.AT_PHNUM: 2}
    found = read_link_map(memory, MAPPINGS, vector, layout)
    assert isinstance(found, LinkMapMemory)
    assert (found.version, found.state, found.broken) == (1, "consistent", None)
    assert [(entry.name, entry.base) for entry in found.entries] == [("", 0x10000), ("/lib/libx.so", 0x50000)]
    assert found.entries[0].names.needed == ("libc.so.6",)
    assert found.entries[0].names.soname == "libx.so"


# --- Hostile memory ---------------------------------------------------------------------------------------------------

LAYOUT_64 = LAYOUTS[2, 1]
VECTOR_64 = {procfs.AT_PHDR: 0x10040, procfs.AT_PHENT: 56, procfs.AT_PHNUM: 2}
TAGS = ((c.DT_DEBUG, 0x30000), (c.DT_STRTAB, 0x400), (c.DT_NEEDED, 1), (c.DT_STRSZ, len(STRINGS)))


def _changed(at: int, data: bytes) -> dict[int, bytes]:
    """A made-up program with DATA written over its memory at an address."""
    pieces = _made_up(LAYOUT_64, TAGS)
    start = at & ~0xFFFF
    piece = bytearray(pieces[start])
    piece[at - start : at - start + len(data)] = data
    return {**pieces, start: bytes(piece)}


def _read(pieces: Mapping[int, bytes]) -> LinkMapMemory | NoLinkMap:
    return read_link_map(Pages(pieces), MAPPINGS, VECTOR_64, LAYOUT_64)


BROKEN = {
    "a-ring": (0x30218, struct.pack("<QQ", 0x30100, 0x30100)),
    "its-own-next": (0x30118, struct.pack("<Q", 0x30100)),
    "next-nowhere": (0x30218, struct.pack("<Q", 0xDEAD000)),
    "name-nowhere": (0x30208, struct.pack("<Q", 0xDEAD000)),
    "another-previous": (0x30220, struct.pack("<Q", 0x30180)),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_list_that_breaks_off_says_so(change: tuple[int, bytes]) -> None:
    found = _read(_changed(*change))
    assert isinstance(found, LinkMapMemory)
    assert found.broken is not None
    assert found.entries[0].name == ""


def test_a_ring_of_namespaces_ends() -> None:
    """r_version 2, and r_next leads back."""
    pieces = _changed(0x30000, struct.pack("<i", 2))
    data = bytearray(pieces[0x30000])
    data[40:48] = struct.pack("<Q", 0x30000)
    found = _read({**pieces, 0x30000: bytes(data)})
    assert isinstance(found, LinkMapMemory)
    assert found.broken is not None
    assert len(found.entries) == 2


def test_a_state_that_changes_is_told() -> None:
    for state, word in enumerate(("consistent", "adding", "deleting")):
        found = _read(_changed(0x30018, struct.pack("<i", state)))
        assert isinstance(found, LinkMapMemory)
        assert found.state == word


WRONG = {
    "no-version": (0x30000, struct.pack("<i", 0)),
    "a-strange-state": (0x30018, struct.pack("<i", 7)),
    "no-list": (0x30008, struct.pack("<Q", 0)),
    "list-nowhere": (0x30008, struct.pack("<Q", 0xDEAD000)),
    "debug-nowhere": (0x10808, struct.pack("<Q", 0xDEAD000)),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_is_no_r_debug_gives_no_link_map(change: tuple[int, bytes]) -> None:
    assert isinstance(_read(_changed(*change)), NoLinkMap)


ADDRESSES = st.one_of(
    st.integers(0x10000, 0x10FFF), st.integers(0x30000, 0x30FFF), st.integers(0, (1 << 64) - 1), st.just(0x30100)
)


@given(st.dictionaries(st.integers(0, 255), ADDRESSES, max_size=64), st.binary(max_size=64))
def test_any_memory_gives_an_answer(words: dict[int, int], noise: bytes) -> None:
    """Words of a program's memory replaced by pointers of all kinds, and bytes by others."""
    pieces = {start: bytearray(piece) for start, piece in _made_up(LAYOUT_64, TAGS).items()}
    for place, value in words.items():
        start = 0x10000 if place & 1 else 0x30000
        at = 0x800 * (place & 1) + place // 2 * 8 % 0x400
        pieces[start][at : at + 8] = struct.pack("<Q", value)
    pieces[0x10000][0x400 : 0x400 + len(noise)] = noise
    found = _read({start: bytes(piece) for start, piece in pieces.items()})
    assert isinstance(found, LinkMapMemory | NoLinkMap)


@given(
    st.dictionaries(st.integers(0, 8).map(lambda page: page * PAGE), st.binary(min_size=1, max_size=512), max_size=8),
    st.sampled_from(list(LAYOUTS.values())),
    st.dictionaries(st.sampled_from([3, 4, 5]), st.integers(0, 1 << 64), max_size=3),
)
def test_random_pages_give_an_answer(pieces: dict[int, bytes], layout: Layout, vector: dict[int, int]) -> None:
    memory = Pages({start: (data * PAGE)[:PAGE] for start, data in pieces.items()})
    found = read_link_map(memory, MAPPINGS, {procfs.AT_PHENT: layout.segment.size, **vector}, layout)
    assert isinstance(found, LinkMapMemory | NoLinkMap)
    places = Places(MAPPINGS)
    for address in pieces:
        pairs = read_dynamic(memory, address, layout)
        if pairs is not None:
            read_names(memory, pairs, pointer(address, 0, address, places, layout.word), 1 << 20)


def test_an_entry_belongs_to_the_file_that_holds_its_dynamic_section() -> None:
    places = Places(MAPPINGS)
    for base, dynamic, expected in (
        (0, 0x10800, MAPPINGS[0]),
        (0x10000, 0, MAPPINGS[0]),
        (0x10000, 0xDEAD000, MAPPINGS[0]),
        (0, 0, None),
        (0x11000, 0, None),
    ):
        assert entry_mapping(Entry(0, base, "", dynamic), places) == expected


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


ENDS = {
    "with-an-end": (bytes(512), bytes(512)),
    "without-an-end": (b"", b""),
    "names-without-an-end": (bytes(512), b""),
}


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_a_list_without_end_and_names_without_measure_take_bounded_time(ends: tuple[bytes, bytes]) -> None:
    """Sixteen thousand link maps, each with a dynamic section of thousands of names that are the same long string."""
    count = 20_000
    links = bytearray()
    for place in range(count):
        at = 0x100000 + place * 40
        links += struct.pack("<5Q", 0, 0, 0x800000, at + 40, at - 40 if place else 0)
    dynamic = (
        struct.pack("<qQqQ", c.DT_STRTAB, 0x900000, c.DT_STRSZ, 1 << 16) + struct.pack("<qQ", c.DT_NEEDED, 0) * 4000
    )
    debug = struct.pack("<i4xQQi4xQQ", 1, 0x100000, 0, 0, 0, 0)
    pieces = _made_up(LAYOUT_64, TAGS)
    pieces[0x30000] = debug + pieces[0x30000][len(debug) :]
    pieces |= {0x100000: bytes(links), 0x800000: dynamic + ends[0], 0x900000: b"x" * 30_000 + ends[1]}
    memory = Pages(pieces)
    found = read_link_map(memory, MAPPINGS, VECTOR_64, LAYOUT_64)
    assert isinstance(found, LinkMapMemory)
    assert found.broken is not None
    assert len(found.entries) == 1 << 14
    assert memory.reads < 200_000


def test_a_file_that_is_mapped_thousands_of_times_is_tried_once_and_at_a_bounded_number_of_addresses() -> None:
    """As by a static program that maps a library again and again: any of them may be where its code was loaded."""
    count = 4000
    segment = _segment(LAYOUT_64, c.PT_LOAD, 0, 0) + _segment(LAYOUT_64, c.PT_DYNAMIC, 0x800, 0x800)
    code = segment.replace(struct.pack("<II", c.PT_LOAD, 6), struct.pack("<II", c.PT_LOAD, 5))
    file = (_header(2) + code).ljust(0x1000, b"\0")
    places = [0x100000 + place * 0x1000 for place in range(count)]
    memory = Pages(dict.fromkeys(places, file))
    own = [mappings.Mapping(at, at + 0x1000, True, False, True, False, 0, (1, 1), "/libm.so") for at in places]
    assert len(load_addresses(segments_at(memory, places[0] + 64, 2, LAYOUT_64), own, 8)) == count
    memory.reads = 0
    assert isinstance(read_link_map(memory, own, {}, LAYOUT_64), NoLinkMap)
    assert 64 <= memory.reads < 200


def test_a_thousand_segments_are_not_all_looked_for_at_each_of_a_thousand_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []
    at = Places.at

    def counted(self: Places, address: int) -> mappings.Mapping | None:
        looks.append(address)
        return at(self, address)

    monkeypatch.setattr(Places, "at", counted)
    segments = [Segment(c.PT_LOAD, 5, 0, 0, 0x100, 0x100, 8)] * 1000
    places = [0x100000 + place * 0x1000 for place in range(1000)]
    own = [mappings.Mapping(it, it + 0x1000, True, False, True, False, 0, (1, 1), "/x.so") for it in places]
    assert load_addresses(segments, own, 8) == places
    assert len(looks) < 40_000


def test_carriers_alone_are_tried_when_they_are_asked() -> None:
    """The files that are mapped were asked already."""
    memory = Pages(_made_up(LAYOUT_64, TAGS))
    assert isinstance(read_by_carriers(memory, MAPPINGS, LAYOUT_64, []), NoLinkMap)
    assert memory.reads == 0


def _header(segments: int) -> bytes:
    """An ELF header whose program headers stand behind it."""
    return LAYOUT_64.header.pack(
        b"\x7fELF\2\1\1".ljust(16, b"\0"), 3, 62, 1, 0, 64, 0, 0, 64, LAYOUT_64.segment.size, segments, 0, 0, 0
    )

"""Executable memory of no file, and the engines that make it: real ones are started, and the table keeps its form."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from linkscope.errors import LinkScopeError
from linkscope.process import jits, mappings
from linkscope.process.jits import Engine, Region, engine_for, engines, executable_memory
from linkscope.process.mappings import Mapping
from linkscope.process.tables import read_table
from tests.oracle.availability import Unavailable
from tests.process.inside import PAGE, everybody, file_of
from tests.process.started import Started, started, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]


def _regions(pid: int) -> list[Region]:
    """Every region, with what the process has mapped told as its callers do."""
    found = mappings.read_maps(pid)
    code = [mapping for mapping in found if mapping.executable and mapping.is_file]
    programs = {mapping.identity for mapping in code if _is_elf(pid, mapping)}
    return executable_memory(found, programs, [mapping.name for mapping in code])


def _is_elf(pid: int, mapping: Mapping) -> bool:
    with open(file_of(pid, mapping), "rb") as file:
        return file.read(4) == b"\x7fELF"


# --- Memory of no file ------------------------------------------------------------------------------------------------

VARIANTS = ("", "-static", "-musl", "-musl-static")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("what", "writable"), [("anon", False), ("wx", True)])
def test_anonymous_executable_memory_is_found_where_the_program_says(
    fixture_file: FixtureFile, what: str, writable: bool, variant: str
) -> None:
    with started([fixture_file(f"process/hooked{variant}"), what]) as program:
        address = program.number("address")
        program.expect("ready")
        assert _regions(program.pid) == [Region(address, PAGE, writable, "memory", "", None)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_program_that_makes_no_code_has_none(fixture_file: FixtureFile, variant: str) -> None:
    """The vdso and the vsyscall page are the kernel's."""
    with started([fixture_file(f"process/states{variant}"), "sleeping"]) as program:
        program.expect("ready")
        assert _regions(program.pid) == []


MAPS = """
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <unistd.h>
#define RX PROT_READ | PROT_EXEC
#define RWX PROT_READ | PROT_WRITE | PROT_EXEC
static void say(const char *what, void *where) { printf("%s %p\\n", what, where); }
int main(void)
{
    long page = sysconf(_SC_PAGESIZE);
    alarm(600);
    int memfd = memfd_create("code", 0);
    ftruncate(memfd, page);
    say("memfd", mmap(0, page, RX, MAP_SHARED, memfd, 0));
    say("shared", mmap(0, page, RX, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    int id = shmget(IPC_PRIVATE, page, 0600);
    say("sysv", shmat(id, 0, SHM_EXEC));
    shmctl(id, IPC_RMID, 0);
    char name[] = "codeXXXXXX";
    int file = mkstemp(name);
    ftruncate(file, 2 * page);
    say("kept", mmap(0, page, RX, MAP_PRIVATE, file, page));
    say("written", mmap(0, page, RWX, MAP_PRIVATE, file, 0));
    char gone[] = "goneXXXXXX";
    file = mkstemp(gone);
    unlink(gone);
    ftruncate(file, page);
    say("gone", mmap(0, page, RX, MAP_SHARED, file, 0));
    char *three = mmap(0, 4 * page, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(three + 3 * page, page, PROT_NONE);
    mprotect(three + page, page, RX);
    say("three", three);
    char *heap = sbrk(page);
    heap = (char *)((unsigned long)heap & -page);
    mprotect(heap, page, RWX);
    say("heap", heap);
    char local;
    mprotect((char *)((unsigned long)&local & -page), page, RWX);
    say("stack", (char *)((unsigned long)&local & -page));
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
"""


def test_every_kind_of_executable_memory_is_told(require_tool: RequireTool, tmp_path: Path) -> None:
    """A file that has a name and is not writable is code of a file, be it an ELF file or not."""
    source, made = tmp_path / "maps.c", tmp_path / "maps"
    source.write_text(MAPS)
    subprocess.run([require_tool("gcc"), source, "-w", "-o", made], check=True)
    with started([made], cwd=tmp_path) as program:
        program.expect("ready")
        said = {word: int(address, 16) for word, address in (line.split() for line in program.lines if " " in line)}
        found = {region.address: region for region in _regions(program.pid)}
    kept = said.pop("kept")
    assert kept not in found
    expected = {
        said["memfd"]: ("shared memory", PAGE, False),
        said["shared"]: ("shared memory", PAGE, False),
        said["sysv"]: ("shared memory", PAGE, True),
        said["gone"]: ("shared memory", PAGE, False),
        said["written"]: ("file", PAGE, True),
        said["three"]: ("memory", PAGE, True),
        said["three"] + PAGE: ("memory", PAGE, False),
        said["three"] + 2 * PAGE: ("memory", PAGE, True),
        said["heap"]: ("heap", PAGE, True),
        said["stack"]: ("stack", PAGE, True),
    }
    assert {at: (region.place, region.size, region.writable) for at, region in found.items()} == expected
    assert {region.engine for region in found.values()} == {None}


def _mapping(start: int, pages: int, **changes: object) -> Mapping:
    fields: dict[str, object] = {
        "start": start,
        "end": start + pages * PAGE,
        "readable": True,
        "writable": True,
        "executable": True,
        "shared": False,
        "offset": 0,
        "identity": (0, 0),
        "name": "",
    }
    return msgspec.convert({**fields, **changes}, Mapping)


def test_neighbours_of_one_kind_are_one_region() -> None:
    """Another name, another protection and a gap end it."""
    found = executable_memory(
        [
            _mapping(0, 2),
            _mapping(2 * PAGE, 1),
            _mapping(3 * PAGE, 1, writable=False),
            _mapping(4 * PAGE, 1, writable=False, name="[anon:v8]"),
            _mapping(6 * PAGE, 1, writable=False, name="[anon:v8]"),
        ],
        (),
        (),
    )
    assert [(region.address // PAGE, region.size // PAGE, region.engine) for region in found] == [
        (0, 3, None),
        (3, 1, None),
        (4, 1, "V8"),
        (6, 1, "V8"),
    ]


def test_a_program_in_a_memfd_is_no_anonymous_memory(fixture_file: FixtureFile) -> None:
    plugin = fixture_file("process/plugins") / "libplain.so"
    with started([fixture_file("process/dlopen"), "-m", plugin]) as program:
        program.expect("ready")
        assert any(m.executable and m.name.startswith("/memfd:") for m in mappings.read_maps(program.pid))
        assert _regions(program.pid) == []


# --- Real engines -----------------------------------------------------------------------------------------------------


def _engines_of(program: Started) -> set[str | None]:
    """Who makes the code of a program, once it has some."""
    regions = until(lambda: _regions(program.pid), "executable memory")
    assert {region.place for region in regions} <= {"memory", "shared memory"}
    return {region.engine for region in regions}


JAVA = """
class Ready {
    public static void main(String[] a) throws Exception { System.out.println("ready"); Thread.sleep(600000); }
}
"""


def test_java_is_named(require_tool: RequireTool, tmp_path: Path) -> None:
    (tmp_path / "Ready.java").write_text(JAVA)
    subprocess.run([require_tool("javac"), "-d", tmp_path, tmp_path / "Ready.java"], check=True, capture_output=True)
    with started([require_tool("java"), "-cp", tmp_path, "Ready"]) as program:
        program.expect("ready")
        assert _engines_of(program) == {"HotSpot (Java)"}


def test_node_is_named(require_tool: RequireTool) -> None:
    """It makes code once a function is hot."""
    hot = "let n = 0; for (let i = 0; i < 3e6; i++) n += i % 7; console.log('ready'); setTimeout(() => n, 6e5)"
    with started([require_tool("node"), "-e", hot]) as program:
        program.expect("ready")
        assert _engines_of(program) == {"V8"}


def test_qemu_is_named(require_tool: RequireTool, fixture_file: FixtureFile) -> None:
    with started([require_tool("qemu-x86_64-static"), fixture_file("process/states-static"), "sleeping"]) as program:
        program.expect("ready")
        assert _engines_of(program) == {"QEMU's translator"}


def test_regular_expressions_that_pcre_compiles_are_named(require_tool: RequireTool, tmp_path: Path) -> None:
    library = next((path for path in Path("/usr/lib").rglob("libpcre2-8.so.0")), None)
    if library is None:
        raise Unavailable("libpcre2-8.so.0 is not here (Debian package libpcre2-8-0)")
    source, made = tmp_path / "match.c", tmp_path / "match"
    source.write_text(
        """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
void *pcre2_compile_8(const char *, size_t, uint32_t, int *, size_t *, void *);
int pcre2_jit_compile_8(void *, uint32_t);
int main(void)
{
    int error;
    size_t place;
    alarm(600);
    int done = pcre2_jit_compile_8(pcre2_compile_8("a+b|c", 5, 0, &error, &place, NULL), 1);
    printf("compiled %d\\nready\\n", done);
    fflush(stdout);
    for (;;)
        pause();
}
"""
    )
    subprocess.run([require_tool("gcc"), source, library, "-o", made], check=True)
    with started([made]) as program:
        assert program.number("compiled") == 0
        assert _engines_of(program) == {"PCRE"}


def test_closures_of_ctypes_are_named() -> None:
    """Of libffi, which static trampolines spare from making code where they are on (libffi 3.4): then there is none."""
    code = (
        "import ctypes, time\n"
        "keep = [ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1) for _ in range(9)]\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    python = os.path.realpath(shutil.which("python3") or "/usr/bin/python3")
    with started([python, "-c", code]) as program:
        program.expect("ready")
        assert {region.engine for region in _regions(program.pid)} <= {"libffi closures"}


def test_every_region_of_every_process_is_in_the_kernels_list() -> None:
    """Each executable line of maps is a region, or a mapping of the kernel, or of a file that is not writable."""
    for pid in everybody():
        try:
            found = mappings.read_maps(pid)
            regions = _regions(pid)
            if found != mappings.read_maps(pid):
                continue
        except (LinkScopeError, OSError, Unavailable):
            continue  # it has ended meanwhile
        sizes = sum(m.size for m in found if m.executable and not m.is_file and m.name not in ("[vdso]", "[vsyscall]"))
        assert sizes == sum(region.size for region in regions if region.place in ("memory", "stack", "heap"))


# --- The table --------------------------------------------------------------------------------------------------------

ROWS = {row.engine: row for row in engines()}


def test_every_engine_stands_in_the_table_once() -> None:
    assert len(ROWS) == len(engines())


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_explains_its_examples_and_not_what_it_refuses(row: Engine) -> None:
    """And each of its patterns for memory has an example, here or in the row of what it has inside."""
    patterns = [re.compile(pattern) for pattern in (*row.memory, *row.object)]
    assert patterns
    assert row.source
    assert row.examples
    assert row.refuses
    for example in row.examples:
        assert any(pattern.fullmatch(example) for pattern in patterns), example
    for name in row.refuses:
        assert not any(pattern.fullmatch(name) for pattern in patterns), name
    for pattern in map(re.compile, row.memory):
        assert any(pattern.fullmatch(example) for one in ROWS.values() for example in one.examples), pattern


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_a_row_explains_is_told_by_its_name(row: Engine) -> None:
    for example in row.examples:
        is_memory = any(re.fullmatch(pattern, example) for pattern in row.memory)
        found = engine_for(example, frozenset()) if is_memory else engine_for("", frozenset((example,)))
        assert found == row.engine


CHOICES = {
    "memory-counts-more-than-a-library": ("/memfd:libffi (deleted)", ["libjvm.so", "libffi.so.8"], "libffi closures"),
    "both-count-more-than-memory": ("/memfd:vmem (deleted)", ["beam.smp"], "BeamAsm (Erlang)"),
    "an-engine-counts-more-than-a-weak-one": (
        "",
        ["libLLVM-14.so.1", "libpcre2-8.so.0", "libjvm.so"],
        "HotSpot (Java)",
    ),
    "weak-ones-are-all-told": ("", ["libffi.so.8", "libpcre2-8.so.0"], "libffi closures or PCRE"),
    "an-unknown-name-does-not-count": ("[anon:mine]", ["node"], "V8"),
    "nothing-is-known": ("", ["libc.so.6", "ls"], None),
}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_one_engine_is_chosen(choice: tuple[str, Sequence[str], str | None]) -> None:
    memory, objects, expected = choice
    assert engine_for(memory, frozenset(objects)) == expected


def test_a_key_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    row = '[[engine]]\nengine = "x"\nsource = "x"\nexamples = []\nrefuses = []\nlibraries = ["x"]\n'
    (tmp_path / "jits.toml").write_text(row)
    with pytest.raises(msgspec.ValidationError, match="libraries"):
        read_table(os.fspath(tmp_path / "jits.toml"), jits._Table)

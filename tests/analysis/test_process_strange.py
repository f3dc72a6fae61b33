"""Processes that are hard to look at: they end, become another program, hide, or have mapped what is no library."""

import base64
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.analysis.process import each_process, processes
from linkscope.analysis.request import Looking
from linkscope.model.pid import PidDocument, Process, ProcessError
from tests.analysis.observed import (
    as_nobody,
    called,
    codes,
    elf_files,
    held,
    needs_root,
    objects,
    observed,
    origins,
    smaps,
)
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import Recipe, encode, executable, program, shared_object
from tests.oracle.machinecode import entry_size
from tests.process.started import NOBODY, Argument, as_user, started, state, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

VARIANTS = ["", "-static", "-musl", "-musl-static"]
NOT_THERE = "no such process"


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="strange-") as name:
        os.chmod(name, 0o755)
        yield Path(name).resolve()


def _compiled(require_tool: RequireTool, folder: Path, source: str, *flags: str) -> Path:
    (folder / "program.c").write_text(source)
    command: list[Argument] = [require_tool("gcc"), folder / "program.c", "-o", folder / "program", *flags]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "program"


def _whole(process: Process) -> None:
    """The objects are the files that the kernel shows, as they are, and nothing is missing or new."""
    assert {one.path for one in objects(process)} == {*elf_files(process.pid), "[vdso]"}
    assert {one.disk for one in objects(process)} <= {"same", "memfd"}
    assert process.absent == []
    assert {"stale-object", "other-path", "missing-object", "disk-unknown"}.isdisjoint(codes(process))


# --- Processes that go away or become another program -----------------------------------------------------------------


def test_a_process_that_has_ended_is_an_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    document = processes([process.pid])
    assert document == PidDocument(processes=[], errors=[ProcessError(pid=process.pid, error=NOT_THERE)])


@pytest.mark.parametrize("pid", [0, -1, 1 << 22, 1 << 40])
def test_a_number_that_no_process_has_is_an_error(pid: int) -> None:
    assert processes([pid]).errors == [ProcessError(pid=pid, error=NOT_THERE)]


def test_processes_that_come_and_go_meanwhile_make_no_trouble() -> None:
    """Asked for by number, each gives an answer or an error; of all processes, those that end are left out."""
    with started(["sh", "-c", "while :; do /bin/true; /bin/sleep 0.001; done"]):
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            for result in each_process(None, Looking(memory=False)):
                assert isinstance(result, Process | ProcessError)
    for _ in range(40):
        process = subprocess.Popen(["true"], stdin=subprocess.DEVNULL)
        document = processes([process.pid])
        process.wait()
        assert len(document.processes) + len(document.errors) == 1


BECOMES = """
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    static char line[4096];
    if (count < 3)
        return 1;
    execl(arguments[1], arguments[1], arguments[0], arguments[2], line, (char *)0);
    return 1;
}
"""


def test_a_process_in_the_midst_of_execve_is_the_one_or_the_other_and_never_a_mixture(
    require_tool: RequireTool, folder: Path
) -> None:
    """Two programs become each other, over and over: what is told of the process belongs to one of them."""
    library = shared_object(folder / "liba.so", soname="liba.so")
    dynamic = _compiled(require_tool, folder, BECOMES, os.fspath(library), "-Wl,--no-as-needed,-rpath,$ORIGIN")
    dynamic = dynamic.rename(folder / "dynamic")
    static = _compiled(require_tool, folder, BECOMES, "-static").rename(folder / "static")
    own = {
        "dynamic": {"dynamic", "liba.so", "libc.so.6", "ld-linux-x86-64.so.2", "[vdso]"},
        "static": {"static", "[vdso]"},
    }
    seen = {"dynamic": 0, "static": 0}
    with started([dynamic, static, "x"], env={}) as running:
        deadline = time.monotonic() + 20
        while min(seen.values()) < 40 and time.monotonic() < deadline:
            document = processes([running.pid], Looking(memory=False))
            assert not document.errors or "changes" in document.errors[0].error or not document.processes, document
            for process in document.processes:
                assert process.executable is not None
                name = os.path.basename(process.executable.path)
                seen[name] += 1
                assert process.name == name
                assert process.executable.linkage == name
                assert {os.path.basename(one.path) for one in objects(process)} <= own[name]
                assert {one.origin for one in objects(process)} <= {"executable", "interpreter", "needed", "vdso"}
                assert process.absent == []
                assert set(codes(process)) <= {"link-map-unknown", "orphan-unknown"}
        assert state(running.pid) != "Z"
    assert min(seen.values()) > 0, seen


def test_a_program_whose_loader_has_not_begun_misses_nothing(
    require_tool: RequireTool, fixture_file: FixtureFile
) -> None:
    """The kernel stops a traced process at its execve: what it needs is not mapped yet, and not absent either."""
    commands = [f"exec-file {fixture_file('process/dlopen')}", "starti", "info inferiors"]
    gdb = [require_tool("gdb"), "-nx", "-q", *(word for command in commands for word in ("-ex", command))]
    with started([*gdb, "-ex", "echo ready\\n"]) as debugger:
        debugger.expect("ready")
        pid = next(int(line.split("process ")[1].split()[0]) for line in debugger.lines if "process " in line)
        process = observed(pid)
    assert process.state == "tracing-stop"
    found = {"dlopen": "executable", "ld-linux-x86-64.so.2": "interpreter", "[vdso]": "vdso"}
    assert origins(process) == found
    assert process.absent == []
    assert [code for code in codes(process) if code != "orphan-unknown"] == ["link-map-unknown"]


OPENS_AND_CLOSES = """
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **arguments)
{
    puts("ready");
    fflush(stdout);
    for (;;)
        dlclose(dlopen(arguments[count - 1], RTLD_NOW));
}
"""


def test_a_process_that_opens_and_closes_libraries_is_told_as_it_was_at_one_moment(
    require_tool: RequireTool, fixture_file: FixtureFile, folder: Path
) -> None:
    """Or it is said that it does not keep still."""
    library = fixture_file("process/plugins/libneedy.so")
    answers = 0
    with started([_compiled(require_tool, folder, OPENS_AND_CLOSES), library]) as running:
        running.expect("ready")
        for _ in range(60):
            document = processes([running.pid], Looking(memory=False))
            for process in document.processes:
                answers += 1
                found = origins(process)
                assert found["libc.so.6"] == "needed"
                assert found.pop("libneedy.so", "dlopen") == "dlopen"
                assert found.pop("libneeded.so", "dlopen-needed").startswith("dlopen")
                assert set(found) == {"program", "[vdso]", "libc.so.6", "ld-linux-x86-64.so.2"}
                assert process.absent == []
                assert set(codes(process)) <= {"link-map-unknown", "orphan-unknown"}
            assert len(document.processes) + len(document.errors) == 1
    assert answers


MAIN_ENDS = """
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *stay(void *nothing)
{
    puts("ready");
    fflush(stdout);
    alarm(600);
    for (;;)
        pause();
    return nothing;
}
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, stay, 0);
    pthread_exit(0);
}
"""


def test_a_process_whose_main_thread_has_ended_is_no_zombie(require_tool: RequireTool, folder: Path) -> None:
    """The kernel shows it as one; another thread has its memory, and is asked instead."""
    with started([_compiled(require_tool, folder, MAIN_ENDS, "-pthread")]) as running:
        running.expect("ready")
        until(lambda: state(running.pid) == "Z", "the end of the main thread")
        process = observed(running.pid)
        mapped = {row.name for row in smaps(int(max(os.listdir(f"/proc/{running.pid}/task"), key=int))) if row.is_code}
    assert process.threads == 2
    assert process.executable is not None
    assert process.executable.path == f"{folder}/program"
    assert {one.path for one in objects(process)} == {*mapped, "[vdso]"}
    assert called(process, "libc.so.6").origin == "needed"
    assert process.memory is not None
    assert process.memory.rss > 0
    assert "zombie" not in codes(process)


# --- Processes without a program, or of others ------------------------------------------------------------------------


def test_a_thread_of_the_kernel_has_no_program() -> None:
    if "kthreadd" not in Path("/proc/2/comm").read_text():
        raise Unavailable("no threads of the kernel can be seen here")
    process = observed(2)
    assert (process.name, process.ppid, process.cmdline, process.user) == ("kthreadd", 0, [], "root")
    assert (process.executable, process.objects, process.libraries, process.absent) == (None, [], 0, [])
    assert "kernel-thread" in codes(process)
    assert "not-predicted" not in codes(process)


def test_a_zombie_has_no_program_any_more(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states"), "zombie"]) as running:
        pid = running.number("pid")
        until(lambda: state(pid) == "Z", "a zombie")
        zombie, mother = observed(pid), observed(running.pid)
    assert (zombie.state, zombie.ppid, zombie.name, zombie.cmdline) == ("zombie", running.pid, "states", [])
    assert (zombie.executable, zombie.objects, zombie.libraries) == (None, [], 0)
    assert "zombie" in codes(zombie)
    assert "not-permitted" not in codes(zombie)
    assert mother.family.zombies == [pid]


def test_somebody_elses_process_is_told_in_part(fixture_file: FixtureFile) -> None:
    """What everybody may read is there, all else is null, with a reason, and an error beside."""
    with started([fixture_file("servers/threads"), "-p", "0"]) as running:
        running.expect("port")
        whole, document = observed(running.pid), as_nobody([running.pid])
    (process,) = document.processes
    assert process.cmdline == whole.cmdline
    assert (process.ppid, process.name, process.state, process.threads) == (whole.ppid, "threads", "sleeping", 1)
    assert (process.user, round(process.started, 1)) == (whole.user, round(whole.started, 1))
    assert (process.executable, process.objects, process.libraries, process.memory) == (None, None, None, None)
    assert process.absent == []
    assert [code for code in codes(process) if code != "orphan-unknown"] == ["not-permitted"]
    assert [(error.pid, "may not be read" in error.error) for error in document.errors] == [(running.pid, True)]


def test_a_process_that_has_other_rights_than_its_user_is_told_in_part(folder: Path) -> None:
    """A setuid program belongs to its user, who may not look into it all the same."""
    needs_root()
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        raise Unavailable("no setuid file counts on this file system")
    app = executable(folder / "app", needed=())
    app.chmod(0o4755)
    with held([app], user=NOBODY, group=NOBODY, extra_groups=[]) as running:
        document = as_nobody([running.pid])
        assert codes(observed(running.pid)) == []
    (process,) = document.processes
    assert (process.objects, process.user) == (None, "root")
    assert [error.pid for error in document.errors] == [running.pid]


def test_an_ordinary_user_is_told_everything_of_own_processes(fixture_file: FixtureFile) -> None:
    """But for what only the administrator may follow, nothing is less."""
    with as_user([fixture_file("process/dlopen"), fixture_file("process/plugins") / "libopener.so"]) as running:
        running.expect("ready")
        until(lambda: state(running.pid) == "S", "rest")
        whole, document = observed(running.pid), as_nobody([running.pid])
    assert document.errors == []
    (process,) = document.processes
    assert [one.path for one in objects(process)] == [one.path for one in objects(whole)]
    for one, known in zip(objects(process), objects(whole), strict=True):
        assert (one.origin, one.disk, one.loaded_as, one.opened_by) == (
            known.origin,
            known.disk,
            known.loaded_as,
            known.opened_by,
        )
    assert codes(process) == codes(whole)


def test_an_ordinary_user_is_told_something_of_every_process() -> None:
    """Of all processes of the machine, those of others among them, without an exception."""
    pids = [result.pid for result in each_process(None, Looking(memory=False))]
    document = as_nobody(pids, Looking(memory=False))
    answered = {process.pid for process in document.processes} | {error.pid for error in document.errors}
    assert answered == set(pids)
    assert os.getpid() in {error.pid for error in document.errors}


def test_linkscope_looks_at_itself() -> None:
    """What it opens to look is closed again, and its own heap moves meanwhile."""
    before = set(os.listdir("/proc/self/fd"))
    process = observed(os.getpid())
    assert set(os.listdir("/proc/self/fd")) == before
    assert process.executable is not None
    assert process.executable.path == os.path.realpath(sys.executable)
    assert process.state == "running"
    assert "msgspec" in next(one.path for one in objects(process) if "msgspec" in one.path)
    assert {one.path for one in objects(process)} == {*elf_files(os.getpid()), "[vdso]"}
    assert "unknown" not in {one.disk for one in objects(process)}


# --- Size and speed ---------------------------------------------------------------------------------------------------


def _seconds(pid: int) -> float:
    """The processor time of a look, the shorter of two."""
    times = []
    for _ in range(2):
        before = time.process_time()
        process = observed(pid)
        times.append(time.process_time() - before)
        assert set(origins(process).values()) == {"executable", "interpreter", "needed", "vdso"}
    return min(times)


def test_sixty_thousand_mappings_take_six_times_as_long_as_ten_thousand(fixture_file: FixtureFile) -> None:
    """And not thirty-six times."""
    spent = {}
    for count in (10_000, 60_000):
        with started([fixture_file("process/many-maps"), str(count)]) as running:
            running.expect("ready")
            assert len(Path(f"/proc/{running.pid}/maps").read_bytes().splitlines()) >= count
            spent[count] = _seconds(running.pid)
    assert spent[60_000] < 15 * spent[10_000]


# --- Programs that come from nowhere, or hide -------------------------------------------------------------------------


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


# --- Static programs, other languages, other machines -----------------------------------------------------------------

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


# --- What is mapped executable and is no library ----------------------------------------------------------------------

MAPS = """
import mmap, os, sys
kept = []
for name in sys.argv[1:]:
    protection = mmap.PROT_READ | (0 if name.endswith(".data") else mmap.PROT_EXEC)
    descriptor = os.open(name, os.O_RDONLY)
    kept.append(mmap.mmap(descriptor, 0, mmap.MAP_PRIVATE, protection))
print("ready", flush=True)
sys.stdin.read()
"""


def _cut(data: bytes) -> bytes:
    """Only the header."""
    return data[:64]


def _with_headers_nowhere(data: bytes) -> bytes:
    """e_phoff leads beyond the end."""
    return data[:32] + struct.pack("<Q", 1 << 40) + data[40:]


def _with_endless_headers(data: bytes) -> bytes:
    """e_phnum is the most that there can be."""
    return data[:56] + b"\xfe\xff" + data[58:]


def _with_a_wild_dynamic_section(data: bytes) -> bytes:
    """All that follows the headers is noise."""
    return data[:0x200] + bytes(range(256)) * ((len(data) - 0x200) // 256)


DAMAGES = [_cut, _with_headers_nowhere, _with_endless_headers, _with_a_wild_dynamic_section]


def _mapped_by_hand(require_tool: RequireTool, *files: Path) -> Process:
    with started([require_tool("/usr/bin/python3"), "-I", "-S", "-c", MAPS, *files]) as python:
        python.expect("ready")
        process = observed(python.pid)
        assert {os.fspath(file) for file in files} <= {row.name for row in smaps(python.pid)}
    return process


def test_a_text_that_is_mapped_executable_is_no_object(require_tool: RequireTool, folder: Path) -> None:
    for name, content in (
        ("text", b"no library\n" * 1000),
        ("zeros", bytes(mmap.PAGESIZE)),
        ("almost", b"\x7fELf" * 9),
    ):
        (folder / name).write_bytes(content)
    process = _mapped_by_hand(require_tool, *(folder / name for name in ("text", "zeros", "almost")))
    assert not [one for one in objects(process) if one.path.startswith(os.fspath(folder))]
    assert {"stale-object", "disk-unknown"}.isdisjoint(codes(process))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.removeprefix("_"))
def test_a_damaged_library_that_is_mapped_executable_is_an_object_all_the_same(
    require_tool: RequireTool, folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    """It begins as one does; nobody needs it, and nothing else suffers."""
    whole = encode(Recipe(soname="libwhole.so", needed=("libc.so.6",), sections=True))
    (folder / "libdamaged.so").write_bytes(damage(whole.ljust(mmap.PAGESIZE, b"\0")))
    process = _mapped_by_hand(require_tool, folder / "libdamaged.so")
    mapped = called(process, "libdamaged.so")
    assert (mapped.origin, mapped.disk, mapped.loaded_as) == ("dlopen", "same", None)
    assert called(process, "libc.so.6").origin == "needed"
    assert process.absent == []


def test_a_library_that_is_only_read_is_no_object(require_tool: RequireTool, folder: Path) -> None:
    """And one that was mapped executable without the loader is one, in no link map."""
    for name in ("libread.so.data", "libmapped.so"):
        shared_object(folder / name, soname=name)
    process = _mapped_by_hand(require_tool, folder / "libread.so.data", folder / "libmapped.so")
    own = [one for one in objects(process) if one.path.startswith(os.fspath(folder))]
    assert [(one.soname, one.origin, one.loaded_as, one.namespaces) for one in own] == [
        ("libmapped.so", "dlopen", None, [])
    ]


def test_a_library_whose_code_was_deleted_is_read_where_it_is_mapped(fixture_file: FixtureFile, folder: Path) -> None:
    """Also by a user who may not follow the kernel's links: memory has its beginning, and the link map its names."""
    library = Path(shutil.copy(fixture_file("process/plugins/libneedy.so"), folder))
    needed = Path(shutil.copy(fixture_file("process/plugins/libneeded.so"), folder))
    with as_user([fixture_file("process/dlopen"), library]) as running:
        running.expect("ready")
        library.unlink()
        needed.unlink()
        seen = [observed(running.pid), *as_nobody([running.pid]).processes]
    for process in seen:
        assert (called(process, "libneedy.so").disk, called(process, "libneedy.so").origin) == ("deleted", "dlopen")
        assert called(process, "libneeded.so").origin == "dlopen-needed"
        assert called(process, "libneeded.so").soname == "libneeded.so"

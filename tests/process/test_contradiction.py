"""A file that was written in place is told from one that was only touched; no unchanged file is ever accused.

The judge is what was done to the file.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError
from linkscope.process import procfs
from linkscope.process.contradiction import contradicts
from linkscope.process.linkmap_memory import Entry, LinkMapMemory, entry_mapping
from linkscope.process.mappings import Mapping
from tests.oracle.availability import Unavailable
from tests.process.inside import Inside, everybody, file_of, inside, link_map
from tests.process.started import children, is_started_by_a_test, started, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]


def _own(process: Inside, identity: tuple[int, int]) -> list[Mapping]:
    return [mapping for mapping in process.places.mappings if mapping.identity == identity]


def _entries(process: Inside, identity: tuple[int, int]) -> list[Entry]:
    found = link_map(process.memory.pid)
    entries = found.entries if isinstance(found, LinkMapMemory) else ()
    where = [(entry, entry_mapping(entry, process.places)) for entry in entries]
    return [entry for entry, mapping in where if mapping is not None and mapping.identity == identity]


def _identity(process: Inside, name: str) -> tuple[int, int]:
    return next(m.identity for m in process.places.mappings if m.name == name and m.executable)


@contextlib.contextmanager
def _file(path: str) -> Iterator[tuple[Image, Reader]]:
    with open_reader(path) as reader:
        yield read_image(reader), reader


def _answers(pid: int, name: str, path: str | None = None) -> set[str | None]:
    """What is said of an object NAME against the file at PATH (its own otherwise), with the link map and without."""
    with inside(pid) as process, _file(path or name) as (image, reader):
        identity = _identity(process, name)
        own = _own(process, identity)
        known = [(entry.base, entry.dynamic) for entry in _entries(process, identity)]
        return {
            contradicts(process.memory, base, image, reader, own, dynamic=dynamic)
            for base, dynamic in [(None, 0), *known]
        }


# --- What was done to the file ----------------------------------------------------------------------------------------

HOLDERS = ("process/holder", "process/holder-musl")


@contextlib.contextmanager
def _held(fixture_file: FixtureFile, tmp_path: Path, name: str, order: str) -> Iterator[tuple[int, str]]:
    """A process that has a copy of libheld.so mapped, and has done to it what the order says: its pid, and the copy."""
    library = tmp_path / "libheld.so"
    shutil.copy(fixture_file("process/libheld.so"), library)
    with started([fixture_file(name)], env={"LD_LIBRARY_PATH": os.fspath(tmp_path)}) as holder:
        holder.expect("ready")
        holder.ask(order.format(library=library, build=fixture_file("process")))
        yield holder.pid, os.fspath(library)


@pytest.mark.parametrize("name", HOLDERS)
def test_a_library_overwritten_by_another_version_is_contradicted(
    fixture_file: FixtureFile, tmp_path: Path, name: str
) -> None:
    with _held(fixture_file, tmp_path, name, "overwrite {library} {build}/libheld-new.so") as (pid, library):
        assert None not in _answers(pid, library)


NOTHING = {
    "touched": "touch {library}",
    "same-bytes": "overwrite {library} {build}/libheld.so",
    # The kernel shows the new word already, and nothing that the loader wrote depends on it.
    "another-word": "overwrite {library} {build}/libheld-words.so",
}


@pytest.mark.parametrize("order", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("name", HOLDERS)
def test_where_nothing_in_memory_depends_on_what_was_written_nothing_is_said(
    fixture_file: FixtureFile, tmp_path: Path, name: str, order: str
) -> None:
    with _held(fixture_file, tmp_path, name, order) as (pid, library):
        assert _answers(pid, library) == {None}


def test_a_library_that_was_cut_off_is_contradicted(fixture_file: FixtureFile, tmp_path: Path) -> None:
    with _held(fixture_file, tmp_path, HOLDERS[0], "touch {library}") as (pid, library):
        with _file(library) as (image, _):
            os.truncate(library, next(segment.offset for segment in image.segments if segment.flags & 1))
        with inside(pid) as process, open_reader(library) as reader:
            own = _own(process, _identity(process, library))
            said = contradicts(process.memory, None, image, reader, own)
        assert said == "the file has become shorter than what is mapped of it"


LIBRARY = """
static int one(void) {{ return 1; }}
static int two(void) {{ {more} return 2; }}
static int three(void) {{ return 3; }}
int (*const table[])(void) = {{ one, two, three, two, three, two, three }};
const char *const words[] = {{ "one", "two", "three" }};
int sum;
"""
LINKED = {
    "rela": (),
    "relr": ("-Wl,-z,pack-relative-relocs",),
    "one-page-more": ("-Wl,-z,noseparate-code",),
}


@pytest.mark.parametrize("flags", LINKED.values(), ids=LINKED)
def test_a_small_change_of_the_code_shows_in_the_relocated_data(
    fixture_file: FixtureFile, require_tool: RequireTool, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """The segments and the dynamic section stay as they are: a function has become longer within its page."""
    made = []
    for name, more in (("old.so", "sum++;"), ("new.so", "sum++; sum *= 3;")):
        source = tmp_path / f"{name}.c"
        source.write_text("extern int sum;\n" + LIBRARY.format(more=more))
        shared = ("-O0", "-shared", "-fPIC", "-nostartfiles")  # DT_FINI would tell as well
        subprocess.run([require_tool("gcc"), *shared, source, "-o", tmp_path / name, *flags], check=True)
        made.append(tmp_path / name)
    with started([fixture_file("process/dlopen"), made[0]]) as program:
        program.expect("ready")
        assert _answers(program.pid, os.fspath(made[0])) == {None}
        made[0].open("r+b").write(made[1].read_bytes())
        assert _answers(program.pid, os.fspath(made[0])) == {
            "its relocated data is not what the loader makes of the file"
        }


# --- Other files in place of the mapped ones --------------------------------------------------------------------------


def test_every_other_library_of_a_process_is_contradicted() -> None:
    """As if each was overwritten by each of the others.

    The address of the dynamic section is known from the link map. Without that, two small modules of one maker may look
    alike: which ones a test runner has mapped by now, no test can choose.
    """
    with inside(os.getpid()) as process:
        names = sorted({m.name for m in process.places.mappings if m.executable and m.name.startswith("/")})
        names = [name for name in names if os.path.exists(name)][:12]
    assert len(names) > 2
    for name in names:
        for other in names:
            if not os.path.samefile(name, other):
                assert _answers(os.getpid(), name, other) - {None}, f"{name} {other}"


PROGRAM = """
#include <stdio.h>
#include <unistd.h>
{global}
int main(void) {{ {work} puts("ready"); fflush(stdout); alarm(600); for (;;) pause(); }}
"""
PROGRAMS = {
    "pie": (),
    "no-pie": ("-no-pie",),
    "static": ("-static", "-no-pie"),
    "static-pie": ("-static-pie",),
    "relr": ("-Wl,-z,pack-relative-relocs",),
    "no-relro": ("-Wl,-z,norelro",),
    "now": ("-Wl,-z,now",),
    "noseparate-code": ("-Wl,-z,noseparate-code",),
    "text-relocations": ("-Wl,-z,notext", "-mcmodel=large", "-fno-pic"),
}
NOT_WITH_MUSL = {"relr", "text-relocations"}  # 1.2.3
# Nothing of it is relocated or copied; its code and data may grow within their pages.
UNTOLD = {"static"}


def _programs(require_tool: RequireTool, folder: Path, flags: Sequence[str], by: str = "gcc") -> tuple[Path, Path]:
    """A program, and what it might be in its next version: with more code and more data."""
    made = []
    more = "int more[4096] = {1}; int f(int n) { return more[n] * 3; } int (*const table[600])(int) = {f, f};"
    for name, text in (("old", {"global": "", "work": ""}), ("new", {"global": more, "work": "table[more[1]](3);"})):
        source = folder / f"{name}.c"
        source.write_text(PROGRAM.format(**text))
        done = subprocess.run([require_tool(by), source, "-o", folder / name, *flags], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        made.append(folder / name)
    return made[0], made[1]


@pytest.mark.parametrize(
    ("kind", "by"),
    [(kind, by) for by in ("gcc", "musl-gcc") for kind in PROGRAMS if by == "gcc" or kind not in NOT_WITH_MUSL],
)
def test_a_program_contradicts_its_next_version_and_not_itself(
    require_tool: RequireTool, tmp_path: Path, kind: str, by: str
) -> None:
    """The kernel lets nobody write to a program that runs: what would be read then is asked about."""
    old, new = _programs(require_tool, tmp_path, PROGRAMS[kind], by)
    with started([old]) as program:
        program.expect("ready")
        assert _of_program(program.pid, old) is None
        assert kind in UNTOLD or _of_program(program.pid, new) is not None


def _of_program(pid: int, path: Path) -> str | None:
    with inside(pid) as process, _file(os.fspath(path)) as (image, reader):
        identity = (0, os.stat(f"/proc/{pid}/exe").st_ino)
        own = [mapping for mapping in process.places.mappings if mapping.identity[1] == identity[1]]
        entry = next(iter(_entries(process, own[0].identity)), None)
        base, dynamic = (entry.base, entry.dynamic) if entry else (None, 0)
        return contradicts(process.memory, base, image, reader, own, dynamic=dynamic, vector=process.vector)


def test_the_kernels_entry_point_contradicts_a_file_that_begins_elsewhere(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states-static"), "sleeping"]) as program:
        program.expect("ready")
        with inside(program.pid) as process:
            own = _own(process, process.places.mappings[0].identity)
            others = msgspec.structs.replace(process.image, entry=process.image.entry + 16)
            more = msgspec.structs.replace(
                process.image, segments=(*process.image.segments, process.image.segments[-1])
            )
            for image, vector, expected in (
                (process.image, process.vector, None),
                (others, process.vector, "the program was entered at another address"),
                (more, process.vector, "the program had another number of segments"),
                (others, None, None),
            ):
                assert contradicts(process.memory, None, image, process.reader, own, vector=vector) == expected


# --- Nothing unchanged is accused -------------------------------------------------------------------------------------


def _accusations(pid: int) -> list[str]:
    """What is said of all objects of a process, with all that can be known of each; [] as it has to be."""
    found = []
    with inside(pid) as process:
        program = os.stat(f"/proc/{pid}/exe").st_ino
        for identity in {mapping.identity for mapping in process.places.mappings if mapping.executable}:
            own = _own(process, identity)
            code = next(mapping for mapping in own if mapping.executable)
            if not code.is_file:
                continue
            vector = process.vector if identity[1] == program else None
            with open_reader(file_of(pid, code), code.name) as reader:
                image = read_image(reader)
                known = [(entry.base, entry.dynamic) for entry in _entries(process, identity)]
                for base, dynamic in [(None, 0), *known]:
                    said = contradicts(process.memory, base, image, reader, own, dynamic=dynamic, vector=vector)
                    found += [f"{pid} {code.name}: {said}"] if said else []
    return found


def test_no_object_of_any_process_of_the_machine_is_accused() -> None:
    """At most forty of one program, so that a machine with many servers is looked at in good time.

    What other tests have started may hold a library that they have overwritten.
    """
    asked = 0
    counts: dict[str, int] = {}
    for pid in (one for one in everybody() if not is_started_by_a_test(one)):
        try:
            program = procfs.link(pid, "exe")
            counts[program] = counts.get(program, 0) + 1
            if counts[program] <= 40:
                assert _accusations(pid) == []
                asked += 1
        except (LinkScopeError, OSError, Unavailable):
            continue  # it has ended meanwhile, or has mapped what is no ELF file
    assert asked


GO = """
package main

import ("fmt"; "os"; "time")

func main() { fmt.Println("ready"); if len(os.Args) > 5 { panic(os.Args) }; time.Sleep(10 * time.Minute) }
"""
RUST = """
fn main() { println!("ready"); std::thread::sleep(std::time::Duration::from_secs(600)); }
"""
OTHER_LANGUAGES = {
    "go": ("go", "main.go", GO, ["build", "-o"]),
    "go-pie": ("go", "main.go", GO, ["build", "-buildmode=pie", "-o"]),
    "rust": ("rustc", "main.rs", RUST, ["-o"]),
    "rust-static-pie": ("rustc", "main.rs", RUST, ["-Ctarget-feature=+crt-static", "-o"]),
}


@pytest.mark.parametrize("language", OTHER_LANGUAGES)
def test_programs_of_other_languages_are_not_accused(require_tool: RequireTool, tmp_path: Path, language: str) -> None:
    tool, name, source, flags = OTHER_LANGUAGES[language]
    (tmp_path / name).write_text(source)
    command: list[str | Path] = [require_tool(tool), *flags, tmp_path / "app", tmp_path / name]
    environment = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    with started([tmp_path / "app"]) as program:
        program.expect("ready")
        assert _accusations(program.pid) == []


@pytest.mark.parametrize(
    "what", ["hooked text", "hooked library", "hooked-static library", "textrel", "many-maps 20000"]
)
def test_programs_that_change_their_memory_are_not_accused(fixture_file: FixtureFile, what: str) -> None:
    name, *arguments = what.split()
    with started([fixture_file(f"process/{name}"), *arguments]) as program:
        program.expect("ready")
        assert _accusations(program.pid) == []


def test_a_program_that_is_just_starting_is_not_accused(fixture_file: FixtureFile) -> None:
    """It is looked at from its first moment on: before, while and after the loader relocates it."""
    looks = 0
    for _ in range(20):
        with started([fixture_file("process/dlopen"), fixture_file("process/plugins") / "libneedy.so"]) as program:
            while not program.lines:
                with contextlib.suppress(LinkScopeError, OSError):
                    assert _accusations(program.pid) == []
                    looks += 1
                if looks % 3 == 0:
                    program.expect("ready")
    assert looks


MAPPED = {
    "bfd": (),
    "now": ("-Wl,-z,now",),
    "noseparate-code": ("-Wl,-z,noseparate-code",),
    "gaps": ("-Wl,-z,max-page-size=0x200000",),
    "lld": ("-fuse-ld=lld",),
    "gold": ("-fuse-ld=gold",),
}


@pytest.mark.parametrize("flags", MAPPED.values(), ids=MAPPED)
@pytest.mark.parametrize("name", ["process/dlopen", "process/dlopen-musl"])
def test_a_library_that_is_mapped_in_part_is_not_accused(
    fixture_file: FixtureFile, require_tool: RequireTool, tmp_path: Path, name: str, flags: tuple[str, ...]
) -> None:
    """The loader is stopped behind each mmap(2) in turn; what is looked at is the process as it then is."""
    library = tmp_path / "libpart.so"
    (tmp_path / "part.c").write_text("extern int sum;\n" + LIBRARY.format(more="sum++;"))
    made: list[str | Path] = [
        require_tool("gcc"),
        "-shared",
        "-fPIC",
        "-nostdlib",
        *flags,
        tmp_path / "part.c",
        "-o",
        library,
    ]
    subprocess.run(made, check=True)
    command: list[str | Path] = [fixture_file(name), library]
    strace: list[str | Path] = [require_tool("strace"), "-o", tmp_path / "trace", "-e"]
    subprocess.run([*strace, "trace=open,openat,mmap", *command], check=True, input=b"quit\n")
    calls = (tmp_path / "trace").read_text().partition("libpart.so")
    before, own = (part.count("mmap(") for part in calls[::2])
    assert own > 2
    for number in range(before + 1, before + own):
        (tmp_path / "trace").unlink()
        with started([*strace, f"inject=mmap:signal=STOP:when={number}", *command]) as tracer:
            until(lambda: _is_stopped(tmp_path / "trace"), f"the stop behind mmap {number}")
            (program,) = children(tracer.pid)
            assert _accusations(program) == []
            os.kill(program, signal.SIGKILL)


def _is_stopped(trace: Path) -> bool:
    return trace.exists() and "--- stopped by SIGSTOP ---" in trace.read_text()

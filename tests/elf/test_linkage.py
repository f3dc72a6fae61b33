"""kind, linkage and pie: the judges are what kernel and loader do, and `file` for all files of the machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from linkscope.elf.image import Image
from linkscope.elf.linkage import kind, linkage, pie
from linkscope.elf.reader import Reader
from linkscope.errors import MalformedElf
from tests.elf.samples import LIBRARIES, PROGRAMS, FixtureFile, RequireTool, ask, elf_files, tool
from tests.oracle import elfwriter

Answer = tuple[str, str | None, bool | None]
DF_1_PIE, DT_FLAGS_1 = 0x08000000, 0x6FFFFFFB
DYNAMIC_PIE: Answer = ("executable", "dynamic", True)
DYNAMIC: Answer = ("executable", "dynamic", False)
STATIC_PIE: Answer = ("executable", "static", True)
STATIC: Answer = ("executable", "static", False)
LIBRARY: Answer = ("shared-library", None, None)


def _answer(reader: Reader, image: Image) -> Answer:
    return kind(reader, image), linkage(image), pie(image)


FIXTURES: dict[str, Answer] = {
    "hello/hello-dynamic-pie": DYNAMIC_PIE,
    "hello/hello-dynamic-nonpie": DYNAMIC,
    "hello/hello-dynamic-stripped": DYNAMIC_PIE,
    "hello/hello-static": STATIC,
    "hello/hello-static-stripped": STATIC,
    "hello/hello-static-pie": STATIC_PIE,
    "hello/hello-musl-dynamic-pie": DYNAMIC_PIE,
    "hello/hello-musl-dynamic-nonpie": DYNAMIC,
    "hello/hello-musl-static": STATIC,
    "hello/hello-musl-static-pie": STATIC_PIE,
    "hello/hello-go": STATIC,
    "hello/hello-go-pie": DYNAMIC_PIE,
    "hello/hello-rust": DYNAMIC_PIE,
    "kinds/bare-static": STATIC,
    "kinds/bare-static-pie": STATIC_PIE,
    "kinds/bare-pie": DYNAMIC_PIE,
    "kinds/bare-library.so": LIBRARY,
    "kinds/runnable.so": LIBRARY,
    "kinds/sectionless-dynamic": DYNAMIC_PIE,
    "kinds/sectionless-static": STATIC,
    "kinds/sectionless-library.so": LIBRARY,
    "kinds/hello.o": ("relocatable", None, None),
    "kinds/module.ko": ("kernel-module", None, None),
    "kinds/hello.debug": ("debug", None, None),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_a_fixture_is_what_it_was_built_as(name: str, fixture_file: FixtureFile) -> None:
    assert ask(_answer, fixture_file(name)) == FIXTURES[name]


@pytest.mark.parametrize("name", [name for name, answer in FIXTURES.items() if answer[0] != "debug"])
def test_the_loader_takes_libraries_and_refuses_programs(name: str, fixture_file: FixtureFile) -> None:
    """dlopen of glibc is the judge: it refuses executables, PIE or not, as such."""
    code = f"import ctypes; ctypes.CDLL({os.fspath(fixture_file(name))!r})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    refused = "cannot dynamically load" in said or "only ET_DYN and ET_EXEC" in said
    assert refused == (FIXTURES[name][0] != "shared-library"), said


# What `file` prints of a regular file, and what it is here. `file` calls every ET_DYN without interpreter and NEEDED
# "static-pie linked", libraries too, and does not know loaders or debug files.
AS_FILE_SAYS: dict[tuple[str, str | None], set[Answer]] = {
    ("pie executable", "dynamically linked"): {DYNAMIC_PIE},
    ("pie executable", "static-pie linked"): {STATIC_PIE},
    ("executable", "dynamically linked"): {DYNAMIC},
    ("executable", "statically linked"): {STATIC},
    ("shared object", "dynamically linked"): {LIBRARY, ("debug", None, None), ("interpreter", None, None)},
    ("shared object", "static-pie linked"): {LIBRARY, ("interpreter", None, None)},
    ("relocatable", None): {("relocatable", None, None), ("kernel-module", None, None)},
}


def _as_file_says(description: str) -> tuple[str, str | None]:
    what = re.search(r"pie executable|executable|shared object|relocatable", description)
    how = re.search(r"dynamically linked|statically linked|static-pie linked", description)
    assert what, description
    return what[0], how and how[0]


def test_every_file_of_the_machine_is_what_file_calls_it(require_tool: RequireTool, tmp_path: Path) -> None:
    """But for a PIE without DF_1_PIE, which `file` takes for a library: readelf shows that it has DT_DEBUG."""
    paths = elf_files(*PROGRAMS, *LIBRARIES)
    names = tmp_path / "names"
    names.write_text("\n".join(paths) + "\n", errors="surrogateescape")
    described = tool(require_tool("file"), "-b", "-f", names).splitlines()
    assert len(described) == len(paths)
    wrong = []
    for path, description in zip(paths, described, strict=True):
        answer = ask(_answer, path)
        older_pie = (
            answer == DYNAMIC_PIE and "shared object" in description and "(DEBUG)" in tool("readelf", "-d", path)
        )
        if answer not in AS_FILE_SAYS[_as_file_says(description)] and not older_pie:
            wrong.append((path, answer, description))
    assert wrong == []


def test_every_debug_file_of_the_machine_is_one(require_tool: RequireTool) -> None:
    """readelf judges: their .text is there in name only."""
    require_tool("readelf")
    for path in elf_files(*LIBRARIES):
        if ask(kind, path) == "debug":
            assert re.search(r" \.text +NOBITS ", tool("readelf", "-SW", path)), path


def _without_pie_flag(program: Path, target: Path) -> Path:
    """A copy as a linker wrote it that did not know DF_1_PIE."""
    data = program.read_bytes()
    entry = DT_FLAGS_1.to_bytes(8, "little") + DF_1_PIE.to_bytes(8, "little")
    assert data.count(entry) == 1
    target.write_bytes(data.replace(entry, DT_FLAGS_1.to_bytes(8, "little") + bytes(8)))
    target.chmod(0o755)
    return target


@pytest.mark.parametrize(
    ("name", "answer"), [("hello/hello-dynamic-pie", DYNAMIC_PIE), ("hello/hello-static-pie", STATIC_PIE)]
)
def test_a_pie_of_an_older_linker_is_told_by_its_slot_for_debuggers(
    name: str, answer: Answer, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    program = _without_pie_flag(fixture_file(name), tmp_path / "program")
    assert subprocess.run([program]).returncode == 0
    assert ask(_answer, program) == answer


def _compiled(tmp_path: Path, *flags: str, source: str = "int main(void) { return 0; }") -> Path:
    (tmp_path / "source.c").write_text(source)
    subprocess.run(["cc", tmp_path / "source.c", "-o", tmp_path / "made", *flags], check=True)
    return tmp_path / "made"


LOADERS_NAME = "-Wl,-soname,ld-linux-x86-64.so.2"


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        (("-fPIE", "-pie", "-Wl,-soname,libmain.so.1"), DYNAMIC_PIE),
        (("-fPIC", "-shared"), LIBRARY),
        (("-fPIC", "-shared", "-nostdlib", LOADERS_NAME), LIBRARY),
        (("-fPIE", "-pie", "-Wl,--dynamic-linker=/nowhere/ld.so"), DYNAMIC_PIE),
        (("-r", "-nostdlib"), ("relocatable", None, None)),
    ],
    ids=["pie-with-soname", "plugin-without-soname", "library-with-a-loaders-name", "foreign-loader", "relocatable"],
)
def test_names_do_not_decide(flags: tuple[str, ...], answer: Answer, tmp_path: Path) -> None:
    assert ask(_answer, _compiled(tmp_path, *flags)) == answer


def test_the_loaders_of_the_machine_are_interpreters(require_tool: RequireTool) -> None:
    assert ask(_answer, require_tool("/lib64/ld-linux-x86-64.so.2")) == ("interpreter", None, None)


def test_musls_loader_is_an_interpreter_though_it_is_called_libc(require_tool: RequireTool) -> None:
    loader = Path(require_tool("/lib/ld-musl-x86_64.so.1")).resolve()
    assert loader.name == "libc.so"
    assert ask(_answer, loader) == ("interpreter", None, None)


def test_the_loaders_of_other_machines_are_interpreters_and_nothing_else_is(foreign_files: tuple[str, ...]) -> None:
    loaders = {path for path in foreign_files if re.fullmatch(r"ld(-linux.*|64)?\.so\.\d", os.path.basename(path))}
    assert len(loaders) == 6
    assert {path for path in foreign_files if ask(kind, path) == "interpreter"} == loaders


@pytest.mark.parametrize("tag", [0x70000016, 0x70000035], ids=["DT_MIPS_RLD_MAP", "DT_MIPS_RLD_MAP_REL"])
@pytest.mark.parametrize("machine", [8, 62], ids=["mips", "x86_64"])
def test_mips_has_slots_for_debuggers_of_its_own(tag: int, machine: int, tmp_path: Path) -> None:
    """The numbers are the processor's: on another machine they mean nothing."""
    path = elfwriter.shared_object(
        tmp_path / "made", machine=machine, elf_class=32, endian="big", extra_dynamic=((tag, 0),)
    )
    assert ask(_answer, path) == (STATIC_PIE if machine == 8 else LIBRARY)


@pytest.mark.parametrize(("e_type", "name"), [(4, "core"), (1, "relocatable")])
def test_a_core_is_one_by_its_type(e_type: int, name: str, tmp_path: Path) -> None:
    assert ask(_answer, elfwriter.shared_object(tmp_path / "made", e_type=e_type)) == (name, None, None)


@pytest.mark.parametrize("e_type", [0, 5, 0xFE00, 0xFFFF])
def test_a_type_that_is_no_kind_of_file_is_an_error(e_type: int, tmp_path: Path) -> None:
    path = elfwriter.shared_object(tmp_path / "made", e_type=e_type)
    with pytest.raises(MalformedElf, match=f"e_type {e_type}"):
        ask(kind, path)


def test_a_program_with_needs_but_without_interpreter_is_started_alone(tmp_path: Path) -> None:
    """The kernel starts it and maps nothing else, whatever NEEDED says: it has no link map to print."""
    path = elfwriter.executable(tmp_path / "made", interp=None, needed=("libc.so.6",))
    run = subprocess.run([path], capture_output=True)
    assert (run.returncode, run.stdout) == (0, b"")
    assert ask(_answer, path) == STATIC_PIE

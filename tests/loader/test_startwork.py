"""What is done before a program runs: what the real loader counts (LD_DEBUG=statistics), and what readelf lists.

The loader counts with its look-ups those that it makes for itself. They are told apart here: of functions of the vdso,
which LD_DEBUG=symbols shows; of malloc's four (since 2.32); of `_r_debug` (2.41); and where functions are bound at
their first call, the one that libc.so.6 makes before the program begins (2.36). It does not count DT_RELR.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.elf.relocationcounts import relocation_counts
from linkscope.loader.environment import Environment, has_file_capabilities
from linkscope.loader.program import Program, Start
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.startwork import mapped_files, start_work
from linkscope.loader.system import System
from linkscope.model.compare import StartWork
from tests.elf.samples import PROGRAMS, FixtureFile, RequireTool, elf_files, readelf, spread
from tests.oracle import roots, runner
from tests.oracle.availability import Unavailable
from tests.oracle.trace import command

# Preloaded, it ends the program before it begins: the loader has done its work, and counted it, by then.
STOP = "#include <unistd.h>\n__attribute__((constructor)) static void stop(void) { _exit(0); }\n"
_LOOKED_UP = re.compile(r" number of relocations: (\d+)")
_RELATIVE = re.compile(r"number of relative relocations: (\d+)")
_OF_THE_VDSO = re.compile(r"symbol=__(?:vdso|kernel)_\w+;")
_ASKED_FOR = {"LD_DEBUG": "statistics,symbols"}
_ONE = re.compile(r"^[0-9a-f]{8,}  ?[0-9a-f]{8,} (R_\w+)(?: +[0-9a-f]+ +(\S+))?", re.MULTILINE)
_PACKED = re.compile(r"^ +(\d+) offsets?$", re.MULTILINE)


class _Case:
    """The start of one program, with what is predicted for it."""

    def __init__(self, path: str, system: System, environment: Environment) -> None:
        location = system.root.locate(path)
        with open_reader(location, path, system.root.open) as reader:
            self.image = read_image(reader)
        self.system, self.location, self.environment = system, location, environment
        self.started: Start | None = None
        if self.image.interpreter is not None:
            self.started = start(system, Program(self.image, path, path, location), environment)

    @property
    def work(self) -> StartWork:
        at_once = self.environment.bind_now
        return start_work(self.system, self.image, self.location, self.started, self.environment.cwd, at_once=at_once)

    @property
    def locations(self) -> list[str]:
        """The places of all files that are mapped, the program's first."""
        assert self.started is not None
        found = mapped_files(self.system, self.started, self.environment.cwd)
        return [
            self.location,
            *(one.finding.candidate.location for one in found if one.finding and one.finding.candidate),
        ]

    @property
    def packed(self) -> int:
        """The relocations of DT_RELR in all of them."""
        total = 0
        for location in self.locations:
            with open_reader(location) as reader:
                total += relocation_counts(reader, read_image(reader)).packed
        return total


def _assert_counted(case: _Case, said: str, own: int) -> None:
    """That the loader SAID the numbers that are predicted, and OWN look-ups of its own beside the vdso's."""
    looked_up, relative = _LOOKED_UP.search(said), _RELATIVE.search(said)
    assert looked_up is not None, said[:500]
    assert relative is not None
    before = said[: looked_up.start()]
    assert case.work.look_ups == int(looked_up[1]) - own - len(_OF_THE_VDSO.findall(before)), case.location
    assert case.work.relative - case.packed == int(relative[1]), case.location


def _own(version: tuple[int, int] | None, at_once: bool) -> int:
    """How many look-ups a loader makes for itself, as far as nothing shows them (observed)."""
    if version is None or version < (2, 32):
        return 0
    return 5 if version >= (2, 41) else 4 if at_once else 5


def _version(case: _Case) -> tuple[int, int] | None:
    assert case.started is not None
    assert case.started.interpreter is not None
    facts = case.system.loader(case.started.interpreter, "/")
    return facts.version if facts else None


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library that ends every program before it begins."""
    folder = tmp_path_factory.mktemp("stopping")
    (folder / "stop.c").write_text(STOP)
    made = folder / "libstop.so"
    done = subprocess.run(["cc", "-shared", "-fPIC", "-o", made, folder / "stop.c"], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"cc makes no library: {done.stderr.strip()}")
    return os.fspath(made)


def _takes(case: _Case, library: str) -> bool:
    """Whether glibc preloads the library into the program, which would run otherwise."""
    with open_reader(library) as reader:
        other = read_image(reader)
    same = (case.image.machine, case.image.elf_class) == (other.machine, other.elf_class)
    glibc = case.started is not None and "/ld-linux" in (case.started.interpreter or "")
    privileged = os.stat(case.location).st_mode & 0o6000 or has_file_capabilities(case.location)
    return same and glibc and not privileged


@pytest.mark.parametrize("at_once", [False, True], ids=["lazily", "at-once"])
def test_real_programs_are_relocated_as_the_loader_counts(
    at_once: bool, stopping: str, fixture_file: FixtureFile
) -> None:
    own = [str(fixture_file(f"hello/hello-{how}")) for how in ("dynamic-pie", "dynamic-nonpie", "cpp", "rust")]
    system, checked = System(Root("/")), 0
    environment = Environment(cwd="/", preload=stopping, bind_now=at_once)
    variables = {**_ASKED_FOR, "LD_PRELOAD": stopping, **({"LD_BIND_NOW": "1"} if at_once else {})}
    for path in [*own, *spread(elf_files(*PROGRAMS), 20)]:
        case = _Case(path, system, environment)
        if not _takes(case, stopping):
            continue
        done = subprocess.run([path], env=variables, stdin=subprocess.DEVNULL, capture_output=True, cwd="/")
        _assert_counted(case, done.stderr.decode(errors="replace"), _own(_version(case), at_once))
        checked += 1
    assert checked > 10


@pytest.mark.parametrize("at_once", [False, True], ids=["lazily", "at-once"])
@pytest.mark.parametrize("release", ["debian:11", "debian:13", "debian:12/arm64", "debian:12/i386"])
def test_other_releases_and_machines_are_relocated_as_their_loaders_count(release: str, at_once: bool) -> None:
    """Before 2.36 a symbol is looked up once more for R_*_GLOB_DAT behind another type."""
    system, question = System(Root(os.fspath(roots.root(release)))), roots.question(release)
    environment = Environment(cwd="/", bind_now=at_once)
    # The emulator parts variables at commas, and there is no vdso in it.
    variables = {"LD_DEBUG": "statistics"} if question.qemu else _ASKED_FOR
    variables = {**variables, **({"LD_BIND_NOW": "1"} if at_once else {})}
    for path in ("/usr/bin/bash", "/usr/bin/curl", "/usr/bin/sqlite3"):
        inside = path if os.path.exists(system.root.outside(path)) else path.removeprefix("/usr")
        if not os.path.exists(system.root.outside(inside)):
            continue
        case = _Case(inside, system, environment)
        done = runner.run(command((inside, "--version"), question, variables))
        _assert_counted(case, done.stderr.decode(errors="replace"), _own(_version(case), at_once))


def _listed(paths: list[str]) -> dict[str, int]:
    """What readelf lists in the files together."""
    found = dict.fromkeys(("relative", "indirect", "others", "named"), 0)
    for text in readelf("-rW", paths).values():
        found["relative"] += sum(map(int, _PACKED.findall(text)))
        for kind, name in _ONE.findall(text):
            what = "indirect" if "_IRELATIV" in kind else "relative" if "_RELATIV" in kind else "others"
            found[what] += 1
            found["named"] += what == "others" and bool(name)
    return found


@pytest.mark.parametrize("how", ["dynamic-pie", "dynamic-nonpie"])
def test_musl_does_everything_at_once(how: str, fixture_file: FixtureFile) -> None:
    """Its loader is the C library, and relocates itself as well."""
    case = _Case(str(fixture_file(f"hello/hello-musl-{how}")), System(Root("/")), Environment(cwd="/"))
    listed = _listed(case.locations)
    assert len(case.locations) == 2
    assert case.work == StartWork(
        relative=listed["relative"], symbolic=listed["others"], lazy=0, indirect=0, look_ups=listed["named"]
    )


@pytest.mark.parametrize(
    "name",
    ["hello/hello-static", "hello/hello-static-pie", "hello/hello-musl-static", "hello/hello-musl-static-pie"],
)
def test_a_static_program_relocates_itself_and_looks_nothing_up(name: str, fixture_file: FixtureFile) -> None:
    case = _Case(str(fixture_file(name)), System(Root("/")), Environment(cwd="/"))
    listed = _listed([case.location])
    assert case.work == StartWork(
        relative=listed["relative"], symbolic=listed["others"], lazy=0, indirect=listed["indirect"], look_ups=0
    )


def test_functions_wait_for_their_first_call_unless_the_file_or_the_variable_says_otherwise(
    tmp_path: Path, require_tool: RequireTool
) -> None:
    require_tool("/usr/include/stdio.h")
    source = tmp_path / "source.c"
    source.write_text("#include <stdio.h>\nint main(int n, char **a) { puts(a[0]); return getchar() + n; }\n")
    works = {}
    for how in ("lazy", "now"):
        subprocess.run(["cc", "-O1", f"-Wl,-z,{how}", "-o", tmp_path / how, source], check=True)
        for at_once in (False, True):
            environment = Environment(cwd="/", bind_now=at_once)
            works[how, at_once] = _Case(str(tmp_path / how), System(Root("/")), environment).work
    lazily, now = works["lazy", False], works["now", False]
    assert lazily.lazy - now.lazy == 2  # puts, getchar
    assert now.symbolic - lazily.symbolic == 2
    assert works["lazy", True].lazy == works["now", True].lazy == 0
    assert works["lazy", True].look_ups == works["now", True].look_ups
    assert works["lazy", True].relative == lazily.relative


def test_without_a_loader_nothing_is_looked_up_that_could_be_told(fixture_file: FixtureFile) -> None:
    """Only the program's own relocations are known then."""
    path = str(fixture_file("needed/missing-interpreter"))
    case = _Case(path, System(Root("/")), Environment(cwd="/"))
    listed = _listed([path])
    assert case.work.look_ups is None
    assert case.work.relative == listed["relative"]
    assert case.work.symbolic + case.work.lazy == listed["others"]


def test_the_loader_of_a_program_that_needs_nothing_is_mapped_all_the_same(fixture_file: FixtureFile) -> None:
    case = _Case(str(fixture_file("hello/hello-go-pie")), System(Root("/")), Environment(cwd="/"))
    assert case.started is not None
    (loader,) = mapped_files(case.system, case.started, "/")
    assert loader.path == case.image.interpreter


def test_each_file_is_read_once_in_a_run(fixture_file: FixtureFile) -> None:
    system, environment = System(Root("/")), Environment(cwd="/")
    first = _Case(str(fixture_file("hello/hello-dynamic-pie")), system, environment)
    assert first.work.look_ups
    known = dict(system.memory["relocation counts"])
    second = _Case(str(fixture_file("hello/hello-dynamic-nonpie")), system, environment)
    assert second.work.look_ups
    assert len(system.memory["relocation counts"]) == len(known) + 1

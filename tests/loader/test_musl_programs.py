"""Real programs and libraries under musl's rules: the list and its order are those of musl's own loader, --list.

musl's loader lists the files of a glibc system as well: it answers for their C library itself, and only binding their
symbols, which comes after the list, would fail.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.elf.image import read_image
from linkscope.loader.environment import Environment
from linkscope.loader.linkmap import LinkMap, Loaded
from linkscope.loader.musl_ldso import musl_facts
from linkscope.loader.musl_start import start_with_musl
from linkscope.loader.program import Program
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.system import System
from tests.loader.musl_agreement import MUSL_FILE
from tests.oracle import files, roots, trace
from tests.oracle.elfformat import ET_EXEC
from tests.oracle.elfwriter import executable, shared_object
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.trace import Question

_TRIPLETS = {62: "x86_64-linux-gnu", 183: "aarch64-linux-gnu"}
_ROOTS_WITH_MUSL = ("debian:11", "debian:12", "debian:13", "debian:12/arm64")
Answer = tuple[list[str], list[str]]


@pytest.fixture(autouse=True)
def _musl_is_here(require_tool: Callable[[str], str]) -> None:
    require_tool(MUSL_FILE)


def _predicted(link_map: LinkMap) -> Answer:
    objects = link_map.objects[1:]
    return [o.path for o in objects if o.path is not None], [o.requested for o in objects if o.path is None]


def _answered(path: str, question: Question) -> Answer:
    """The files that --list names, each once, behind the line in which it names itself; and the missing names."""
    entries = trace.musl_list(path, question).entries
    assert entries, path
    found = dict.fromkeys(entry.path for entry in entries[1:] if entry.path is not None)
    return list(found), [entry.name for entry in entries if entry.path is None]


def _under_musl(path: str, system: System, loader: str, environment: Environment) -> Answer:
    """What musl's loader, standing where the program's own one should, would map for a program of another C library."""
    place = system.candidate(path, "/")
    assert place.image is not None
    ldso = system.candidate(loader, "/")
    facts = musl_facts(system, ldso)
    assert facts is not None
    program = Program(place.image, path, path, place.location)
    link_map = LinkMap(Loaded(path, path, place.image, "main"))
    named = msgspec.structs.replace(ldso, path=place.image.interpreter or loader)
    return _predicted(start_with_musl(system, program, environment, link_map, named, facts, False).link_map)


def _started(shown: str, environment: Environment) -> Answer:
    """The prediction for a file of this machine, named as it is on the command line in the working directory."""
    system, path = System(Root("/")), os.path.join(environment.cwd, shown)
    with system.open(path) as reader:
        program = Program(read_image(reader), path, shown, path)
    return _predicted(start(system, program, environment).link_map)


def test_every_musl_fixture_is_predicted_as_listed(fixtures_dir: Path) -> None:
    below = files.dynamic_files("/", [f"{fixtures_dir}/hello", f"{fixtures_dir}/chain-musl"])
    programs = [path for path, facts in below if facts.interp == MUSL_X86_64]
    assert len(programs) > 10
    for path in programs:
        environment = Environment(cwd="/")
        assert _started(path, environment) == _answered(path, Question(loader=MUSL_X86_64, cwd="/")), path


@pytest.mark.parametrize("library_path", [None, "/lib/x86_64-linux-gnu"])
def test_programs_of_this_machine_under_musl(library_path: str | None) -> None:
    """Without a search path nearly all is missing, with one nearly all is found."""
    env = {} if library_path is None else {"LD_LIBRARY_PATH": library_path}
    question = Question(loader=MUSL_X86_64, cwd="/", env=env)
    system, environment = System(Root("/")), Environment(cwd="/", library_path=library_path)
    for path in (path for path, facts in files.dynamic_files("/", ["/usr/bin"]) if facts.machine == 62):
        assert _under_musl(path, system, MUSL_X86_64, environment) == _answered(path, question), path


@pytest.mark.parametrize("release", _ROOTS_WITH_MUSL)
def test_programs_of_a_root_under_its_own_musl(release: str) -> None:
    """musl 1.2.2, 1.2.3 and 1.2.5, on two architectures; in a chroot, by the root's own loader."""
    root, asked = roots.root(release), roots.question(release)
    below = list(files.dynamic_files(root, ["/usr/bin"]))
    triplet = _TRIPLETS[below[0][1].machine]
    loader, library_path = f"/lib/ld-musl-{triplet.partition('-')[0]}.so.1", f"/usr/lib/{triplet}"
    question = msgspec.structs.replace(asked, loader=loader, cwd="/", env={"LD_LIBRARY_PATH": library_path})
    system, environment = System(Root(str(root))), Environment(cwd="/", library_path=library_path)
    for path, _ in below:
        assert _under_musl(path, system, loader, environment) == _answered(path, question), path


def test_programs_that_ask_for_the_same_may_still_differ_in_their_room(tmp_path: Path) -> None:
    """A library with fixed addresses has none beside a program that has them too; both are looked at in one run."""
    shared_object(tmp_path / "libx.so", e_type=ET_EXEC)
    system, environment = System(Root("/")), Environment(cwd="/", library_path=str(tmp_path))
    question = Question(loader=MUSL_X86_64, cwd="/", env={"LD_LIBRARY_PATH": str(tmp_path)})
    for name, pie in (("pie", True), ("fixed", False), ("another-pie", True)):
        path = str(executable(tmp_path / name, interp=MUSL_X86_64, pie=pie, needed=("libx.so",)))
        with system.open(path) as reader:
            program = Program(read_image(reader), path, path, path)
        assert _predicted(start(system, program, environment).link_map) == _answered(path, question), name


def test_a_library_is_started_by_the_loader_itself(tmp_path: Path) -> None:
    """Its $ORIGIN is then the folder of the path as given, "." where that has none."""
    shared_object(tmp_path / "libmain.so", needed=("libx.so", "libc.so", "libgone.so"), runpath="$ORIGIN/x")
    (tmp_path / "x").mkdir()
    shared_object(tmp_path / "x/libx.so")
    environment = Environment(cwd=str(tmp_path))
    for name in ("libmain.so", "./libmain.so", str(tmp_path / "libmain.so")):
        answer = _answered(name, Question(loader=MUSL_X86_64, cwd=str(tmp_path)))
        assert _started(name, environment) == answer
        assert len(answer[0]) == 2


def test_a_library_that_names_no_c_library_gets_the_only_loader_of_a_root(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/ld-musl-x86_64.so.1").write_bytes(Path(MUSL_FILE).read_bytes())
    os.chmod(tmp_path / "lib/ld-musl-x86_64.so.1", 0o755)
    shared_object(tmp_path / "lib/libx.so")
    path = shared_object(tmp_path / "lib/libmain.so", needed=("libx.so",))
    system = System(Root(str(tmp_path)))
    with system.open("/lib/libmain.so") as reader:
        program = Program(read_image(reader), "/lib/libmain.so", "/lib/libmain.so", str(path))
    predicted = _predicted(start(system, program, Environment(cwd="/")).link_map)
    assert predicted == _answered("/lib/libmain.so", Question(loader=MUSL_X86_64, root=str(tmp_path), cwd="/"))
    assert predicted == (["/lib/libx.so"], [])

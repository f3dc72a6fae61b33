"""Real programs and libraries under musl's rules: the list and its order are those of musl's own loader, --list."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.elf.image import read_image
from linkscope.loader.environment import Environment
from linkscope.loader.program import Program
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.system import System
from tests.loader.musl_agreement import MUSL_FILE
from tests.loader.under_musl import (
    Listed,
    found_and_missing,
    listed,
    programs_of_a_root,
    programs_of_the_machine,
)
from tests.oracle import files
from tests.oracle.elfformat import ET_EXEC
from tests.oracle.elfwriter import executable, shared_object
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.trace import Question


@pytest.fixture(autouse=True)
def _musl_is_here(require_tool: Callable[[str], str]) -> None:
    require_tool(MUSL_FILE)


def _started(shown: str, environment: Environment) -> Listed:
    """The prediction for a file of this machine, named as it is on the command line in the working directory."""
    system, path = System(Root("/")), os.path.join(environment.cwd, shown)
    with system.open(path) as reader:
        program = Program(read_image(reader), path, shown, path)
    return found_and_missing(start(system, program, environment).link_map)


def test_every_musl_fixture_is_predicted_as_listed(fixtures_dir: Path) -> None:
    below = files.dynamic_files("/", [f"{fixtures_dir}/hello", f"{fixtures_dir}/chain-musl"])
    programs = [path for path, facts in below if facts.interp == MUSL_X86_64]
    assert len(programs) > 10
    for path in programs:
        environment = Environment(cwd="/")
        assert _started(path, environment) == listed(path, Question(loader=MUSL_X86_64, cwd="/")), path


@pytest.mark.parametrize("library_path", [None, "/lib/x86_64-linux-gnu"])
def test_programs_of_this_machine_under_musl(library_path: str | None) -> None:
    """Without a search path nearly all is missing, with one nearly all is found."""
    for path, predicted, answered in programs_of_the_machine(library_path):
        assert predicted == answered, path


@pytest.mark.parametrize("release", ["debian:11", "debian:12", "debian:13", "debian:12/arm64"])
def test_programs_of_a_root_under_its_own_musl(release: str) -> None:
    """musl 1.2.2, 1.2.3 and 1.2.5, on two architectures; in a chroot, by the root's own loader."""
    for path, predicted, answered in programs_of_a_root(release):
        assert predicted == answered, path


def test_programs_that_ask_for_the_same_may_still_differ_in_their_room(tmp_path: Path) -> None:
    """A library with fixed addresses has none beside a program that has them too; both are looked at in one run."""
    shared_object(tmp_path / "libx.so", e_type=ET_EXEC)
    system, environment = System(Root("/")), Environment(cwd="/", library_path=str(tmp_path))
    question = Question(loader=MUSL_X86_64, cwd="/", env={"LD_LIBRARY_PATH": str(tmp_path)})
    for name, pie in (("pie", True), ("fixed", False), ("another-pie", True)):
        path = str(executable(tmp_path / name, interp=MUSL_X86_64, pie=pie, needed=("libx.so",)))
        with system.open(path) as reader:
            program = Program(read_image(reader), path, path, path)
        assert found_and_missing(start(system, program, environment).link_map) == listed(path, question), name


def test_a_library_is_started_by_the_loader_itself(tmp_path: Path) -> None:
    """Its $ORIGIN is then the folder of the path as given, "." where that has none."""
    shared_object(tmp_path / "libmain.so", needed=("libx.so", "libc.so", "libgone.so"), runpath="$ORIGIN/x")
    (tmp_path / "x").mkdir()
    shared_object(tmp_path / "x/libx.so")
    environment = Environment(cwd=str(tmp_path))
    for name in ("libmain.so", "./libmain.so", str(tmp_path / "libmain.so")):
        answer = listed(name, Question(loader=MUSL_X86_64, cwd=str(tmp_path)))
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
    predicted = found_and_missing(start(system, program, Environment(cwd="/")).link_map)
    assert predicted == listed("/lib/libmain.so", Question(loader=MUSL_X86_64, root=str(tmp_path), cwd="/"))
    assert predicted == (["/lib/libx.so"], [])

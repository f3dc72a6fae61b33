"""Starts made one after the other in one run are those that each would be by itself, whatever was made before."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.elf.image import read_image
from linkscope.loader.environment import Environment
from linkscope.loader.program import Program, Start
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.system import System
from tests.oracle.elfwriter import GLIBC_X86_64, executable, shared_object
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.start import start as real_start
from tests.oracle.trace import Question

# How a folder is named relative to the working directory: in the variables, by the program, and by its library.
SEARCHED: dict[str, dict[str, str]] = {
    "nothing": {},
    "LD_LIBRARY_PATH": {"variable": "lib", "by_library": "libx.so"},
    "an element . of LD_LIBRARY_PATH": {"variable": "/none:.", "by_library": "libx.so"},
    "LD_PRELOAD": {"preload": "./libx.so"},
    "a needed path": {"needed": "./libx.so"},
    "the RUNPATH of a library": {"runpath": "lib", "by_library": "libx.so"},
    "an element . of it": {"runpath": "/none:.", "by_library": "libx.so"},
    "a needed path of a library": {"by_library": "lib/libx.so"},
}
ONLY_GLIBC: dict[str, dict[str, str]] = {
    "an empty element of LD_LIBRARY_PATH": {"variable": "/none:", "by_library": "libx.so"},
    "an empty element of a RUNPATH": {"runpath": "/none:", "by_library": "libx.so"},
}
CASES = {
    f"{name} ({interp})": (interp, how) for interp in (GLIBC_X86_64, MUSL_X86_64) for name, how in SEARCHED.items()
}
CASES |= {name: (GLIBC_X86_64, how) for name, how in ONLY_GLIBC.items()}


@pytest.mark.parametrize(("interp", "how"), CASES.values(), ids=CASES)
def test_the_working_directory_counts_as_far_as_something_is_relative(
    interp: str, how: dict[str, str], tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    require_tool(interp)
    by_library = how.get("by_library")
    shared_object(tmp_path / "libmid.so", needed=(by_library,) if by_library else (), runpath=how.get("runpath"))
    needed = ("libmid.so", *([how["needed"]] if "needed" in how else []))
    programs = [str(executable(tmp_path / name, interp=interp, needed=needed)) for name in ("one", "two")]
    library_path, preload = (
        ":".join([str(tmp_path), *([how["variable"]] if "variable" in how else [])]),
        how.get("preload"),
    )
    variables = {"LD_LIBRARY_PATH": library_path, "LD_PRELOAD": preload or ""}
    system, seen = System(Root("/")), set()
    for cwd in _folders(tmp_path):
        environment = Environment(cwd=cwd, library_path=library_path, preload=preload, secure=False)
        for program in (*programs, *programs):
            made = _start(program, environment, system).link_map
            answer = real_start(program, Question(cwd=cwd, env=variables))
            assert tuple(loaded.path for loaded in made.mapped()) == answer.link_map
            assert made.main.path == program
            seen.add(tuple(loaded.identity for loaded in made.mapped()))
    assert len(seen) == (2 if how else 1)


def _folders(tmp_path: Path) -> Iterator[str]:
    for name in ("a", "b"):
        (tmp_path / name / "lib").mkdir(parents=True)
        for folder in (tmp_path / name, tmp_path / name / "lib"):
            shared_object(folder / "libx.so", soname=f"lib{name}.so")
        yield str(tmp_path / name)


def test_what_the_program_opens_later_is_looked_for_where_it_was_started(tmp_path: Path) -> None:
    program = str(executable(tmp_path / "app", needed=("libc.so.6",)))
    system = System(Root("/"))
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        library = shared_object(tmp_path / name / "libx.so")
        made = _start(program, Environment(cwd=str(library.parent), secure=False), system)
        assert made.rules is not None
        candidate = made.rules.search("./libx.so", made.link_map.main).candidate
        assert candidate is not None
        assert candidate.image is not None
        assert candidate.image.identity == (os.stat(library).st_dev, os.stat(library).st_ino)
        assert made.rules.main is made.link_map.main


def _start(program: str, environment: Environment, system: System) -> Start:
    path = os.path.join(environment.cwd, program)
    with system.open(path) as reader:
        return start(system, Program(read_image(reader), path, program, path), environment)

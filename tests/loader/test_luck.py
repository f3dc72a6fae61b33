"""What is found by luck alone: the loader, asked about the library that asks for it, does not find it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.circumstances import environment_for, system_for
from linkscope.analysis.inspect import inspect
from linkscope.analysis.request import Assumptions, Depth
from linkscope.elf.image import read_image
from linkscope.errors import LinkScopeError
from linkscope.loader.luck import by_luck
from linkscope.loader.program import Program, Start
from linkscope.loader.start import start
from linkscope.loader.system import System
from tests.oracle import trace
from tests.oracle.elfformat import DF_1_NODEFLIB
from tests.oracle.elfwriter import executable, shared_object
from tests.oracle.trace import Question

FixtureFile = Callable[[str], Path]


def _start(path: str, system: System, assumptions: Assumptions) -> Start:
    with system.open(path) as reader:
        image = read_image(reader)
        system.remember(image, reader.head)
    return start(system, Program(image, path, path, path), environment_for(assumptions, system, {}))


def _lucky(path: str | os.PathLike[str], **assumed: str) -> list[tuple[str, str]]:
    """The file name of each object that is lucky, and the name that it asks for."""
    assumptions = Assumptions(clean_env=True, secure="no", **assumed)
    started = _start(os.fspath(path), system_for(assumptions), assumptions)
    assert started.rules is not None
    found = by_luck(started.link_map, started.rules)
    assert not any(problem.fatal for problem in found)
    return [(os.path.basename(problem.needed_by or ""), problem.subject) for problem in found]


def test_a_library_without_a_path_is_lucky_where_another_had_loaded_it(fixture_file: FixtureFile) -> None:
    app = fixture_file("chain/by-luck/app")
    assert trace.trace(app).missing == []
    assert trace.trace(app.parent / "lib/libunable.so").missing == ["libleaf.so"]
    assert _lucky(app) == [("libunable.so", "libleaf.so")]


@pytest.mark.parametrize("case", ["breadth-first", "diamond", "exe-rpath-serves-grandchild", "out-of-luck"])
def test_who_would_find_it_alone_is_not_lucky(fixture_file: FixtureFile, case: str) -> None:
    """Another copy, the program's RPATH, or nothing at all (which is a missing library)."""
    assert _lucky(fixture_file(f"chain/{case}/app")) == []


def test_a_soname_that_no_file_has_is_luck(tmp_path: Path) -> None:
    """What answers by its SONAME alone would not be found by that name."""
    shared_object(tmp_path / "libfile.so", soname="libname.so")
    shared_object(tmp_path / "libasks.so", needed=("libname.so",), runpath="$ORIGIN")
    app = executable(tmp_path / "app", needed=("libfile.so", "libasks.so"), runpath="$ORIGIN")
    assert trace.trace(app).missing == []
    assert trace.trace(tmp_path / "libasks.so").missing == ["libname.so"]
    assert _lucky(app) == [("libasks.so", "libname.so")]


def test_a_preload_is_luck_for_who_would_not_find_it(tmp_path: Path) -> None:
    preload = shared_object(tmp_path / "libpre.so", soname="libpre.so")
    (tmp_path / "app").mkdir()
    app = executable(tmp_path / "app/app", needed=("libpre.so",))
    assert trace.trace(app).missing == ["libpre.so"]
    assert trace.trace(app, Question(env={"LD_PRELOAD": os.fspath(preload)})).missing == []
    assert _lucky(app, preload=os.fspath(preload)) == [("app", "libpre.so")]


def test_a_library_that_shuns_the_default_folders_is_lucky_to_get_the_c_library(fixture_file: FixtureFile) -> None:
    app = fixture_file("platform/nodeflib-library")
    assert trace.trace(app).missing == []
    assert trace.trace(app.parent / "nodeflib/libleaf.so").missing == ["libc.so.6"]
    assert ("libleaf.so", "libc.so.6") in _lucky(app)


def test_program_and_interpreter_are_no_luck(tmp_path: Path) -> None:
    """They are there before any library, whatever the order."""
    shared_object(tmp_path / "libplug.so", needed=("app.so", "ld-linux-x86-64.so.2"), flags_1=DF_1_NODEFLIB)
    app = executable(tmp_path / "app", soname="app.so", needed=("libplug.so",), runpath="$ORIGIN")
    assert trace.trace(app).missing == []
    assert _lucky(app) == []


def test_luck_on_this_machine_is_what_the_loader_says_of_each_library_alone() -> None:
    """What is lucky in a program is missing alone, and the other way round (but for programs with an RPATH)."""
    assumptions = Assumptions(clean_env=True, secure="no")
    system = system_for(assumptions)
    for entry in sorted(os.scandir("/usr/bin"), key=lambda entry: entry.name):
        try:
            started = _start(entry.path, system, assumptions)
        except LinkScopeError:
            continue
        program = started.link_map.main.image
        if started.rules is None or trace.refusal(entry.path) is not None or (program and program.rpath):
            continue
        lucky = {(p.needed_by, p.subject) for p in by_luck(started.link_map, started.rules)}
        assert lucky == _missing_alone(started), entry.path


_ALONE: dict[str, list[str]] = {}


def _missing_alone(started: Start) -> set[tuple[str | None, str]]:
    """The libraries of a program that miss a need of theirs when the loader is asked about them alone."""
    found: set[tuple[str | None, str]] = set()
    for loaded in started.link_map.objects:
        if loaded.role != "library" or loaded.path is None or loaded.image is None:
            continue
        if loaded.path not in _ALONE:
            _ALONE[loaded.path] = trace.trace(loaded.path).missing
        found |= {(loaded.path, name) for name in _ALONE[loaded.path] if name in loaded.image.needed}
    return found


@pytest.mark.parametrize("source", ["LD_PRELOAD", "/etc/ld.so.preload"])
def test_what_names_a_preload_that_brings_luck_is_named(tmp_path: Path, source: str) -> None:
    loader = tmp_path / "lib64/ld-linux-x86-64.so.2"
    for folder in ("lib64", "etc", "lib", "away"):
        (tmp_path / folder).mkdir()
    loader.write_bytes(Path("/lib64/ld-linux-x86-64.so.2").read_bytes())
    loader.chmod(0o755)
    shared_object(tmp_path / "away/libp.so", soname="libp.so")
    shared_object(tmp_path / "lib/libasks.so", needed=("libp.so",))
    app = executable(tmp_path / "app", needed=("libasks.so",), runpath="/lib")
    if source != "LD_PRELOAD":
        (tmp_path / "etc/ld.so.preload").write_text("/away/libp.so\n")
    preloaded = "/away/libp.so" if source == "LD_PRELOAD" else ""
    ran = inspect([os.fspath(app)], Assumptions(root=os.fspath(tmp_path), preload=preloaded, clean_env=True), Depth())
    (problem,) = [problem for problem in ran.files[0].problems if problem.code == "by-luck"]
    assert problem.message.endswith(f"it is satisfied by /away/libp.so, which {source} loads first")

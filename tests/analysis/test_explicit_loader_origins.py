"""Programs that were started through their loader (`ld.so ./app`): judged by what was started, and how."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.analysis.observed import (
    called,
    codes,
    held,
    in_link_map,
    library_origins,
    needs_loader,
    objects,
    observed,
    origins,
)
from tests.oracle.elfwriter import GLIBC_X86_64, executable, shared_object
from tests.oracle.forest import MUSL_X86_64
from tests.process.started import Argument, started

FixtureFile = Callable[[str], Path]

# Arguments of the loader, with @ for the folder of the plugins: the origins of what comes.
EXPLICIT = {
    "": {},
    "--inhibit-cache --library-path @:/lib/x86_64-linux-gnu": {},
    "--preload @/libneedy.so": {"libneedy.so": "preload", "libneeded.so": "needed"},
    "--argv0 another --inhibit-rpath /nowhere --preload libplain.so": {"libplain.so": "preload"},
}
EXPLICIT_MUSL = {
    "": {},
    "--library-path=@": {},
    "--preload @/libneedy.so --argv0 another --": {"libneedy.so": "preload", "libneeded.so": "needed"},
}
STARTS = [
    *((GLIBC_X86_64, "", options, found) for options, found in EXPLICIT.items()),
    *((MUSL_X86_64, "-musl", options, found) for options, found in EXPLICIT_MUSL.items()),
]


@pytest.mark.parametrize(("loader", "variant", "options", "expected"), STARTS)
def test_a_program_that_was_started_through_its_loader_is_the_program(
    fixture_file: FixtureFile, loader: str, variant: str, options: str, expected: dict[str, str]
) -> None:
    """The kernel's name for what runs is the loader's; what was preloaded is said to be an option's."""
    host, plugins = fixture_file(f"process/dlopen{variant}"), fixture_file(f"process/plugins{variant}")
    command: list[Argument] = [loader, *options.replace("@", os.fspath(plugins)).split(), host, plugins / "libplain.so"]
    with started(command, env={}) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert in_link_map(process) == running.values("map")
    assert process.executable is not None
    assert process.executable.path == os.fspath(host)
    assert process.executable.started_through == os.path.realpath(loader)
    assert process.executable.linkage == "dynamic"
    assert library_origins(process) == {"libplain.so": "dlopen", **expected}
    assert [os.path.realpath(loader)] == [one.path for one in objects(process) if one.origin == "interpreter"]
    assert process.absent == []
    assert set(codes(process)) == ({"preloaded"} if expected else set())
    assert all("--preload" in found.message for found in process.findings)


def test_the_search_path_on_the_loaders_command_line_decides(folder: Path) -> None:
    """It stands in the place of LD_LIBRARY_PATH."""
    for name in ("good", "evil"):
        (folder / name).mkdir()
        shared_object(folder / name / "liba.so", soname="liba.so")
    app = executable(folder / "app", needed=("liba.so",))
    env = {"LD_LIBRARY_PATH": f"{folder}/evil"}
    with held([GLIBC_X86_64, "--library-path", f"{folder}/good", app], env=env) as running:
        process = observed(running.pid)
        assert in_link_map(process) == running.link_map()
    assert called(process, "liba.so").path == f"{folder}/good/liba.so"
    assert codes(process) == []


@pytest.mark.parametrize("loader", [GLIBC_X86_64, MUSL_X86_64], ids=["glibc", "musl"])
def test_a_program_that_the_loader_was_given_by_a_relative_path_is_found(folder: Path, loader: str) -> None:
    """Its $ORIGIN is relative then, and counts from where the loader was started."""
    needs_loader(loader)
    (folder / "lib").mkdir()
    shared_object(folder / "lib/liba.so", soname="liba.so")
    executable(folder / "app", interp=loader, needed=("liba.so",), runpath="$ORIGIN/lib")
    with held([loader, "./app"], env={"PWD": "/"}, cwd=folder) as running:
        process = observed(running.pid)
        assert in_link_map(process) == running.link_map()
    assert process.executable is not None
    assert process.executable.path == f"{folder}/app"
    assert library_origins(process) == {"liba.so": "needed"}
    assert codes(process) == []


def test_a_static_program_that_was_given_to_the_loader_is_static(fixture_file: FixtureFile) -> None:
    """glibc's loader has the kernel start it, from 2.35 on."""
    with started([GLIBC_X86_64, fixture_file("process/states-static"), "sleeping"], env={}) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert process.executable is not None
    assert (process.executable.linkage, process.executable.started_through) == ("static", None)
    assert origins(process) == {"states-static": "executable", "[vdso]": "vdso"}

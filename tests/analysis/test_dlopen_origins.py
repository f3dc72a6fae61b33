"""What is opened at run time, and what comes with it: judged by the program's own link map, and by what was opened."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.model.pid import Opener
from tests.analysis.observed import (
    called,
    closure_in_memory,
    codes,
    elf_files,
    in_link_map,
    library_origins,
    objects,
    observed,
    origins,
)
from tests.oracle.elfwriter import GLIBC_X86_64, shared_object
from tests.process.started import Argument, started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

# What is opened, by name: what else comes, and from where each is.
OPENED = {
    "libplain.so": {"libplain.so": "dlopen"},
    "libneedy.so": {"libneedy.so": "dlopen", "libneeded.so": "dlopen-needed"},
    "libopener.so": {"libopener.so": "dlopen", "liblate.so": "dlopen"},
    "libdeclares.so": {"libdeclares.so": "dlopen", "libdeclared.so": "dlopen"},
}
HOSTS = {"process/dlopen": "plugins", "process/dlopen-musl": "plugins-musl", "process/dlopen-static": "plugins"}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("plugin", OPENED)
def test_what_is_opened_at_run_time_is_told_from_what_that_needs(
    fixture_file: FixtureFile, host: str, plugin: str
) -> None:
    """In the order, and by the names, that the program sees in its own link map."""
    library = fixture_file(f"process/{HOSTS[host]}/{plugin}")
    with started([fixture_file(host), library]) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert in_link_map(process) == running.values("map")
    assert library_origins(process) == OPENED[plugin]
    assert called(process, plugin).loaded_as == os.fspath(library)
    assert process.absent == []
    assert codes(process) == (["loaded-by-static"] if host.endswith("static") else [])


@pytest.mark.parametrize("variant", ["", "-musl"])
def test_an_object_names_another_that_it_opens_in_a_string_or_declares_it_in_a_note(
    fixture_file: FixtureFile, variant: str
) -> None:
    """One that the program's arguments name is named by no file."""
    plugins = fixture_file(f"process/plugins{variant}")
    with started(
        [fixture_file(f"process/dlopen{variant}"), plugins / "libopener.so", plugins / "libdeclares.so"]
    ) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert called(process, "liblate.so").opened_by == [Opener(path=f"{plugins}/libopener.so", how="string")]
    assert called(process, "libdeclared.so").opened_by == [Opener(path=f"{plugins}/libdeclares.so", how="note")]
    assert called(process, "libopener.so").opened_by == []


def test_a_library_of_a_further_namespace_is_opened_and_has_its_number(fixture_file: FixtureFile) -> None:
    plugins = fixture_file("process/plugins")
    asked: list[Argument] = [plugins / "libplain.so", "-n", plugins / "libneedy.so", "-n", plugins / "libplain.so"]
    with started([fixture_file("process/dlopen"), *asked]) as running:
        running.expect("ready")
        process = observed(running.pid)
        others = {tuple(line.split(" ", 1)) for line in running.values("other")}
    found = {(str(n), one.path) for one in objects(process) for n in one.namespaces if n}
    assert found == {(number, os.path.realpath(name)) for number, name in others}
    assert library_origins(process) == {
        "libplain.so": "dlopen",
        "libneedy.so": "dlopen",
        "libneeded.so": "dlopen-needed",
    }
    assert called(process, "libplain.so").namespaces == [0, 2]
    assert called(process, "libc.so.6").namespaces == [0, 1, 2]
    assert called(process, "libc.so.6").origin == "needed"


def test_what_the_program_needs_stays_needed_though_it_is_opened_too(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/dlopen"), "libc.so.6", GLIBC_X86_64]) as running:
        running.expect("ready")
        assert running.values("opened") == ["libc.so.6", GLIBC_X86_64]
        process = observed(running.pid)
    assert origins(process)["libc.so.6"] == "needed"
    assert origins(process)["ld-linux-x86-64.so.2"] == "interpreter"


def test_a_plugin_out_of_a_memfd_needs_what_nobody_else_does(fixture_file: FixtureFile, tmp_path: Path) -> None:
    shared_object(tmp_path / "libplugin.so", soname="libplugin.so", needed=("libc.so.6", "libm.so.6"))
    with started([fixture_file("process/dlopen"), "-m", tmp_path / "libplugin.so"]) as running:
        running.expect("ready")
        process = observed(running.pid)
    (plugin,) = (one for one in objects(process) if one.disk == "memfd")
    assert (plugin.origin, plugin.soname) == ("dlopen", "libplugin.so")
    assert library_origins(process) == {"memfd:library": "dlopen", "libm.so.6": "dlopen-needed"}


def test_another_file_of_a_name_that_is_loaded_is_opened_and_not_needed(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """The need of the first plugin was served by the file beside it: its soname answers to the name from then on."""
    plugins = fixture_file("process/plugins")
    copy = Path(shutil.copy(plugins / "libneeded.so", tmp_path))
    with started([fixture_file("process/dlopen"), plugins / "libneedy.so", copy]) as running:
        running.expect("ready")
        found = {one.path: one.origin for one in objects(observed(running.pid))}
    assert found[os.fspath(plugins / "libneeded.so")] == "dlopen-needed"
    assert found[os.fspath(copy)] == "dlopen"


def test_python_opens_its_extensions_and_they_need_the_libraries_below(require_tool: RequireTool) -> None:
    script = "import _ssl, sys; print('ready', flush=True); sys.stdin.read()"
    with started([require_tool("/usr/bin/python3"), "-I", "-S", "-c", script]) as python:
        python.expect("ready")
        process = observed(python.pid)
        closure = closure_in_memory(python.pid)
        files = elf_files(python.pid)
    found = {one.path: one.origin for one in objects(process)}
    extension = next(path for path in found if "/_ssl." in path)
    below = {
        os.path.basename(path): origin for path, origin in found.items() if "dlopen" in origin and path != extension
    }
    assert found[extension] == "dlopen"
    assert {below["libssl.so.3"], below["libcrypto.so.3"]} == {"dlopen-needed"}
    for path, origin in found.items():
        assert path == "[vdso]" or (files[path] in closure) == ("dlopen" not in origin)

"""What stands before all that is needed: preloads, by the variable, by the file of the system, and by memory alone."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.analysis.observed import called, codes, held, in_link_map, library_origins, needs_root, observed
from tests.analysis.staged import PATH, in_root
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import program
from tests.oracle.forest import Forest, Node
from tests.oracle.recipe import Recipe
from tests.process.started import started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

# The variable, with @ for the folder of the plugins: what comes of it.
PRELOADED = {
    "@/libplain.so": {"libplain.so": "preload"},
    "libplain.so": {"libplain.so": "preload"},
    "libneedy.so": {"libneedy.so": "preload", "libneeded.so": "needed"},
    "libneeded.so libneedy.so": {"libneeded.so": "preload", "libneedy.so": "preload"},
    "libplain.so:libgone.so @/libneedy.so": {
        "libplain.so": "preload",
        "libneedy.so": "preload",
        "libneeded.so": "needed",
    },
}


@pytest.mark.parametrize("value", PRELOADED)
def test_what_the_variable_names_is_preloaded_and_what_that_needs_is_needed(
    fixture_file: FixtureFile, value: str
) -> None:
    """A bare name is searched for as the program's own needs are: in its RUNPATH."""
    plugins = fixture_file("process/plugins")
    env = {"LD_PRELOAD": value.replace("@", os.fspath(plugins))}
    with started([fixture_file("process/dlopen")], env=env) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert in_link_map(process) == running.values("map")
    assert library_origins(process) == PRELOADED[value]
    preloads = [name for name, origin in PRELOADED[value].items() if origin == "preload"]
    assert [(found.code, os.path.basename(found.path or "")) for found in process.findings] == [
        ("preloaded", name) for name in preloads
    ]
    assert {found.level for found in process.findings} == {"note"}
    assert all("LD_PRELOAD" in found.message for found in process.findings)


@pytest.mark.parametrize("names", [("needy",), ("plain", "needy")], ids="+".join)
def test_musl_preloads_are_told_too(fixture_file: FixtureFile, names: Sequence[str]) -> None:
    plugins = fixture_file("process/plugins-musl")
    env = {"LD_PRELOAD": ":".join(f"{plugins}/lib{name}.so" for name in names)}
    with started([fixture_file("process/dlopen-musl")], env=env) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert in_link_map(process) == running.values("map")
    assert library_origins(process) == {**{f"lib{name}.so": "preload" for name in names}, "libneeded.so": "needed"}


def test_a_library_that_is_preloaded_and_opened_is_a_preload(fixture_file: FixtureFile) -> None:
    library = fixture_file("process/plugins/libplain.so")
    with started([fixture_file("process/dlopen"), library], env={"LD_PRELOAD": os.fspath(library)}) as running:
        running.expect("ready")
        assert library_origins(observed(running.pid)) == {"libplain.so": "preload"}


@pytest.mark.parametrize("variant", ["", "-musl"])
def test_where_the_environment_is_written_over_memory_shows_the_preload(
    fixture_file: FixtureFile, variant: str
) -> None:
    """By its place before everything that is needed, with both loaders; what it needs itself is needed."""
    plugins = fixture_file(f"process/plugins{variant}")
    env = {"LD_PRELOAD": f"{plugins}/libneedy.so"}
    with started([fixture_file(f"process/scrubbed{variant}"), "a title"], env=env) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert process.cmdline == ["a title"]
    assert library_origins(process) == {"libneedy.so": "preload", "libneeded.so": "needed"}
    assert codes(process) == ["preloaded", "environment-unknown"]
    assert process.findings[0].level == "warning"
    assert process.absent == []


@pytest.mark.parametrize("variant", ["", "-musl"])
def test_a_plugin_is_no_preload_where_the_environment_is_written_over(
    fixture_file: FixtureFile, tmp_path: Path, require_tool: RequireTool, variant: str
) -> None:
    """It stands behind what the program needs."""
    source = tmp_path / "opens.c"
    source.write_text(OPENS_SCRUBBED)
    compiler = require_tool("musl-gcc" if variant else "gcc")
    subprocess.run([compiler, source, "-o", tmp_path / "opens"], check=True)
    library = fixture_file(f"process/plugins{variant}/libplain.so")
    with started([tmp_path / "opens"], env={"A_VARIABLE": os.fspath(library), "LD_PRELOAD": ""}) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert library_origins(process) == {"libplain.so": "dlopen"}
    assert codes(process) == ["environment-unknown"]


def test_without_the_environment_only_what_the_name_leads_to_now_is_another_path(
    fixture_file: FixtureFile, folder: Path
) -> None:
    """LD_LIBRARY_PATH is not known any more, so that the usual folders have no say: the name in the link map has."""
    library = os.path.realpath("/lib/x86_64-linux-gnu/libc.so.6")
    if not os.path.exists(library):
        raise Unavailable("the C library stands elsewhere here")
    for name in ("libc-old.so", "libc-new.so"):
        shutil.copy(library, folder / name)
    (folder / "libc.so.6").symlink_to("libc-old.so")
    with started([fixture_file("process/scrubbed"), "a title"], env={"LD_LIBRARY_PATH": os.fspath(folder)}) as running:
        running.expect("ready")
        before = observed(running.pid)
        (folder / "next").symlink_to("libc-new.so")
        (folder / "next").rename(folder / "libc.so.6")
        process = observed(running.pid)
    assert called(before, "libc-old.so").loaded_as == f"{folder}/libc.so.6"
    assert called(before, "libc-old.so").origin == "needed"
    assert codes(before) == ["environment-unknown"]
    assert called(process, "libc-old.so").restart is not None
    assert codes(process) == ["other-path", "environment-unknown"]


OPENS_SCRUBBED = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
extern char **environ;
int main(void)
{
    void *opened = dlopen(getenv("A_VARIABLE"), RTLD_NOW);
    for (char **variable = environ; *variable; variable++)
        memset(*variable, 0, strlen(*variable));
    puts(opened ? "ready" : dlerror());
    fflush(stdout);
    alarm(600);
    for (;;)
        pause();
}
"""


def _rooted(system_preload: str | None, *nodes: Node) -> Forest:
    """A root of its own: a program that needs liba.so, and its own /etc/ld.so.preload."""
    return Forest(
        nodes=(
            Node("bin/app", program(needed=("liba.so",))),
            Node("usr/lib/liba.so", Recipe(soname="liba.so")),
            Node("opt/libp.so", Recipe(soname="libp.so", needed=("libq.so",))),
            Node("usr/lib/libq.so", Recipe(soname="libq.so")),
            *nodes,
        ),
        rooted=True,
        system_preload=system_preload,
    )


def test_the_preload_file_of_its_own_root_counts() -> None:
    """In a chroot inside another mount namespace; this machine's own /etc/ld.so.preload has no say."""
    needs_root()
    with _rooted("# of the root\n/opt/libp.so\n").planted() as planted:
        with held(in_root(planted.base, "/bin/app"), env=PATH) as running:
            process = observed(running.pid)
            assert in_link_map(process) == running.link_map()
        assert process.root == planted.base
    assert library_origins(process) == {"libp.so": "preload", "libq.so": "needed", "liba.so": "needed"}
    assert codes(process) == ["preloaded"]
    assert "/etc/ld.so.preload" in process.findings[0].message

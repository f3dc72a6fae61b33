"""What a program needs is found as its loader found it: judged by what was started, and how.

A program of the ELF writer is held at its first word, which is its own link map.
"""

import os
import subprocess
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
    needs_root,
    observed,
    origins,
)
from tests.analysis.staged import replace_library
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import executable, shared_object
from tests.oracle.forest import MUSL_X86_64
from tests.process.started import NOBODY, started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]


@pytest.mark.parametrize("setuid", [False, True], ids=["ordinary", "setuid"])
def test_in_secure_execution_the_variables_do_not_count(folder: Path, setuid: bool) -> None:
    needs_root()
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        raise Unavailable("no setuid file counts on this file system")
    for name in ("good", "evil"):
        (folder / name).mkdir()
        shared_object(folder / name / "liba.so", soname="liba.so")
    shared_object(folder / "libp.so", soname="libp.so")
    app = executable(folder / "app", needed=("liba.so",), runpath=f"{folder}/good")
    app.chmod(0o4755 if setuid else 0o755)
    env = {"LD_LIBRARY_PATH": f"{folder}/evil", "LD_PRELOAD": f"{folder}/libp.so"}
    with held([app], env=env, user=NOBODY, group=NOBODY, extra_groups=[]) as running:
        process = observed(running.pid)
    assert process.user == ("root" if setuid else "nobody")
    assert called(process, "liba.so").path == f"{folder}/{'good' if setuid else 'evil'}/liba.so"
    assert library_origins(process) == {"liba.so": "needed"} | ({} if setuid else {"libp.so": "preload"})
    assert codes(process) == ([] if setuid else ["preloaded"])


def test_the_origin_of_a_program_behind_a_symlink_is_where_its_file_is(folder: Path) -> None:
    for name in ("real", "link"):
        (folder / name / "lib").mkdir(parents=True)
        shared_object(folder / name / "lib/liba.so", soname="liba.so")
    executable(folder / "real/app", needed=("liba.so",), runpath="$ORIGIN/lib")
    (folder / "link/app").symlink_to("../real/app")
    with held([folder / "link/app"]) as running:
        process = observed(running.pid)
    assert called(process, "liba.so").path == f"{folder}/real/lib/liba.so"
    assert codes(process) == []


def test_the_origin_in_a_needed_name_is_followed(folder: Path) -> None:
    """Also where the file has gone since: the name in the file has the token, the one in the link map the folder."""
    (folder / "own").mkdir()
    library = shared_object(folder / "own/liba.so")
    app = executable(folder / "app", needed=("$ORIGIN/own/liba.so",))
    with held([app]) as running:
        assert origins(observed(running.pid))["liba.so"] == "needed"
        assert codes(observed(running.pid)) == []
        library.unlink()
        process = observed(running.pid)
    assert (called(process, "liba.so").origin, called(process, "liba.so").disk) == ("needed", "deleted")


GOES_AWAY = """
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    if (chdir("/"))
        return 1;
    puts("ready");
    fflush(stdout);
    alarm(600);
    for (;;)
        pause();
}
"""


@pytest.fixture(scope="module")
def daemon(require_tool: RequireTool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that goes to / as daemons do; it needs liba.so, by a RUNPATH that counts from where it was started."""
    folder = tmp_path_factory.mktemp("daemon").resolve()
    (folder / "daemon.c").write_text(GOES_AWAY)
    (folder / "lib").mkdir()
    library = shared_object(folder / "lib/liba.so", soname="liba.so")
    flags = ["-Wl,--no-as-needed", "-Wl,-rpath,lib"]
    subprocess.run([require_tool("gcc"), *flags, folder / "daemon.c", library, "-o", folder / "daemon"], check=True)
    return folder / "daemon"


def test_a_relative_search_path_counts_from_where_the_shell_was(daemon: Path) -> None:
    with started([daemon], cwd=daemon.parent, env={"PWD": os.fspath(daemon.parent)}) as running:
        running.expect("ready")
        assert os.readlink(f"/proc/{running.pid}/cwd") == "/"
        process = observed(running.pid)
    assert library_origins(process) == {"liba.so": "needed"}
    assert process.absent == []
    assert codes(process) == []


@pytest.mark.parametrize("pwd", [None, "/", "other"])
def test_a_program_may_be_started_in_another_folder_than_the_variable_says(folder: Path, pwd: str | None) -> None:
    """Whatever starts it without a shell leaves its own: the folder in which the program is now fits better then."""
    for name in ("lib", "other/lib"):
        (folder / name).mkdir(parents=True)
        shared_object(folder / name / "liba.so", soname="liba.so")
    app = executable(folder / "app", needed=("liba.so",))
    env = {"LD_LIBRARY_PATH": "lib"} | ({} if pwd is None else {"PWD": os.path.join(folder, pwd)})
    with held([app], env=env, cwd=folder) as running:
        process = observed(running.pid)
        assert in_link_map(process) == running.link_map()
    assert called(process, "liba.so").loaded_as == "lib/liba.so"
    assert called(process, "liba.so").path == f"{folder}/lib/liba.so"
    assert process.absent == []
    assert codes(process) == []


def test_the_folder_for_this_processor_is_where_the_library_is(fixture_file: FixtureFile) -> None:
    with held([fixture_file("platform/hwcaps")]) as running:
        process = observed(running.pid)
    assert called(process, "libleaf.so").origin == "needed"
    assert "/glibc-hwcaps/" in called(process, "libleaf.so").path
    assert codes(process) == []


def test_musl_needs_are_followed_by_its_own_rules(folder: Path) -> None:
    """RUNPATH of the program serves what its libraries need."""
    needs_loader(MUSL_X86_64)
    shared_object(folder / "liba.so", needed=("libb.so",))
    shared_object(folder / "libb.so")
    app = executable(folder / "app", interp=MUSL_X86_64, needed=("liba.so", "libc.so"), runpath="$ORIGIN")
    with held([app]) as running:
        process = observed(running.pid)
        assert in_link_map(process) == running.link_map()
    assert library_origins(process) == {"liba.so": "needed", "libb.so": "needed"}
    assert codes(process) == []


@pytest.mark.parametrize("kind", ["auxiliary", "filter"])
def test_what_a_filter_stands_for_is_needed(folder: Path, kind: str) -> None:
    """Also where the filter is another file by now: its filtee, which stands first, is no preload."""
    shared_object(folder / "libfiltee.so", soname="libfiltee.so")
    shared_object(folder / "liba.so", soname="liba.so", runpath="$ORIGIN", **{kind: ("libfiltee.so",)})
    app = executable(folder / "app", needed=("liba.so",), runpath="$ORIGIN")
    with held([app]) as running:
        assert codes(observed(running.pid)) == []
        replace_library(folder / "liba.so", soname="liba.so")
        process = observed(running.pid)
        assert in_link_map(process) == running.link_map()
    assert library_origins(process) == {"libfiltee.so": "needed", "liba.so": "needed"}
    assert codes(process) == ["stale-object"]

"""What changed on the disk since the start, and what a restart would map: judged by what the test has changed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.model.pid import Restart
from tests.analysis.observed import as_nobody, called, codes, held, library_origins, needs_loader, observed
from tests.analysis.staged import replace_library
from tests.oracle.elfwriter import GLIBC_X86_64, executable, shared_object
from tests.oracle.forest import MUSL_X86_64
from tests.process.started import NOBODY, Argument, started

FixtureFile = Callable[[str], Path]


@pytest.mark.parametrize("interpreter", [GLIBC_X86_64, MUSL_X86_64], ids=["glibc", "musl"])
def test_what_an_upgraded_library_no_longer_needs_was_needed_all_the_same(folder: Path, interpreter: str) -> None:
    """And what it needs now is absent: directly, and through another."""
    needs_loader(interpreter)
    shared_object(folder / "liba.so", soname="liba.so", needed=("libb.so",))
    shared_object(folder / "libb.so", soname="libb.so", needed=("libbelow.so",))
    shared_object(folder / "libbelow.so", soname="libbelow.so")
    shared_object(folder / "libnext.so", soname="libnext.so")
    app = executable(folder / "app", interp=interpreter, needed=("liba.so",), rpath=os.fspath(folder))
    with held([app]) as running:
        assert codes(observed(running.pid)) == []
        replace_library(folder / "liba.so", soname="liba.so", needed=("libnext.so",))
        process = observed(running.pid)
        replace_library(folder / "libb.so", soname="libb.so")
        later = observed(running.pid)
        (folder / "libb.so").unlink()
        last = observed(running.pid)
    assert library_origins(process) == {"liba.so": "needed", "libb.so": "needed", "libbelow.so": "needed"}
    assert called(process, "liba.so").disk == "replaced"
    assert called(process, "libb.so").disk == "same"
    assert process.absent == ["libnext.so"]
    assert sorted(codes(process)) == ["missing-object", "stale-object"]
    assert library_origins(later) == library_origins(last) == library_origins(process)
    assert called(later, "libb.so").restart == Restart(path=f"{folder}/libb.so", build_id=None)
    assert called(last, "libb.so").restart == Restart(path=None, build_id=None)


def test_an_ordinary_user_learns_from_memory_what_a_replaced_library_needed(folder: Path) -> None:
    """Who may not open what is mapped reads the names where the loader has them."""
    shared_object(folder / "liba.so", soname="liba.so", needed=("libb.so",))
    shared_object(folder / "libb.so", soname="libb.so")
    app = executable(folder / "app", needed=("liba.so",), rpath=os.fspath(folder))
    with held([app], user=NOBODY, group=NOBODY, extra_groups=[]) as running:
        replace_library(folder / "liba.so", soname="liba.so")
        replace_library(folder / "libb.so", soname="libb.so")
        (process,) = as_nobody([running.pid]).processes
    assert library_origins(process) == {"liba.so": "needed", "libb.so": "needed"}
    assert (called(process, "libb.so").disk, called(process, "libb.so").soname) == ("replaced", "libb.so")
    assert codes(process) == ["stale-object", "stale-object"]


def test_a_symlink_that_leads_to_another_file_by_now_is_another_path(folder: Path) -> None:
    """The mapped file is still there, and no stale one: but a restart takes the new one."""
    shared_object(folder / "libx.so.1.0", soname="libx.so.1", build_id=b"old")
    shared_object(folder / "libx.so.1.1", soname="libx.so.1", build_id=b"new")
    (folder / "libx.so.1").symlink_to("libx.so.1.0")
    app = executable(folder / "app", needed=("libx.so.1",), runpath="$ORIGIN")
    with held([app]) as running:
        assert codes(observed(running.pid)) == []
        (folder / "next").symlink_to("libx.so.1.1")
        (folder / "next").rename(folder / "libx.so.1")
        process = observed(running.pid)
    mapped = called(process, "libx.so.1.0")
    assert (mapped.disk, mapped.origin, mapped.build_id) == ("same", "needed", b"old".hex())
    assert mapped.loaded_as == f"{folder}/libx.so.1"
    assert mapped.restart == Restart(path=f"{folder}/libx.so.1", build_id=b"new".hex())
    assert codes(process) == ["other-path"]
    assert process.absent == []


@pytest.mark.parametrize("place", ["first", "second/glibc-hwcaps/x86-64-v2"], ids=["folder", "hwcaps"])
def test_a_library_that_came_to_stand_earlier_in_the_search_is_another_path(folder: Path, place: str) -> None:
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    shared_object(folder / "second/liba.so", soname="liba.so")
    app = executable(folder / "app", needed=("liba.so",))
    with held([app], env={"LD_LIBRARY_PATH": f"{folder}/first:{folder}/second"}) as running:
        assert codes(observed(running.pid)) == []
        (folder / place).mkdir(parents=True, exist_ok=True)
        shared_object(folder / place / "liba.so", soname="liba.so")
        process = observed(running.pid)
    mapped = called(process, "liba.so")
    assert (mapped.path, mapped.disk) == (f"{folder}/second/liba.so", "same")
    assert mapped.restart == Restart(path=f"{folder}/{place}/liba.so", build_id=None)
    assert codes(process) == ["other-path"]


def test_the_program_that_runs_is_told_and_not_the_one_that_took_its_place(folder: Path) -> None:
    shared_object(folder / "liba.so", soname="liba.so")
    app = executable(folder / "app", needed=("liba.so",), runpath="$ORIGIN", build_id=b"old")
    executable(folder / "static", interp=None, pie=False, build_id=b"new")
    with held([app]) as running:
        (folder / "static").rename(app)
        process = observed(running.pid)
        app.unlink()
        later = observed(running.pid)
    for seen, disk in ((process, "replaced"), (later, "deleted")):
        assert seen.executable is not None
        assert (seen.executable.path, seen.executable.disk) == (os.fspath(app), disk)
        assert (seen.executable.linkage, seen.executable.pie) == ("dynamic", True)
        assert library_origins(seen) == {"liba.so": "needed"}
        assert called(seen, "app").build_id == b"old".hex()
        assert codes(seen) == ["stale-object"]
        assert seen.absent == []
    assert called(process, "app").restart == Restart(path=os.fspath(app), build_id=b"new".hex())
    assert called(later, "app").restart == Restart(path=None, build_id=None)


def test_a_plugin_that_was_replaced_or_moved_away_is_found_by_its_path(fixture_file: FixtureFile, folder: Path) -> None:
    plugin = shared_object(folder / "libplugin.so", soname="libplugin.so", build_id=b"old")
    with started([fixture_file("process/dlopen"), plugin]) as running:
        running.expect("ready")
        assert called(observed(running.pid), "libplugin.so").restart is None
        replace_library(plugin, soname="libplugin.so", build_id=b"new")
        mapped = called(observed(running.pid), "libplugin.so")
        plugin.unlink()
        later = called(observed(running.pid), "libplugin.so")
    assert (mapped.origin, mapped.disk) == (later.origin, "replaced")
    assert mapped.build_id == later.build_id == b"old".hex()
    assert mapped.restart == Restart(path=os.fspath(plugin), build_id=b"new".hex())
    assert (later.disk, later.restart) == ("deleted", Restart(path=None, build_id=None))


def test_a_plugin_whose_symlink_leads_to_another_file_by_now_is_another_path(
    fixture_file: FixtureFile, folder: Path
) -> None:
    """A restart opens it by the same name; so does whatever needs it."""
    shared_object(folder / "libx.so.1.0", soname="libx.so.1", build_id=b"old")
    shared_object(folder / "libx.so.1.1", soname="libx.so.1", build_id=b"new")
    shared_object(folder / "libplugin.so", needed=("libx.so.1",), runpath="$ORIGIN")
    (folder / "libx.so.1").symlink_to("libx.so.1.0")
    with started([fixture_file("process/dlopen"), folder / "libplugin.so"], env={}) as running:
        running.expect("ready")
        assert codes(observed(running.pid)) == []
        (folder / "next").symlink_to("libx.so.1.1")
        (folder / "next").rename(folder / "libx.so.1")
        process = observed(running.pid)
    mapped = called(process, "libx.so.1.0")
    assert (mapped.origin, mapped.disk) == ("dlopen-needed", "same")
    assert mapped.restart == Restart(path=f"{folder}/libx.so.1", build_id=b"new".hex())
    assert codes(process) == ["other-path"]


@pytest.mark.parametrize("variant", ["", "-musl"])
@pytest.mark.parametrize("name", ["/proc/self/fd", "/dev/fd"])
def test_a_library_that_was_opened_by_the_number_of_a_descriptor_has_its_own_name(
    fixture_file: FixtureFile, folder: Path, name: str, variant: str
) -> None:
    """The number means another file, or none, to everybody else."""
    plugin = shutil.copy(fixture_file(f"process/plugins{variant}/libplain.so"), folder)
    descriptor = os.open(plugin, os.O_RDONLY)
    argv: list[Argument] = [fixture_file(f"process/dlopen{variant}"), f"{name}/{descriptor}"]
    try:
        with started(argv, pass_fds=[descriptor]) as running:
            running.expect("ready")
            with open("/dev/null") as other:
                os.dup2(other.fileno(), descriptor)
                processes_seen = [observed(running.pid)]
                os.close(descriptor)
                processes_seen.append(observed(running.pid))
                os.dup2(other.fileno(), descriptor)
    finally:
        os.close(descriptor)
    for process in processes_seen:
        mapped = called(process, "libplain.so")
        assert (mapped.loaded_as, mapped.disk, mapped.restart) == (f"{name}/{descriptor}", "same", None)
        assert codes(process) == []

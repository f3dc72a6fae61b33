"""Processes without a program, and those of others: what can be told is told, and why not the rest."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from linkscope.analysis.process import each_process
from linkscope.analysis.request import Looking
from tests.analysis.observed import as_nobody, codes, elf_files, held, needs_root, objects, observed
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import executable
from tests.process.started import NOBODY, as_user, started, state, until

FixtureFile = Callable[[str], Path]


def test_a_thread_of_the_kernel_has_no_program() -> None:
    if "kthreadd" not in Path("/proc/2/comm").read_text():
        raise Unavailable("no threads of the kernel can be seen here")
    process = observed(2)
    assert (process.name, process.ppid, process.cmdline, process.user) == ("kthreadd", 0, [], "root")
    assert (process.executable, process.objects, process.libraries, process.absent) == (None, [], 0, [])
    assert "kernel-thread" in codes(process)
    assert "not-predicted" not in codes(process)


def test_a_zombie_has_no_program_any_more(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states"), "zombie"]) as running:
        pid = running.number("pid")
        until(lambda: state(pid) == "Z", "a zombie")
        zombie, mother = observed(pid), observed(running.pid)
    assert (zombie.state, zombie.ppid, zombie.name, zombie.cmdline) == ("zombie", running.pid, "states", [])
    assert (zombie.executable, zombie.objects, zombie.libraries) == (None, [], 0)
    assert "zombie" in codes(zombie)
    assert "not-permitted" not in codes(zombie)
    assert mother.family.zombies == [pid]


def test_somebody_elses_process_is_told_in_part(fixture_file: FixtureFile) -> None:
    """What everybody may read is there, all else is null, with a reason, and an error beside."""
    with started([fixture_file("servers/threads"), "-p", "0"]) as running:
        running.expect("port")
        whole, document = observed(running.pid), as_nobody([running.pid])
    (process,) = document.processes
    assert process.cmdline == whole.cmdline
    assert (process.ppid, process.name, process.state, process.threads) == (whole.ppid, "threads", "sleeping", 1)
    assert (process.user, round(process.started, 1)) == (whole.user, round(whole.started, 1))
    assert (process.executable, process.objects, process.libraries, process.memory) == (None, None, None, None)
    assert process.absent == []
    assert [code for code in codes(process) if code != "orphan-unknown"] == ["not-permitted"]
    assert [(error.pid, "may not be read" in error.error) for error in document.errors] == [(running.pid, True)]


def test_a_process_that_has_other_rights_than_its_user_is_told_in_part(folder: Path) -> None:
    """A setuid program belongs to its user, who may not look into it all the same."""
    needs_root()
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        raise Unavailable("no setuid file counts on this file system")
    app = executable(folder / "app", needed=())
    app.chmod(0o4755)
    with held([app], user=NOBODY, group=NOBODY, extra_groups=[]) as running:
        document = as_nobody([running.pid])
        assert codes(observed(running.pid)) == []
    (process,) = document.processes
    assert (process.objects, process.user) == (None, "root")
    assert [error.pid for error in document.errors] == [running.pid]


def test_an_ordinary_user_is_told_everything_of_own_processes(fixture_file: FixtureFile) -> None:
    """But for what only the administrator may follow, nothing is less."""
    with as_user([fixture_file("process/dlopen"), fixture_file("process/plugins") / "libopener.so"]) as running:
        running.expect("ready")
        until(lambda: state(running.pid) == "S", "rest")
        whole, document = observed(running.pid), as_nobody([running.pid])
    assert document.errors == []
    (process,) = document.processes
    assert [one.path for one in objects(process)] == [one.path for one in objects(whole)]
    for one, known in zip(objects(process), objects(whole), strict=True):
        assert (one.origin, one.disk, one.loaded_as, one.opened_by) == (
            known.origin,
            known.disk,
            known.loaded_as,
            known.opened_by,
        )
    assert codes(process) == codes(whole)


def test_an_ordinary_user_is_told_something_of_every_process() -> None:
    """Of all processes of the machine, those of others among them, without an exception."""
    pids = [result.pid for result in each_process(None, Looking(memory=False))]
    document = as_nobody(pids, Looking(memory=False))
    answered = {process.pid for process in document.processes} | {error.pid for error in document.errors}
    assert answered == set(pids)
    assert os.getpid() in {error.pid for error in document.errors}


def test_linkscope_looks_at_itself() -> None:
    """What it opens to look is closed again, and its own heap moves meanwhile."""
    before = set(os.listdir("/proc/self/fd"))
    process = observed(os.getpid())
    assert set(os.listdir("/proc/self/fd")) == before
    assert process.executable is not None
    assert process.executable.path == os.path.realpath(sys.executable)
    assert process.state == "running"
    assert "msgspec" in next(one.path for one in objects(process) if "msgspec" in one.path)
    assert {one.path for one in objects(process)} == {*elf_files(os.getpid()), "[vdso]"}
    assert "unknown" not in {one.disk for one in objects(process)}

"""The quick look of `ps --stale` misses nothing that the close look finds, and lets the rest go unlooked at.

That it misses nothing is asked with every process that the other tests look at, see `verdicts.looked_at`.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.process import each_process, processes
from linkscope.analysis.request import Looking
from linkscope.errors import NotPermitted, ProcessGone
from linkscope.model.pid import Process
from linkscope.process import procfs
from linkscope.process.suspicion import Suspicion
from linkscope.process.views import Views
from tests.process.places import HOLDER, LIBRARY, PLACES, Kit, grown, lodging
from tests.process.started import started, state, until
from tests.process.verdicts import ordinary_user, stale

FixtureFile = Callable[[str], Path]

_QUICK = Looking(stale_only=True, memory=False)


def suspected(pid: int) -> bool:
    """Whether a process has to be looked at closely."""
    suspicion = Suspicion(Views())
    return suspicion.falls_on(pid, procfs.boot_time())


def _stale(pids: list[int] | None) -> set[int]:
    return {one.pid for one in each_process(pids, _QUICK) if isinstance(one, Process) and stale(one)}


@pytest.mark.parametrize("place", PLACES)
def test_a_process_that_is_younger_than_its_files_needs_no_close_look(kit: Kit, room: Path, place: str) -> None:
    """Whatever file system they lie on, and whatever it sees as its root."""
    with PLACES[place](kit, room) as lodger:
        grown(lodger.pid)
        assert not suspected(lodger.pid)


def test_what_happens_to_other_files_in_its_folder_is_no_reason_and_moving_the_folder_is_one(
    kit: Kit, room: Path
) -> None:
    # Not right below the folder in which other tests come and go.
    house = room / "house"
    folder = kit.furnish(house / "app/lib")
    with lodging(kit, [folder / HOLDER], folder) as lodger:
        grown(lodger.pid)
        before = os.stat(folder / LIBRARY)
        (folder / "another").touch()
        (folder / "another").rename(folder / "third")
        (house / "beside").mkdir()
        assert not suspected(lodger.pid)
        (house / "app").rename(house / "old")
        after = os.stat(house / "old/lib" / LIBRARY)
        assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
        assert suspected(lodger.pid)


@pytest.mark.parametrize("what", ["touch", "link", "rename", "delete", "replace", "overwrite"])
def test_every_change_of_a_library_is_a_reason(kit: Kit, room: Path, what: str) -> None:
    """Also those of which the close look finds that they are none."""
    folder = kit.furnish(room / "lib")
    with lodging(kit, [folder / HOLDER], folder) as lodger:
        grown(lodger.pid)
        lodger.change(what)
        assert suspected(lodger.pid)


def test_one_look_at_many_processes_finds_the_stale_ones_among_those_with_the_same_files(kit: Kit, room: Path) -> None:
    """Those that were started after the change have the new file."""
    folder = kit.furnish(room / "lib")
    with (
        lodging(kit, [folder / HOLDER], folder) as before,
        lodging(kit, [folder / HOLDER], folder) as also_before,
    ):
        before.change("replace")
        with lodging(kit, [folder / HOLDER], folder) as after:
            for pids in ([before.pid, also_before.pid, after.pid], [after.pid, also_before.pid, before.pid]):
                assert _stale(pids) == {before.pid, also_before.pid}


def test_no_stale_process_of_the_machine_is_missed(kit: Kit, room: Path) -> None:
    folder = kit.furnish(room / "lib")
    with lodging(kit, [folder / HOLDER], folder) as lodger:
        lodger.change("replace")
        found = _stale(None)
        assert lodger.pid in found
        for pid in procfs.pids():
            close = any(map(stale, processes([pid], Looking(memory=False, objects=False)).processes))
            # What has become stale, or has ended, since the quick look over all is asked about again.
            assert not close or pid in found or _stale([pid]) or not os.path.exists(f"/proc/{pid}")


def test_what_has_no_code_is_not_suspected() -> None:
    with started([sys.executable, "-c", "import os, time\nif os.fork(): time.sleep(600)"]) as parent:
        dead = until(lambda: [pid for pid in procfs.children(parent.pid) if state(pid) == "Z"], "the child is dead")[0]
        assert not suspected(dead)
    for pid in procfs.pids():
        with contextlib.suppress(ProcessGone):
            if procfs.stat(pid).is_kernel_thread:
                assert not suspected(pid)


def test_what_is_not_there_or_not_permitted_is_no_matter_of_suspicion() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    suspicion = Suspicion(Views())
    with pytest.raises(ProcessGone):
        suspicion.falls_on(gone.pid, 0.0)
    with started(["sleep", "600"]) as program, ordinary_user(), pytest.raises(NotPermitted):
        suspicion.falls_on(program.pid, 0.0)

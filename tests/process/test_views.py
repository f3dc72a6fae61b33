"""Each process is judged from where it is: in every root, namespace and file system the same changes are seen.

The kernel is the judge of what a change is: the program makes it itself, where it is.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.errors import ProcessUnreadable
from linkscope.loader.root import Root
from linkscope.process.views import View, Views
from tests.process import places
from tests.process.places import (
    CHANGES,
    HOLDER,
    LIBRARY,
    NEWER,
    PLACES,
    STALE,
    Kit,
    confined,
    grown,
    lodging,
    mounted,
    privileged,
    ran,
    tmpfs,
)
from tests.process.started import NOBODY, Argument, started
from tests.process.verdicts import disks, looked_at, ordinary_user, reasons, stale

FixtureFile = Callable[[str], Path]

# Where the numbers of a file are hard to come by for an ordinary user, and one place where they are not.
_FOR_USERS = [
    *("its own root", "a user namespace", "btrfs", "a subvolume of btrfs"),
    *("the lower layer of an overlay", "the upper layer of an overlay"),
]


@pytest.fixture(scope="session")
def kit(fixture_file: FixtureFile) -> Kit:
    return Kit(fixture_file)


@pytest.fixture(scope="session")
def users_kit(fixture_file: FixtureFile) -> Kit:
    return Kit(fixture_file, NOBODY)


@pytest.fixture
def room() -> Iterator[Path]:
    with places.room() as folder:
        yield folder


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("place", PLACES)
def test_what_becomes_of_a_library_is_seen_from_where_its_process_is(
    kit: Kit, room: Path, place: str, what: str
) -> None:
    with PLACES[place](kit, room) as lodger:
        grown(lodger.pid)
        lodger.change(what)
        process = looked_at(lodger.pid)
        seen = disks(process)
        assert seen.pop(lodger.other if what == "rename" else lodger.library) == CHANGES[what]
        assert set(seen.values()) == {"same"}
        assert {lodger.folder + "/" + HOLDER, "[vdso]"} < set(seen)
        assert stale(process) == ([lodger.library] if CHANGES[what] in STALE else [])
        assert process.root == lodger.root


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("place", _FOR_USERS)
def test_an_ordinary_user_sees_the_same_of_his_own_process(users_kit: Kit, room: Path, place: str, what: str) -> None:
    """On btrfs and overlays by the build id in memory, since the links to the mapped files are for root alone."""
    with PLACES[place](users_kit, room) as lodger:
        grown(lodger.pid)
        lodger.change(what)
        with ordinary_user():
            process = looked_at(lodger.pid)
        seen = disks(process)
        assert seen.pop(lodger.other if what == "rename" else lodger.library) == CHANGES[what]
        assert set(seen.values()) == {"same"}
        assert stale(process) == ([lodger.library] if CHANGES[what] in STALE else [])


# --- Daemons that go away from where they were started ----------------------------------------------------------------


def _replace(library: Path) -> None:
    shutil.copy(library.with_name(NEWER), library.with_name("fresh"))
    library.with_name("fresh").rename(library)


_LATER: dict[str, Callable[[Path], object]] = {"same": lambda _: None, "replaced": _replace, "deleted": os.unlink}


@pytest.mark.parametrize("disk", _LATER)
def test_a_daemon_in_a_chroot_of_its_own_has_its_libraries_outside(kit: Kit, room: Path, disk: str) -> None:
    """The root that it has now holds files of the same paths."""
    folder = kit.furnish(room / "lib")
    kit.furnish_root(room / "jail", str(folder))
    with started(confined("load", folder / LIBRARY, "chroot", room / "jail")) as daemon:
        daemon.expect("ready")
        _LATER[disk](folder / LIBRARY)
        process = looked_at(daemon.pid)
        seen = disks(process)
        assert seen.pop(str(folder / LIBRARY)) == disk
        assert set(seen.values()) == {"same"}
        assert process.root == str(room / "jail")


def test_a_daemon_has_loaded_what_lies_in_its_chroot_by_its_name_outside(kit: Kit, room: Path) -> None:
    folder = kit.furnish_root(room / "jail", "/opt")
    with started(confined("load", folder / LIBRARY, "chroot", room / "jail")) as daemon:
        daemon.expect("ready")
        assert disks(looked_at(daemon.pid))[f"/opt/{LIBRARY}"] == "same"
        (folder / LIBRARY).rename(folder / "libother.so")
        assert disks(looked_at(daemon.pid))["/opt/libother.so"] == "renamed"
        shutil.copy(folder / NEWER, folder / LIBRARY)
        assert disks(looked_at(daemon.pid))[f"/opt/{LIBRARY}"] == "replaced"


@pytest.mark.parametrize("decoys", [False, True], ids=["nothing-there", "other-files-there"])
@pytest.mark.parametrize("who", ["root", "user"])
def test_a_daemon_in_a_mount_namespace_of_its_own_has_its_libraries_outside(
    kit: Kit, room: Path, who: str, decoys: bool
) -> None:
    """As sandboxes have it: no mount of its namespace holds them any more, and names lead to other files, if to any."""
    folder = kit.furnish(room / "lib")
    kit.furnish_root(room / "jail", str(folder) if decoys else "/opt")
    argv = confined("load", folder / LIBRARY, "unshare", "pivot", room / "jail", "become", str(NOBODY))
    as_who = ordinary_user if who == "user" else contextlib.nullcontext
    with started(argv) as daemon:
        daemon.expect("ready")
        with as_who():
            process = looked_at(daemon.pid)
        assert disks(process)[str(folder / LIBRARY)] == "same"
        assert not stale(process)
        if who == "root":  # to another user Python's own files may be closed
            assert set(disks(process).values()) == {"same"}
        (folder / LIBRARY).unlink()
        with as_who():
            process = looked_at(daemon.pid)
        assert disks(process)[str(folder / LIBRARY)] == "deleted"
        assert stale(process) == [str(folder / LIBRARY)]


def test_of_a_daemon_whose_files_nobody_can_reach_nothing_is_told(kit: Kit, room: Path) -> None:
    """Its files lie on a mount that is gone everywhere."""
    with tmpfs(room / "gone") as gone:
        folder = kit.furnish_root(gone, "/opt")
        kit.furnish_root(room / "jail", "/opt")
        with started(confined("load", folder / LIBRARY, "unshare", "pivot", room / "jail")) as daemon:
            daemon.expect("ready")
            ran("umount", "--lazy", gone)
            process = looked_at(daemon.pid)
            assert disks(process)[f"/opt/{LIBRARY}"] == "unknown"
            assert not stale(process)


# --- Mounts that come and go ------------------------------------------------------------------------------------------


def test_on_a_mount_that_was_taken_away_a_living_file_is_unknown_and_a_deleted_one_deleted(
    kit: Kit, room: Path, fixture_file: FixtureFile
) -> None:
    """The kernel's names begin at the root of that mount then: /libheld.so."""
    folder = room / "mount"
    with tmpfs(folder):
        kit.furnish(folder)
        (folder / NEWER).rename(folder / "libdeleted.so")
        argv = [fixture_file("process/dlopen"), folder / LIBRARY, folder / "libdeleted.so"]
        with started(argv) as program:
            program.expect("ready")
            (folder / "libdeleted.so").unlink()
            ran("umount", "--lazy", folder)
            process = looked_at(program.pid)
    seen = disks(process)
    assert (seen.pop(f"/{LIBRARY}"), seen.pop("/libdeleted.so")) == ("unknown", "deleted")
    assert set(seen.values()) == {"same"}
    assert ["its mount was taken away" in reason for reason in reasons(process)] == [True]


def test_a_mount_over_its_folder_hides_a_library_or_puts_another_in_its_place(
    kit: Kit, room: Path, fixture_file: FixtureFile
) -> None:
    folder = kit.furnish(room / "lib")
    with started([fixture_file("process/dlopen"), folder / LIBRARY]) as program:
        program.expect("ready")
        with tmpfs(folder):
            assert disks(looked_at(program.pid))[str(folder / LIBRARY)] == "deleted"
            kit.furnish(folder)
            assert disks(looked_at(program.pid))[str(folder / LIBRARY)] == "replaced"
        assert disks(looked_at(program.pid))[str(folder / LIBRARY)] == "same"


def test_a_root_that_is_this_one_bound_elsewhere_is_another_root(kit: Kit, room: Path) -> None:
    folder = kit.furnish(room / "lib")
    with mounted(room / "bound", "--bind", "/") as bound:
        argv: list[Argument] = ["chroot", bound, folder / HOLDER]
        if os.stat(bound / str(folder).lstrip("/") / LIBRARY).st_ino != os.stat(folder / LIBRARY).st_ino:
            pytest.skip("the folder for temporary files is a mount of its own")
        with lodging(kit, argv, folder, bound) as lodger:
            process = looked_at(lodger.pid)
            assert process.root == str(bound)
            assert disks(process).get(lodger.library) == "same"
            assert set(disks(process).values()) == {"same"}


def test_a_root_that_was_moved_away_is_the_one_that_counts(kit: Kit, room: Path) -> None:
    """Another one stands in its place now."""
    privileged()
    jail = room / "jail"
    kit.furnish_root(jail, "/opt")
    argv: list[Argument] = ["chroot", jail, "/opt/holder"]
    with lodging(kit, argv, "/opt", jail) as lodger:
        grown(lodger.pid)
        jail.rename(room / "elsewhere")
        kit.furnish_root(jail, "/opt")
        assert set(disks(looked_at(lodger.pid)).values()) == {"same"}
        shutil.rmtree(room / "elsewhere")
        process = looked_at(lodger.pid)
        assert set(disks(process).values()) == {"same", "deleted"}
        assert len(stale(process)) == 2 + len(kit.system)


# --- The views themselves ---------------------------------------------------------------------------------------------


def test_processes_with_one_root_share_one_view(kit: Kit, room: Path) -> None:
    privileged()
    views = Views()
    jail = room / "jail"
    kit.furnish_root(jail, "/opt")
    chrooted: list[Argument] = ["chroot", jail, "/opt/holder"]
    with lodging(kit, chrooted, "/opt", jail) as one, lodging(kit, chrooted, "/opt", jail) as other:
        assert views.of(one.pid) is views.of(other.pid)
        assert views.of(os.getpid()) is not views.of(one.pid)
        assert views.of(os.getpid()).now is views.own
        assert views.of(os.getpid()) is views.of(os.getppid())


def test_a_name_is_inside_a_root_only_below_the_whole_of_its_prefix() -> None:
    view = View(Root(), "/srv/jail", "/srv/jail")
    assert view.inside("/srv/jail/lib/x") == "/lib/x"
    for name in ("/srv/jail2/lib/x", "/srv/jail", "/lib/x", "[vdso]", ""):
        assert view.inside(name) is None
    own = View(Root(), "", None)
    assert own.inside("/lib/x") == "/lib/x"
    assert own.inside("anon_inode:[perf]") is None


def test_what_may_not_be_looked_up_is_hidden_and_what_is_not_there_is_not(room: Path) -> None:
    (room / "closed").mkdir()
    (room / "closed" / "file").touch()
    (room / "closed").chmod(0o700)
    (room / "loop").symlink_to("loop")
    with ordinary_user():
        view = View(Root(), "", None)
        assert view.spot(f"{room}/closed/file").hidden == "permission denied"
        for nothing in ("absent", "loop", "closed\0", "x" * 300, "loop/" * 2000 + "x"):
            assert view.spot(f"{room}/{nothing}") == view.spot("/absent")
        assert view.spot("/absent").hidden is None
        assert view.status("/absent") is None


def test_another_users_root_is_not_to_be_seen() -> None:
    with started(["sleep", "600"]) as program, ordinary_user(), pytest.raises(ProcessUnreadable):
        Views().of(program.pid)

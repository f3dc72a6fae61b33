"""How a mapped file stands to what is on the disk now: still there, replaced, deleted, renamed, overwritten.

The kernel holds on to a mapped file whatever becomes of its names, so its inode is not given to another file meanwhile.
Device and inode tell whether a name still leads to it. They are taken from /proc/PID/map_files, which is a link to the
very file, where the caller may (CAP_CHECKPOINT_RESTORE, Linux fs/proc/base.c, proc_map_files_get_link); the numbers in
/proc/PID/maps are the same except on btrfs and overlayfs.
"""

from __future__ import annotations

import os

import msgspec

from linkscope.errors import LinkScopeError, ProcessUnreadable
from linkscope.model.pid import Disk
from linkscope.process import procfs
from linkscope.process.mappings import Mapping, without_mark
from linkscope.process.views import Sight, View

_MEMFD = "/memfd:"  # Linux mm/memfd.c, MFD_NAME_PREFIX
# File systems of which maps may show other numbers than stat(2) (fs/btrfs/inode.c, btrfs_getattr; fs/overlayfs).
_DISGUISED = ("btrfs", "overlay", "bcachefs", "fuse", "aufs")


class Standing(msgspec.Struct, frozen=True):
    """Where one mapped file stands. path: its name as the process sees it, now or (deleted, replaced) before.

    status: stat(2) of the mapped file itself, None where that cannot be had. location: where its bytes can be read on
    this machine, None where nowhere; linked: by a link of the process, which goes with it. view: the root that `path`
    is seen from, None where it lies in none that can be reached. reason: why `disk` is unknown.
    """

    disk: Disk
    path: str
    status: os.stat_result | None
    location: str | None
    view: View | None
    reason: str | None = None
    linked: bool = False

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the mapped file, as stat(2) gives them."""
        return None if self.status is None else (self.status.st_dev, self.status.st_ino)


class Disks:
    """The standings of one run: a file that many processes have mapped is looked at once."""

    def __init__(self) -> None:
        self._known: dict[object, Standing] = {}

    def standing(self, pid: int, mapping: Mapping, sight: Sight, link: str | None = None) -> Standing:
        """How the file behind one mapping stands. LINK: a magic link to it below /proc/PID, if map_files is not one."""
        key = (id(sight), mapping.identity, mapping.name)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _judge(pid, mapping, sight, link or mapping.map_file)
        elif known.linked:
            return msgspec.structs.replace(known, location=procfs.path_of(pid, link or mapping.map_file))
        return known


def _judge(pid: int, mapping: Mapping, sight: Sight, link: str) -> Standing:
    marked = without_mark(mapping.name)
    if mapping.name.startswith(_MEMFD):
        return Standing("memfd", marked, _status(pid, link), procfs.path_of(pid, link), sight.now, linked=True)
    exact: os.stat_result | None = None
    asked = False
    # A living file may be called so that its name ends in the kernel's mark of a deleted one.
    for name in dict.fromkeys((mapping.name, marked)):
        placed = sight.of(name)
        status = placed[0].status(placed[1]) if placed else None
        if placed is None or status is None:
            continue
        if (status.st_dev, status.st_ino) != mapping.identity:
            exact = exact if asked else _status(pid, link)
            asked = True
            if exact is None or (exact.st_dev, exact.st_ino) != (status.st_dev, status.st_ino):
                continue
        return Standing("same", placed[1], status, placed[0].locate(placed[1]), placed[0])
    exact = exact if asked else _status(pid, link)
    return _not_the_same(pid, mapping, sight, exact, link)


def _not_the_same(pid: int, mapping: Mapping, sight: Sight, exact: os.stat_result | None, link: str) -> Standing:
    """The standing of a file that no name in sight leads to, as far as that can be told."""
    name = without_mark(mapping.name)
    location = procfs.path_of(pid, link) if exact is not None else None
    placed = sight.of(name)
    if placed is None:
        return _out_of_sight(mapping, exact, location)
    view, path = placed
    status = view.status(path)
    if exact is None and name == mapping.name and status is not None and _is_disguised(pid, mapping, status):
        reason = "its file system shows other numbers for a mapped file, and only root may compare the files"
        return Standing("unknown", path, None, view.locate(path), view, reason)
    disk: Disk = "deleted" if status is None else "replaced"
    return Standing(disk, path, exact, location, view, linked=location is not None)


def _out_of_sight(mapping: Mapping, exact: os.stat_result | None, location: str | None) -> Standing:
    """A file that lies neither in the process's root nor in the caller's: only its count of names can be asked."""
    path = without_mark(mapping.name)
    if exact is not None and exact.st_nlink == 0:
        return Standing("deleted", path, exact, location, None, linked=True)
    reason = "it lies outside of the root that the process has now, where its name cannot be looked up"
    return Standing("unknown", path, exact, location, None, reason, linked=location is not None)


def _status(pid: int, link: str) -> os.stat_result | None:
    try:
        return procfs.status_of(pid, link)
    except ProcessUnreadable:
        return None


def _is_disguised(pid: int, mapping: Mapping, status: os.stat_result) -> bool:
    """Whether maps may show other numbers than stat(2) for a file in this place.

    Source: proc_pid_mountinfo(5): the device of a mount stands there as the kernel's own tables have it, as in maps.
    """
    try:
        lines = procfs.read(pid, "mountinfo").decode("utf-8", "surrogateescape").splitlines()
    except LinkScopeError:
        return False
    devices = (os.makedev(major, minor) for major, minor in ((os.major(status.st_dev), os.minor(status.st_dev)),))
    known = {f"{os.major(device)}:{os.minor(device)}" for device in (*devices, mapping.identity[0])}
    types = {line.partition(" - ")[2].split(" ", 1)[0] for line in lines if known & {line.split(" ", 3)[2]}}
    # A subvolume of btrfs has a device of its own, which no mount shows.
    return not types or any(kind.startswith(_DISGUISED) for kind in types)


def refined(standing: Standing, loaded_as: str | None) -> Standing:
    """STANDING of a file that was loaded by the name LOADED_AS (None: unknown): it may have got another name since.

    Where a symlink that led to the file was turned to another one, the file itself is the same: only a restart differs.
    """
    view = standing.view
    if standing.disk != "same" or view is None or loaded_as is None or not loaded_as.startswith("/"):
        return standing
    status = view.status(loaded_as)
    if status is None:
        return msgspec.structs.replace(standing, disk="renamed")
    if (status.st_dev, status.st_ino) == standing.identity:
        return standing
    if _was_its_own_name(view, loaded_as, standing.path):
        return msgspec.structs.replace(standing, disk="replaced", path=loaded_as)
    return standing


def _was_its_own_name(view: View, loaded_as: str, now: str) -> bool:
    """Whether LOADED_AS was a name of the file NOW, and no symlink to it: that file was moved away from there."""
    real = view.system.realpath(loaded_as, "/")
    if real is None or view.system.link_target(loaded_as) is not None:
        return False
    return real == loaded_as or real.rpartition("/")[0] == now.rpartition("/")[0]

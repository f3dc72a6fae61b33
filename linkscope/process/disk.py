"""How a mapped file stands to what is on the disk now: still there, replaced, deleted, renamed, overwritten.

The kernel holds on to a mapped file whatever becomes of its names, so its inode is not given to another file meanwhile.
Device and inode tell whether a name still leads to it. They are taken from /proc/PID/map_files, which is a link to the
very file, where the caller may (CAP_CHECKPOINT_RESTORE, Linux fs/proc/base.c, proc_map_files_get_link); the numbers in
/proc/PID/maps are the same except on btrfs and overlayfs.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from linkscope.errors import NotPermitted, ProcessGone, ProcessUnreadable
from linkscope.model.pid import Disk
from linkscope.process import procfs
from linkscope.process.mappings import Mapping, without_mark
from linkscope.process.views import Sight, Spot, View

_MEMFD = "/memfd:"  # Linux mm/memfd.c, MFD_NAME_PREFIX
# File systems of which maps may show other numbers than stat(2) (fs/btrfs/inode.c, btrfs_getattr; fs/overlayfs).
_DISGUISED = ("btrfs", "overlay", "bcachefs", "fuse", "aufs")
_MOST_GAPS = 6  # newlines in a name of which each may be a real `\\012`


class Standing(msgspec.Struct, frozen=True):
    """Where one mapped file stands. path: its name as the process sees it, now or (deleted, replaced) before.

    status: stat(2) of the mapped file itself, None where that cannot be had. location: where its bytes can be read on
    this machine, None where nowhere; linked: by a link of the process, which goes with it. view: the root that `path`
    is seen from, None where it lies in none that can be reached. reason: why `disk` is unknown. doubtful: whether it is
    the file at `location` cannot be told by the numbers, and memory has to be asked (see `witness`). disguised: maps
    has other numbers than stat(2).
    """

    disk: Disk
    path: str
    status: os.stat_result | None
    location: str | None
    view: View | None
    reason: str | None = None
    linked: bool = False
    doubtful: bool = False
    disguised: bool = False

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the mapped file, as stat(2) gives them."""
        return None if self.status is None else _numbers(self.status)


def files_of(pid: int, mappings: Sequence[Mapping]) -> list[list[int]]:
    """The places in MAPPINGS of each file that is mapped, in the order of addresses.

    maps shows one device for all of a btrfs, whose subvolumes count their inodes each for itself: where two names have
    the same numbers, the links to the files tell whether they are one file, or else the names do.
    """
    names: dict[tuple[int, int], set[str]] = {}
    for mapping in mappings:
        if mapping.is_file:
            names.setdefault(mapping.identity, set()).add(mapping.name)
    groups: dict[object, list[int]] = {}
    for place, mapping in enumerate(mappings):
        if mapping.is_file:
            key: object = mapping.identity
            if len(names[mapping.identity]) > 1:
                exact = _status(pid, mapping.map_file)
                key = _numbers(exact) if exact else (key, mapping.name)
            groups.setdefault(key, []).append(place)
    return list(groups.values())


def _numbers(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def standing_of(pid: int, mapping: Mapping, sight: Sight) -> Standing:
    """How the file behind one mapping stands. What was found out is kept with SIGHT, for its other processes."""
    link, remembered = mapping.map_file, sight.standings
    key: tuple[object, ...] = (mapping.identity, mapping.name)
    known = remembered.get(key)
    if isinstance(known, Standing) and known.disguised:
        # Its numbers in maps may be another file's too: subvolumes of btrfs count their inodes each for itself.
        exact = _status(pid, link)
        key = (*key, exact and _numbers(exact))
        known = remembered.get(key)
    if not isinstance(known, Standing):
        case = _Case(pid, mapping, sight)
        known = _judged(case)
        if known.identity not in (None, mapping.identity):
            known = msgspec.structs.replace(known, disguised=True)
            remembered[*key[:2], known.identity] = known
        if not case.is_fleeting:
            remembered[key] = known
    elif known.linked and known.location is not None:
        return msgspec.structs.replace(known, location=procfs.path_of(pid, link))
    return known


class _Case:
    """One mapped file, and what can be found out of it; what takes a system call is asked for when it is needed."""

    def __init__(self, pid: int, mapping: Mapping, sight: Sight) -> None:
        self.pid = pid
        self.mapping = mapping
        self.sight = sight
        self.link = mapping.map_file
        self.is_fleeting = False
        """Whether the file was unmapped meanwhile: what is found then holds for no other process."""

    @cached_property
    def exact(self) -> os.stat_result | None:
        """stat(2) of the file itself; None where the caller may not follow the link to it. Raises ProcessGone."""
        try:
            return procfs.status_of(self.pid, self.link)
        except ProcessGone:
            raise
        except ProcessUnreadable as error:
            self.is_fleeting = not isinstance(error, NotPermitted)
            return None

    @cached_property
    def names(self) -> list[str]:
        """How it may be called, as the kernel does. In maps a newline and a real `\\012` look the same."""
        name = self.mapping.name
        if "\n" not in name:
            return [name]
        try:
            return [procfs.link(self.pid, self.link)]
        except ProcessUnreadable:
            return _spellings(name)

    @property
    def location(self) -> str | None:
        """The link by which its bytes can be read, if the caller may."""
        return procfs.path_of(self.pid, self.link) if self.exact is not None else None

    @property
    def is_unlinked(self) -> bool:
        """Whether it has no name any more, or not the one by which it was opened."""
        if self.exact is not None:
            return self.exact.st_nlink == 0
        return self.names[0] != without_mark(self.names[0])

    def is_same(self, status: os.stat_result) -> bool:
        """Whether STATUS is that of the file."""
        numbers = _numbers(status)
        return numbers == self.mapping.identity or (self.exact is not None and numbers == _numbers(self.exact))

    @cached_property
    def is_elsewhere(self) -> bool:
        """Whether the kernel's name does not count from any root that the process has now.

        So it is once the file's mount was taken away (umount2(2), MNT_DETACH), and after a process gave itself another
        root by pivot_root(2): the name begins at that mount's own root. Where only the program's mount may be known, it
        stands for those of all files.
        """
        try:
            number = procfs.mount_of(self.pid, self.link if self.exact is not None else "exe")
        except ProcessUnreadable:
            return False
        return self.sight.has_mount(number) is False


def _spellings(name: str) -> list[str]:
    """Every name that the kernel may have written so, each newline being one, or a real `\\012`."""
    parts = name.split("\n")
    gaps = len(parts) - 1
    if gaps > _MOST_GAPS:
        return [name, name.replace("\n", "\\012")]
    choices = itertools.product(("\n", "\\012"), repeat=gaps)
    return ["".join(part + gap for part, gap in zip(parts, (*choice, ""), strict=True)) for choice in choices]


def _status(pid: int, link: str) -> os.stat_result | None:
    try:
        return procfs.status_of(pid, link)
    except ProcessUnreadable:
        return None


def _judged(case: _Case) -> Standing:
    # A living file may be called so that its name ends in the kernel's mark of a deleted one.
    for view, path, spot in _spots(case, dict.fromkeys((*case.names, *map(without_mark, case.names)))):
        if spot.status is not None and case.is_same(spot.status):
            return _same(case, spot.status, spot, view, path)
    name = case.names[0]
    if name.startswith(_MEMFD):
        return Standing("memfd", without_mark(name), case.exact, case.location, case.sight.now, linked=True)
    return _not_the_same(case)


def _same(case: _Case, status: os.stat_result, spot: Spot, view: View, path: str) -> Standing:
    location, linked = (spot.location, False) if spot.location else (case.location, True)
    return Standing("same", path, status, location, view, linked=linked)


def _not_the_same(case: _Case) -> Standing:
    """The standing of a file that no name in sight leads to, as far as that can be told."""
    if case.sight.of(case.names[0]) is None or case.is_elsewhere:
        return _out_of_sight(case)
    doubtful = _doubtful(case) if case.exact is None else None
    if doubtful is not None:
        return doubtful
    view, path, spot = _last_name(case)
    if case.exact is None and not case.is_unlinked and not case.sight.kinds({case.mapping.identity[0]}):
        return _out_of_sight(case)
    disk: Disk = "deleted" if spot.status is None else "replaced"
    reason: str | None = None
    if spot.hidden is not None and not case.is_unlinked:
        disk, reason = "unknown", f"its name cannot be looked up: {spot.hidden}"
    elif os.path.basename(path) == f"#{case.mapping.identity[1]}":  # Linux fs/dcache.c, d_mark_tmpfile
        disk, reason = "unknown", "it was made without a name (O_TMPFILE), so no other file can take its place"
    elif case.exact is not None and case.exact.st_nlink and not case.is_unlinked:
        reason = "the file itself is still there, where this name does not lead: below a mount, or elsewhere"
    return Standing(disk, path, case.exact, case.location, view, reason, linked=case.location is not None)


def _spots(case: _Case, names: Iterable[str]) -> Iterator[tuple[View, str, Spot]]:
    """What stands at those of NAMES, as the kernel gives them, that are in sight."""
    for name in names:
        placed = case.sight.of(name)
        if placed is not None:
            yield *placed, placed[0].spot(placed[1])


def _doubtful(case: _Case) -> Standing | None:
    """The standing of a file that may well be what stands at its name, its numbers being no sign."""
    for view, path, spot in _spots(case, case.names):
        if spot.status is not None and _is_disguised(case, spot.status):
            reason = "its file system shows other numbers for a mapped file, and only root may compare the files"
            return Standing("unknown", path, None, spot.location, view, reason, doubtful=True)
    return None


def _last_name(case: _Case) -> tuple[View, str, Spot]:
    """The name that the file has, or had before it was deleted, and what stands there now."""
    whole = () if case.is_unlinked else case.names
    found = list(_spots(case, (*whole, *map(without_mark, case.names))))
    return next((one for one in found if one[2].status), found[-1])


def _out_of_sight(case: _Case) -> Standing:
    """A file that lies neither in the process's root nor, as far as can be told, in the caller's."""
    beyond = case.sight.beyond
    name = case.names[0]
    if beyond is not None and name.startswith("/"):
        spot = beyond.spot(name)
        if spot.status is not None and case.is_same(spot.status):
            return _same(case, spot.status, spot, beyond, name)
    disk: Disk = "deleted" if case.is_unlinked else "unknown"
    reason = (
        "it lies outside of the root that the process has now, or its mount was taken away: no name can be looked up"
    )
    return Standing(
        disk,
        without_mark(name),
        case.exact,
        case.location,
        None,
        reason if disk == "unknown" else None,
        linked=case.location is not None,
    )


def _is_disguised(case: _Case, status: os.stat_result) -> bool:
    """Whether maps may show other numbers than stat(2) for a file in this place."""
    kinds = case.sight.kinds({status.st_dev, case.mapping.identity[0]})
    # A subvolume of btrfs has a device of its own, which no mount shows.
    return not kinds or any(kind.startswith(_DISGUISED) for kind in kinds)


def refined(standing: Standing, loaded_as: str | None) -> Standing:
    """STANDING of a file that was loaded by the name LOADED_AS (None: unknown): it may have got another name since.

    Where a symlink that led to the file was turned to another one, the file itself is the same: only a restart differs.
    """
    view = standing.view
    if standing.disk != "same" or view is None or loaded_as is None or not loaded_as.startswith("/"):
        return standing
    # A daemon that went into a chroot afterwards has loaded it by its name outside of that.
    names = [name for name in (loaded_as, view.inside(loaded_as)) if name]
    found = [(name, status) for name in names if (status := view.status(name))]
    if any(_numbers(status) == standing.identity for _, status in found):
        return standing
    if not found:
        return standing if view.spot(loaded_as).hidden else msgspec.structs.replace(standing, disk="renamed")
    if _was_its_own_name(view, found[0][0], standing.path):
        return msgspec.structs.replace(standing, disk="replaced", path=found[0][0])
    return standing


def _was_its_own_name(view: View, loaded_as: str, now: str) -> bool:
    """Whether LOADED_AS was a name of the file NOW, and no symlink to it: that file was moved away from there."""
    real = view.system.realpath(loaded_as, "/")
    if real is None or view.system.link_target(loaded_as) is not None:
        return False
    return real == loaded_as or real.rpartition("/")[0] == now.rpartition("/")[0]

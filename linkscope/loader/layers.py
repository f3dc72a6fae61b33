"""A root with a package laid over it: every path is looked up as if the package was installed there.

Where both have something, it is as dpkg(1) would leave it: a file or symlink of the package takes the place of the
root's; folders are one; a folder of the root stays where the package has a symlink; and where the root has a symlink to
a folder (/lib on a system with merged /usr), what the package has in a folder of that name is in the one that it leads
to. Symlinks of either lead on through both.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

import msgspec

from linkscope.elf.image import Image
from linkscope.errors import RootUnusable
from linkscope.loader.root import Root, open_below
from linkscope.loader.system import Candidate, System


class LayeredRoot(Root):
    """BASE with the contents of FOLDER over it.

    folder: on this machine; holds files, folders and symlinks, and is not changed while this is used. at: where it is
    laid, as seen from inside; its parent has to be there. `inside` tells where in the root a file of it stands.
    """

    def __init__(self, base: Root, folder: str, at: str = "/") -> None:
        self._begin(base.directory, by_process=False)
        self.is_system = False
        self._base = base
        self._folder = os.path.realpath(folder)
        self._over: dict[str, str] = {}
        self._names: dict[str, list[str]] = {}
        self._inside: dict[str, str] = {}
        self.at = at.rstrip("/")
        parent, _, name = at.rstrip("/").rpartition("/")
        try:
            above = base.real(parent or "/").rstrip("/")
        except OSError as error:
            raise RootUnusable(at, os.strerror(error.errno or 0).lower()) from error
        self._lay(self._folder, self._folder_at(self._folder, above, name) if name else "")

    def _lay(self, folder: str, place: str) -> None:
        """What stands in FOLDER stands at PLACE."""
        pending = [(folder, place)]
        while pending:
            folder, place = pending.pop()
            self._inside[folder] = place
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, self._folder_at(entry.path, place, entry.name)))
                    elif not (entry.is_symlink() and stat.S_ISDIR(self._base_mode(f"{place}/{entry.name}"))):
                        self._put(place, entry.name, entry.path)

    def _folder_at(self, folder: str, parent: str, name: str) -> str:
        """The place of a folder whose parent stands at PARENT: where the base's own of that name is."""
        place = f"{parent}/{name}"
        mode = self._base_mode(place)
        if stat.S_ISLNK(mode):
            try:
                real = self._base.real(place).rstrip("/")
            except OSError:
                real = None
            if real is not None and stat.S_ISDIR(self._base_mode(real)):
                return real
        if not stat.S_ISDIR(mode):
            self._put(parent, name, folder)
        return place

    def _put(self, parent: str, name: str, location: str) -> None:
        self._over[f"{parent}/{name}"] = location
        self._names.setdefault(parent, []).append(name)

    def _base_mode(self, place: str) -> int:
        """st_mode of what the base has at a place, 0 where that is nothing."""
        try:
            return os.lstat(self._base.outside(place)).st_mode
        except (OSError, ValueError):
            return 0

    def close(self) -> None:
        """Nothing is held; the base is its owner's."""

    def view(self) -> tuple[int, int, int]:
        """Equal for no other root than one with the same folder over it."""
        return Root(self._folder).view()

    def outside(self, real: str) -> str:
        """The place on this machine of a path that holds no symlink: in the folder, or else in the base."""
        return self._over.get(real) or self._base.outside(real)

    def open(self, location: str, flags: int) -> int:
        """A descriptor of the file at LOCATION, which `locate` gave. OSError where that cannot be opened."""
        if self.is_over(location):
            return open_below(self._folder, location, flags)
        return self._base.open(location, flags)

    def is_over(self, location: str) -> bool:
        """Whether a place on this machine belongs to what is laid over the base."""
        return location == self._folder or location.startswith(self._folder + "/")

    def inside(self, place: str) -> str | None:
        """How a file of this machine, one of the folder or below the base, is seen from inside; None for any other."""
        parent, name = os.path.split(os.path.abspath(place))
        over = self._inside.get(os.path.realpath(parent))
        return self._base.inside(place) if over is None else f"{over}/{name}"

    def names(self, folder: str) -> list[str]:
        """The names in FOLDER (absolute, as seen from inside), sorted. OSError where it cannot be read."""
        place = self._walk(folder)
        return sorted({*os.listdir(self.outside(place)), *self._names.get(place, ())})


class LayeredSystem(System):
    """A layered root, and what is known of it. The files of the package have the modes that the package says.

    modes: permission bits by path from the top of the folder; on disk they are not what they would be when installed.
    """

    root: LayeredRoot

    def __init__(self, root: LayeredRoot, folder: str, modes: Mapping[str, int]) -> None:
        super().__init__(root)
        self._at = root.at
        self._said: dict[tuple[int, int], int] = {}
        for path, mode in modes.items():
            try:
                status = os.lstat(f"{folder}/{path}")
            except OSError:
                continue
            self._said[status.st_dev, status.st_ino] = mode

    def unsettled(self, path: str) -> str | None:
        """`dist.zip!/lib` for /dist.zip!/lib: what is not laid at / is there only to be looked at."""
        plain = os.path.normpath(path)
        if not self._at or not f"{plain}/".startswith(f"{self._at}/"):
            return None
        return f"{self._at[1:].rstrip('!')}!{plain[len(self._at) :]}"

    def installed(self, image: Image) -> Image:
        """IMAGE with the mode that its file would have."""
        mode = self._mode_of(image.identity, image.mode)
        return image if mode == image.mode else msgspec.structs.replace(image, mode=mode)

    def remember(self, image: Image, head: bytes) -> None:
        """Keep the image of a file that was read elsewhere, so that it is not read again as somebody's library."""
        super().remember(self.installed(image), head)

    def mode(self, path: str) -> int:
        """st_mode of what PATH (absolute) leads to, 0 where that is nothing."""
        known = self._modes.get(path)
        if known is None:
            try:
                status = os.stat(self.root.locate(path))
                known = self._mode_of((status.st_dev, status.st_ino), status.st_mode)
            except (OSError, ValueError):
                known = 0
            self._modes[path] = known
        return known

    def names_in(self, folder: str) -> tuple[str, ...]:
        """The names in FOLDER (absolute), sorted; none where it cannot be read."""
        known = self._names.get(folder)
        if known is None:
            try:
                known = tuple(self.root.names(folder))
            except (OSError, ValueError):
                known = ()
            self._names[folder] = known
        return known

    def _look(self, path: str) -> Candidate:
        found = super()._look(path)
        if found.identity not in self._said:
            return found
        image = found.image and self.installed(found.image)
        return msgspec.structs.replace(found, mode=self._mode_of(found.identity, found.mode), image=image)

    def _mode_of(self, identity: tuple[int, int], mode: int) -> int:
        said = self._said.get(identity)
        return mode if said is None else stat.S_IFMT(mode) | said

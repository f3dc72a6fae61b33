"""The private folder that the members of one archive are put into: nothing in it leads out, is setuid or can be run.

It holds regular files (0600), folders (0700) and symlinks alone. No symlink stands in it while files are written: they
are made last, so that no member's path leads through one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from linkscope.packages.limits import Limits, Overrun
from linkscope.packages.member import Member, Refused, components, leads_out

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_TARGET = 4095  # bytes: PATH_MAX, with its NUL (symlink(2))
_FOLDER, _FILE, _LEFT_OUT, _SYMLINK = "folder", "file", "left out", "symlink"


class Folder:
    """What stands where, as far as it is known. place: of the folder, which is there and empty."""

    def __init__(self, place: str, limits: Limits) -> None:
        self.place = place
        self._limits = limits
        self._known: dict[str, str] = {"": _FOLDER}
        self._made = {""}
        self._targets: dict[str, str] = {}

    def new(self, member: Member) -> tuple[str, bool]:
        """Where a member that is no folder goes, from the top, and whether something else had that name, which is gone.

        Raises Refused where its path leads through something that is no folder, or names a folder.
        """
        path = self._path(member)
        if not path:
            raise Refused("its name is that of the top of the archive")
        self._folders_to(path)
        before = self._known.get(path)
        if before == _FOLDER:
            raise Refused("its name is that of a folder in the archive")
        if before == _FILE:
            os.unlink(self._at(path))
        self._targets.pop(path, None)
        self._known[path] = _LEFT_OUT
        return path, before is not None

    def add_folder(self, member: Member) -> str:
        """Where it is, from the top. Raises Refused where something else has that name, and Overrun."""
        path = self._path(member)
        self._folders_to(f"{path}/")
        return path

    def write(self, path: str, pieces: Iterable[bytes], limit: int) -> int:
        """How many bytes were written to the file at PATH. Raises Overrun where they are more than LIMIT.

        Of a file that could not be written whole, nothing is left.
        """
        self._make_folders(path)
        place = self._at(path)
        written = 0
        with open(os.open(place, _NEW_FILE, 0o600), "wb", 0) as file:
            try:
                for piece in pieces:
                    written += len(piece)
                    if written > limit:
                        raise Overrun(f"is larger than {limit} bytes", stops=False)
                    file.write(piece)
            except BaseException:
                os.unlink(place)
                raise
        self._known[path] = _FILE
        return written

    def link(self, path: str, target: str) -> str | None:
        """Make PATH one with the file that the archive calls TARGET: that one's path, None where it was left out.

        Raises Refused where the archive has no such file.
        """
        try:
            to = "/".join(components(target, self._limits))
        except Refused as error:
            raise Refused(f"is a hard link to {target}: {error.reason}") from error
        known = self._known.get(to)
        if known is None or known == _FOLDER or to == path:
            raise Refused(f"is a hard link to {target}, which is no file of the archive before it")
        if known == _SYMLINK:
            self.add_symlink(path, self._targets[to])
        elif known == _FILE:
            self._make_folders(path)
            os.link(self._at(to), self._at(path))
            self._known[path] = _FILE
            return to
        return None

    def add_symlink(self, path: str, target: str) -> bool:
        """Whether it stays within the archive, absolute targets aside. Raises Refused where no link can say TARGET."""
        if not target or "\0" in target or len(os.fsencode(target)) > _LONGEST_TARGET:
            raise Refused("is a symlink to nothing that can be named")
        self._known[path] = _SYMLINK
        self._targets[path] = target
        return not leads_out(tuple(path.split("/")), target)

    def finish(self) -> None:
        """Make the folders that hold no file, and the symlinks, which lead nowhere but for who follows them."""
        for path, kind in self._known.items():
            if kind == _FOLDER:
                self._make_folders(f"{path}/")
        for path, target in self._targets.items():
            self._make_folders(path)
            os.symlink(target, self._at(path))

    def _path(self, member: Member) -> str:
        return "/".join(components(member.name, self._limits))

    def _at(self, path: str) -> str:
        return f"{self.place}/{path}"

    def _folders_to(self, path: str) -> None:
        """Know the folders that PATH names before its last slash."""
        above = path.rpartition("/")[0]
        new: list[str] = []
        while (known := self._known.get(above)) is None:
            new.append(above)
            above = above.rpartition("/")[0]
        if known != _FOLDER:
            raise Refused(f"its path leads through {above}, a {known if known == _SYMLINK else 'file'} of the archive")
        if len(self._made) + len(new) > self._limits.folders:
            raise Overrun(f"has more than {self._limits.folders} folders; the rest is not looked at")
        self._known.update(dict.fromkeys(new, _FOLDER))

    def _make_folders(self, path: str) -> None:
        """Make those that PATH names before its last slash."""
        above = path.rpartition("/")[0]
        missing: list[str] = []
        while above not in self._made:
            missing.append(above)
            above = above.rpartition("/")[0]
        for one in reversed(missing):
            os.mkdir(self._at(one), 0o700)
            self._made.add(one)

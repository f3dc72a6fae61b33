"""The ELF files below a folder, and the names of all that is there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from linkscope.errors import FileUnreadable

_MAGIC = b"\x7fELF"
# Should a FIFO stand where a file was, opening it does not wait; a symlink there is not followed.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)  # removed, or another thing by now


def elf_files(folder: str, endings: tuple[str, ...] = ()) -> Iterator[str | FileUnreadable]:
    """The paths of the ELF files below FOLDER, and in their place what could not be read.

    endings: of the names of files that count as well, whatever is in them.

    In the order of their names, one folder after the other. Symlinks below it are not followed, a file with several
    names comes once, under the first. Nothing but regular files is opened. File systems without storage (/proc, /sys)
    are not entered, unless FOLDER itself lies in one.
    """
    seen: set[tuple[int, int]] = set()
    try:
        device = os.stat(folder).st_dev
    except OSError as error:
        yield FileUnreadable.from_os_error(folder, error)
        return
    pending: list[tuple[str, int, bool]] = [(folder, device, True)]  # a path, and whether it is a folder
    while pending:
        path, device, is_folder = pending.pop()
        try:
            if is_folder:
                pending += _entries(path, device)
            elif _is_new(path, seen, endings):
                yield path
        except OSError as error:
            if error.errno not in _GONE or path == folder:
                yield FileUnreadable.from_os_error(path, error)


def names_below(folder: str) -> Iterator[str]:
    """The paths of the files and symlinks below FOLDER, those of a folder before those of the folders in it.

    In the order of their names, over the folders that `elf_files` enters; what cannot be read is left out.
    """
    try:
        pending = [(folder, os.stat(folder).st_dev)]
    except OSError:
        return
    while pending:
        path, device = pending.pop()
        try:
            found = _entries(path, device, links=True)
        except OSError:
            continue
        yield from (name for name, _, is_folder in reversed(found) if not is_folder)
        pending += [(name, own) for name, own, is_folder in found if is_folder]


def _entries(folder: str, device: int, links: bool = False) -> list[tuple[str, int, bool]]:
    """The files and folders in FOLDER, the last name first; DEVICE is that of the folder around it.

    links: symlinks count as files.
    """
    own = os.stat(folder).st_dev
    if own != device and not os.statvfs(folder).f_blocks:
        return []
    with os.scandir(folder) as entries:
        found = [
            (entry.path, own, folders)
            for entry in entries
            if (folders := entry.is_dir(follow_symlinks=False))
            or entry.is_file(follow_symlinks=False)
            or (links and entry.is_symlink())
        ]
    found.sort(reverse=True)
    return found


def _is_new(path: str, seen: set[tuple[int, int]], endings: tuple[str, ...]) -> bool:
    """Whether the file at PATH begins as ELF or its name ends so, and it was not SEEN under another name."""
    descriptor = os.open(path, _OPEN)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return False
        if os.read(descriptor, len(_MAGIC)) != _MAGIC and not path.endswith(endings):
            return False
    finally:
        os.close(descriptor)
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True

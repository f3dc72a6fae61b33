"""What must be known of a file before a loader is asked about it, and the files of a root that can be asked about."""

import functools
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

PT_DYNAMIC, PT_INTERP = 2, 3
ET_EXEC, ET_DYN = 2, 3
_LINKS = 40  # as many symbolic links as the kernel follows in one path

# Where glibc's loader stands, by (class, e_machine): the ABI's own path, which is compiled into every program.
GLIBC_LOADERS: Final = {
    (64, 62): "/lib64/ld-linux-x86-64.so.2",
    (32, 3): "/lib/ld-linux.so.2",
    (64, 183): "/lib/ld-linux-aarch64.so.1",
}


class Facts(msgspec.Struct, frozen=True):
    """An ELF file's headers. interp: PT_INTERP's string, None without. dynamic: whether there is a PT_DYNAMIC."""

    elf_class: int
    machine: int
    e_type: int
    interp: str | None
    dynamic: bool


def below(root: str | None, path: str) -> str:
    """The real path of what `path` leads to for a process whose root folder is `root`; None is the machine's own.

    Raises OSError (ELOOP) after too many links.
    """
    if root is None:
        return os.path.realpath(path)
    base, pending, links = os.path.realpath(root), path.split("/")[::-1], 0
    at: list[str] = []
    while pending:
        part = pending.pop()
        if part == "..":
            at = at[:-1]
        elif part not in ("", "."):
            candidate = os.path.join(base, *at, part)
            if not os.path.islink(candidate):
                at.append(part)
                continue
            links += 1
            if links > _LINKS:
                raise OSError(40, "too many symbolic links", path)
            target = os.readlink(candidate)
            at = [] if target.startswith("/") else at
            pending += target.split("/")[::-1]
    return os.path.join(base, *at)


def facts(path: str | os.PathLike[str]) -> Facts | None:
    """The facts of an ELF file; None where it is none, or is cut off. Raises OSError where it cannot be read."""
    with open(path, "rb") as file:
        head = file.read(64)
        if len(head) < 52 or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
            return None
        wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
        e_type, machine = struct.unpack_from(order + "HH", head, 16)
        table, size, count = (
            (*struct.unpack_from(order + "Q", head, 32), *struct.unpack_from(order + "HH", head, 54))
            if wide
            else (*struct.unpack_from(order + "I", head, 28), *struct.unpack_from(order + "HH", head, 42))
        )
        file.seek(table)
        headers = file.read(size * count) if size == (56 if wide else 32) else b""
        interp, dynamic = None, False
        for at in (size * number for number in range(len(headers) // size if headers else 0)):
            kind, offset, length = _segment(headers, at, order, wide)
            dynamic = dynamic or kind == PT_DYNAMIC
            if kind == PT_INTERP and interp is None:
                file.seek(offset)
                interp = os.fsdecode(file.read(min(length, 4096)).split(b"\0")[0])
    return Facts(64 if wide else 32, machine, e_type, interp, dynamic)


def _segment(headers: bytes, at: int, order: str, wide: bool) -> tuple[int, int, int]:
    """(p_type, p_offset, p_filesz) of the program header at an offset."""
    if wide:
        kind, _, offset, _, _, length = struct.unpack_from(order + "IIQQQQ", headers, at)
    else:
        kind, offset, _, _, length = struct.unpack_from(order + "IIIII", headers, at)
    return kind, offset, length


def is_glibc_loader(path: str) -> bool:
    """Whether a file is a glibc loader, which answers to LD_TRACE_LOADED_OBJECTS instead of starting the program."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return _says_glibc(path, (found.st_dev, found.st_ino, found.st_mtime_ns))


@functools.lru_cache(maxsize=64)
def _says_glibc(path: str, _identity: tuple[int, int, int]) -> bool:
    """Whether the words that only glibc's loader has are in the file; remembered while it is the same file."""
    content = Path(path).read_bytes()
    return b"TRACE_LOADED_OBJECTS" in content and b"error while loading shared libraries" in content


def gains_privileges(path: str) -> bool:
    """Whether executing the file would put it into secure execution: setuid, setgid, or file capabilities."""
    if os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID):
        return True
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def dynamic_files(root: str | os.PathLike[str], folders: Sequence[str]) -> Iterator[tuple[str, Facts]]:
    """Every executable and shared library below folders of a root, as seen inside it: no symbolic links.

    A folder that is a symbolic link itself is looked into, under its own name, unless it leads to one that was already.
    One that is absent has nothing.
    """
    starts = {below(os.fspath(root), folder): folder.rstrip("/") for folder in reversed(folders)}
    for start, folder in reversed(starts.items()):
        for current, names, files in os.walk(start):
            names.sort()
            for name in sorted(files):
                path = os.path.join(current, name)
                if not stat.S_ISREG(os.lstat(path).st_mode):
                    continue
                found = facts(path)
                if found and found.dynamic and found.e_type in (ET_EXEC, ET_DYN):
                    yield folder + path[len(start) :], found

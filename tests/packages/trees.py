"""Trees of files as packages have them, and what a real tool unpacks: the judge of what is in a package."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from linkscope.elf.reader import open_reader
from linkscope.packages.limits import Limits
from linkscope.packages.unpacked import Unpacked, unpacked
from tests.oracle.elfwriter import executable, shared_object


class Seen(NamedTuple):
    """What of a package matters: ELF files with their permissions and bytes, symlinks with their targets."""

    files: dict[str, tuple[int, bytes]]
    links: dict[str, str]


def furnish(folder: Path) -> Path:
    """A tree with programs, libraries, links of both kinds, and other files, below FOLDER, which is returned."""
    for name in ("usr/bin", "usr/lib/many words", "etc", "usr/share/empty"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    executable(folder / "usr/bin/app", needed=("libone.so.1",)).chmod(0o755)
    executable(folder / "usr/bin/privileged").chmod(0o4755)
    shared_object(folder / "usr/lib/libone.so.1.2", soname="libone.so.1").chmod(0o644)
    shared_object(folder / "usr/lib/many words/lïb.so").chmod(0o600)
    (folder / "usr/lib/libone.so.1").symlink_to("libone.so.1.2")
    (folder / "usr/lib/libone.so").symlink_to("libone.so.1")
    (folder / "usr/bin/same").hardlink_to(folder / "usr/bin/app")
    (folder / "etc/settings").write_text("no = elf\n" * 5000)
    (folder / "etc/empty").touch()
    (folder / "usr/bin/script").write_text("#!/bin/sh\n")
    return folder


def in_folder(folder: Path) -> Seen:
    """What a tool has unpacked into a folder."""
    files, links = {}, {}
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = os.path.join(parent, name)
            status = os.lstat(path)
            inside = os.path.relpath(path, folder)
            if stat.S_ISLNK(status.st_mode):
                links[inside] = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = Path(path).read_bytes()
                if content.startswith(b"\x7fELF"):
                    files[inside] = (stat.S_IMODE(status.st_mode), content)
    return Seen(files, links)


def in_package(package: Unpacked) -> Seen:
    """What LinkScope has of it; nothing on disk may be setuid, or be run, or be of another kind."""
    seen = in_folder(Path(package.folder))
    assert set(seen.files) == set(package.files)
    for parent, folders, names in os.walk(package.folder):
        for name in (*folders, *names):
            mode = os.lstat(os.path.join(parent, name)).st_mode
            assert stat.S_ISLNK(mode) or mode in (stat.S_IFDIR | 0o700, stat.S_IFREG | 0o600)
    return Seen({path: (package.files[path].mode, content) for path, (_, content) in seen.files.items()}, seen.links)


class Look(NamedTuple):
    """One look into a package, after which nothing of it is on disk."""

    package: Unpacked
    seen: Seen
    problems: dict[str, str]
    oddities: dict[str, str]


def look(path: Path, tmp_path: Path, limits: Limits | None = None) -> Look:
    """What is in the package at PATH. problems: by path below that of the package (`!/member`, or "" for itself).

    oddities: by the same of the members.
    """
    into = tmp_path / "private"
    into.mkdir(exist_ok=True)
    with open_reader(str(path), "P") as reader, unpacked(reader, str(into), limits) as package:
        for folder in into.iterdir():
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        seen = in_package(package)
    assert list(into.iterdir()) == []
    problems = {problem.path.removeprefix("P"): problem.reason for problem in package.problems}
    odd = {f"!/{name}": what for oddity in package.oddities for name, what in oddity.members}
    return Look(package, seen, problems, odd)

"""The ELF files below a folder: all of them, once each, in order, and nothing else is touched."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.errors import FileUnreadable
from linkscope.inventory.walk import elf_files, names_below
from tests.oracle.availability import Unavailable

ELF = b"\x7fELF and whatever follows"


def test_they_are_those_that_find_and_their_first_bytes_give(require_tool: Callable[[str], str]) -> None:
    """Over the machine's own programs; of a file with several names, the first counts."""
    folder = "/usr/lib/git-core" if os.path.isdir("/usr/lib/git-core") else "/usr/bin"
    listed = subprocess.run(
        [require_tool("find"), folder, "-xdev", "-type", "f", "-printf", r"%i %p\0"], capture_output=True, check=True
    )
    first: dict[bytes, bytes] = {}
    for row in sorted(listed.stdout.split(b"\0")[:-1], key=lambda row: row.partition(b" ")[2]):
        inode, _, path = row.partition(b" ")
        with open(path, "rb") as file:
            if file.read(4) == ELF[:4]:
                first.setdefault(inode, path)
    assert list(elf_files(folder)) == [os.fsdecode(path) for path in first.values()]


def test_folders_are_walked_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b/z", "b/a/x", "a", "c", "b/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(ELF)
    (tmp_path / "b/text").write_bytes(b"\x7fEL")
    (tmp_path / "empty").touch()
    expected = [str(tmp_path / name) for name in ("a", "b/a/x", "b/y", "b/z", "c")]
    assert list(elf_files(str(tmp_path))) == expected


def test_links_lead_nowhere_and_each_file_comes_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/b").write_bytes(ELF)
    (tmp_path / "in/c").hardlink_to(tmp_path / "in/b")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_bytes(ELF)
    (tmp_path / "in/link").symlink_to("../out/x")
    (tmp_path / "in/folder").symlink_to("../out")
    (tmp_path / "in/around").symlink_to(".")
    assert list(elf_files(str(tmp_path / "in"))) == [str(tmp_path / "in/b")]
    assert list(elf_files(str(tmp_path / "in/folder"))) == [str(tmp_path / "in/folder/x")]


def test_nothing_but_regular_files_is_opened(tmp_path: Path) -> None:
    """A FIFO would hold one up, a device may do things."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(ELF)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        opened: list[object] = []
        watching = True
        sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if watching and event == "open" else None)
        found = list(elf_files(str(tmp_path)))
        watching = False
    assert found == [str(tmp_path / "file")]
    assert opened == [str(tmp_path / "file")]


_AS_NOBODY = """
import os, sys
sys.path[:] = {path!r}
from linkscope.inventory.walk import elf_files
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for found in elf_files("."):
    print(found)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_what_cannot_be_read_is_said_in_its_place(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # the folders around it stay as they are
    for name in ("a", "closed/x", "hidden", "z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(ELF)
    (tmp_path / "closed").chmod(0o700)
    (tmp_path / "hidden").chmod(0o600)
    code = _AS_NOBODY.format(path=sys.path)
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        "./a",
        "./closed: permission denied",
        "./hidden: permission denied",
        "./z",
    ]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    (found,) = elf_files(str(tmp_path / "gone"))
    assert isinstance(found, FileUnreadable)
    assert found.reason == "no such file or directory"


def test_names_are_those_of_files_and_links_the_outer_folder_first(require_tool: Callable[[str], str]) -> None:
    folder = "/usr/lib/git-core" if os.path.isdir("/usr/lib/git-core") else "/usr/bin"
    listed = subprocess.run(
        [require_tool("find"), folder, "-xdev", "(", "-type", "f", "-o", "-type", "l", ")", "-print0"],
        capture_output=True,
        check=True,
    )
    found = list(names_below(folder))
    assert sorted(map(os.fsencode, found)) == sorted(listed.stdout.split(b"\0")[:-1])
    outer = [path for path in found if os.path.dirname(path) == folder]
    assert found[: len(outer)] == outer == sorted(outer)
    assert list(names_below("/nonexistent")) == []


def test_folders_in_folders_of_any_depth_are_walked(tmp_path: Path) -> None:
    depth = 1200  # more than the interpreter lets calls be nested
    deepest = tmp_path / "/".join("a" * depth)
    subprocess.run(["mkdir", "-p", deepest], check=True)  # os.makedirs is recursive
    (deepest / "z").write_bytes(ELF)
    assert list(names_below(str(tmp_path))) == list(elf_files(str(tmp_path))) == [str(deepest / "z")]
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)  # and so is shutil.rmtree


def test_what_vanishes_meanwhile_is_no_fault(tmp_path: Path) -> None:
    for name in ("a/x", "b/x", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(ELF)
    walking = elf_files(str(tmp_path))
    assert next(walking) == str(tmp_path / "a/x")
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "c").unlink()
    assert list(walking) == []


def test_names_that_are_not_utf8_come_as_they_are(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe"
    Path(os.fsdecode(path)).write_bytes(ELF)
    assert [os.fsencode(str(found)) for found in elf_files(str(tmp_path))] == [path]


_MOUNTED = """
import sys
sys.path[:] = {path!r}
from linkscope.inventory.walk import elf_files, names_below
print(*elf_files({folder!r}), sep="\\n")
print(*names_below({folder!r}), sep="\\n")
print(*(type(found).__name__ for found in elf_files({folder!r} + "/proc/self/fdinfo")))
"""


def test_file_systems_without_storage_are_not_entered(tmp_path: Path) -> None:
    """/proc/kcore begins as ELF. Named itself, such a folder is looked into."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "z").write_bytes(ELF)
    code = _MOUNTED.format(path=sys.path, folder=str(tmp_path))
    inside = 'mount -t proc proc "$1/proc" && exec "$2" -c "$3"'
    unshare = ("unshare", "--mount", "--propagation", "private")
    run = subprocess.run(
        [*unshare, "sh", "-c", inside, "sh", tmp_path, sys.executable, code], capture_output=True, text=True
    )
    if run.returncode:
        raise Unavailable(f"no mount namespace can be made: {run.stderr.strip()}")
    assert run.stdout.splitlines() == [f"{tmp_path}/z", f"{tmp_path}/z", ""]

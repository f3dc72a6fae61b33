"""Another root: where a path leads is what a process confined to it would find, and nothing outside is opened."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from linkscope.elf.reader import open_reader
from linkscope.errors import FileUnreadable, RootUnusable
from linkscope.loader.root import Root

CONFINED = """
import os, sys
paths = sys.stdin.read().split("\\0")
os.chroot(sys.argv[1])
os.chdir("/")
for path in paths:
    try:
        status = os.stat(path)
        print(status.st_dev, status.st_ino)
    except OSError as error:
        print(error.errno)
"""
PATHS = (
    *("/", "/..", "/../../etc", "/file", "/file/", "/folder", "/folder/", "/folder/.", "/folder/..", "/file/.."),
    *("/file/.", "/absolute", "/absolute/", "/relative", "/climbing", "/dangling", "/loop", "/self/x", "/none/.."),
    *("/link39", "/link40", "/to folder", "/to folder/", "/to folder/../file", "/folder//inner", "//file", "/to file/"),
    *("/slashed file", "/slashed folder", "/slashed folder/inner"),
)


def furnish(root: Path) -> None:
    (root / "folder").mkdir(parents=True)
    (root / "file").write_bytes(b"f")
    (root / "folder/inner").write_bytes(b"i")
    links = {"absolute": "/folder/inner", "relative": "folder/inner", "climbing": "../../../file", "dangling": "/etc/x"}
    links |= {"slashed file": "/file/", "slashed folder": "folder/"}
    links |= {
        "loop": "loop2",
        "loop2": "/loop",
        "self": "self",
        "to folder": "/folder/",
        "to file": "file",
        "link0": "file",
    }
    links |= {f"link{number}": f"/link{number - 1}" for number in range(1, 42)}
    for name, target in links.items():
        (root / name).symlink_to(target)


def _answer(root: Root, path: str) -> str:
    try:
        status = os.lstat(root.locate(path))
    except OSError as error:
        return str(error.errno)
    assert not stat.S_ISLNK(status.st_mode)
    return f"{status.st_dev} {status.st_ino}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may confine a process")
def test_a_path_leads_where_a_confined_process_finds_it(tmp_path: Path) -> None:
    furnish(tmp_path / "root")
    run = subprocess.run(
        [sys.executable, "-c", CONFINED, tmp_path / "root"], input="\0".join(PATHS), capture_output=True, text=True
    )
    root = Root(str(tmp_path / "root"))
    expected = dict(zip(PATHS, run.stdout.splitlines(), strict=True))
    assert {path: _answer(root, path) for path in PATHS} == expected


@pytest.mark.parametrize("swapped", ["folder", "folder/inner"])
def test_a_part_swapped_for_a_link_after_it_was_looked_up_is_not_followed(swapped: str, tmp_path: Path) -> None:
    furnish(tmp_path / "root")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/inner").write_bytes(b"secret")
    root = Root(str(tmp_path / "root"))
    location = root.locate("/relative")
    with open_reader(location, "inner", root.open) as reader:
        assert reader.head == b"i"
    (tmp_path / "root" / swapped).rename(tmp_path / "gone")
    (tmp_path / "root" / swapped).symlink_to(tmp_path / "outside" / swapped.removeprefix("folder").lstrip("/"))
    with pytest.raises(FileUnreadable):
        open_reader(location, "inner", root.open)


def test_the_root_itself_is_what_it_is_from_inside(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "link").symlink_to("tree")
    root = Root(str(tmp_path / "tree"))
    assert {root.inside(str(tmp_path / name)) for name in ("tree", "tree/", "link")} == {"/"}
    assert root.inside(str(tmp_path)) is None


def test_a_root_without_a_name_is_refused() -> None:
    with pytest.raises(RootUnusable, match="names nothing"):
        Root("")

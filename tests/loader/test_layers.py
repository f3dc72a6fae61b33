"""A package over a root: every path leads where it would lead if the package was installed there."""

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.errors import FileUnreadable, RootUnusable
from linkscope.loader.environment import Environment
from linkscope.loader.layers import LayeredRoot, LayeredSystem
from linkscope.loader.program import Program
from linkscope.loader.root import Root
from linkscope.loader.start import start
from tests.oracle.elfwriter import executable, shared_object

# Installs as dpkg does, by tar: a folder goes where a link of its name leads. Then says what stands at each path.
_INSTALLED = """
import os, sys
paths = sys.stdin.read().split("\\0")
os.chroot(sys.argv[1])
for path in paths:
    try:
        if os.path.isdir(path):
            os.stat(path)
            print("folder", *sorted(os.listdir(path)))
        else:
            print("file", open(path).read())
    except OSError as error:
        print(error.errno)
"""
_NAMES = (
    "lib",
    "usr",
    "usr/lib",
    "lib/both",
    "lib/new",
    "new",
    "to-new",
    "etc",
    "opt",
    "file",
    "swap",
    "links",
    "kept",
)
_LEAVES = ("", "a", "b", "own", "over", "up", "absolute", "dangling", "loop", "..", ".", "climbing")
PATHS = (*(f"/{name}/{leaf}".rstrip("/") for name in _NAMES for leaf in _LEAVES), "/", "/..", "/lib/", "/file/")


def base(folder: Path) -> Path:
    """A system with merged /usr."""
    for name in ("usr/lib/both", "etc", "opt", "swap", "kept"):
        (folder / name).mkdir(parents=True)
    for name in ("usr/lib/own", "usr/lib/over", "usr/lib/both/a", "etc/own", "file", "swap/a", "kept/own"):
        (folder / name).write_text(f"base {name}")
    (folder / "lib").symlink_to("usr/lib")
    (folder / "to-new").symlink_to("/new")
    (folder / "etc/absolute").symlink_to("/new/a")
    (folder / "etc/up").symlink_to("../../lib/new/a")
    (folder / "etc/climbing").symlink_to("../../../../etc/own")
    return folder


def package(folder: Path) -> Path:
    """Files in folders that are links there, that are there, and that are not."""
    for name in ("lib/both", "lib/new", "usr/lib", "new", "links", "etc"):
        (folder / name).mkdir(parents=True)
    for name in ("lib/over", "lib/both/b", "lib/new/a", "usr/lib/b", "new/a", "etc/b"):
        (folder / name).write_text(f"package {name}")
    links = {"up": "../lib/own", "absolute": "/etc/own", "dangling": "/etc/gone", "loop": "loop", "a": "/lib/new/a"}
    for name, target in links.items():
        (folder / "links" / name).symlink_to(target)
    (folder / "links/climbing").symlink_to("../../../../../../../../../etc/own")
    return folder


def _answer(root: LayeredRoot, path: str) -> str:
    try:
        location = root.locate(path)
        status = os.lstat(location)
        assert not stat.S_ISLNK(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return " ".join(["folder", *root.names(path)])
        with open_reader(location, path, root.open) as reader:
            return f"file {reader.head.decode()}"
    except OSError as error:
        return str(error.errno)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may confine a process")
def test_a_path_leads_where_it_leads_when_the_package_is_installed(tmp_path: Path) -> None:
    """The judge is a copy of the root into which tar has put the package, seen by a process confined to it."""
    below, above = base(tmp_path / "base"), package(tmp_path / "package")
    installed = tmp_path / "installed"
    shutil.copytree(below, installed, symlinks=True)
    copying = f"tar -c -C {above} . | tar -x --keep-directory-symlink -C {installed}"
    subprocess.run(["sh", "-c", copying], check=True)
    run = subprocess.run(
        [sys.executable, "-c", _INSTALLED, installed],
        input="\0".join(PATHS),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = dict(zip(PATHS, run.stdout.splitlines(), strict=True))
    root = LayeredRoot(Root(str(below)), str(above))
    assert {path: _answer(root, path) for path in PATHS} == expected
    assert any("package" in answer for answer in expected.values())


def test_a_folder_of_the_root_stays_where_the_package_has_a_symlink(tmp_path: Path) -> None:
    """dpkg never puts a symlink in the place of a folder (Debian policy, 6.6, upgrade of files)."""
    below, above = base(tmp_path / "base"), tmp_path / "package"
    above.mkdir()
    (above / "kept").symlink_to("/etc")
    root = LayeredRoot(Root(str(below)), str(above))
    assert root.real("/kept/own") == "/kept/own"


@pytest.mark.parametrize("at", ["/app.whl", "/opt/app.whl", "/lib/app"])
def test_a_folder_is_laid_where_it_is_said_to_be(at: str, tmp_path: Path) -> None:
    """And what is in it is found there only."""
    below, above = base(tmp_path / "base"), package(tmp_path / "package")
    root = LayeredRoot(Root(str(below)), str(above), at)
    assert Path(root.locate(f"{at}/new/a")).read_text() == "package new/a"
    assert Path(root.locate("/lib/over")).read_text() == "base usr/lib/over"
    assert root.names(at) == sorted(os.listdir(above))
    assert at.rpartition("/")[2] in root.names(at.rpartition("/")[0] or "/")
    with pytest.raises(FileNotFoundError):
        root.locate("/new/a")
    descriptor = root.open(root.locate(at), os.O_RDONLY | os.O_DIRECTORY)
    os.close(descriptor)
    assert root.inside(str(above / "new/a")) == os.path.join(root.real(at), "new/a")
    assert root.inside(str(below / "etc/own")) == "/etc/own"
    assert root.inside("/etc/passwd") is None


def test_a_place_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RootUnusable):
        LayeredRoot(Root(str(base(tmp_path / "base"))), str(package(tmp_path / "package")), "/none/app")


def test_the_machines_own_root_may_lie_below(tmp_path: Path) -> None:
    above = package(tmp_path / "package")
    (above / "bin-of-ours").symlink_to("/usr/bin/env")
    root = LayeredRoot(Root("/"), str(above), "/linkscope-package")
    assert os.path.samefile(root.locate("/linkscope-package/bin-of-ours"), "/usr/bin/env")
    assert os.path.samefile(root.locate("/bin/sh"), "/bin/sh")
    assert root.real("/linkscope-package/links/../new/./a") == "/linkscope-package/new/a"
    assert not root.is_system


@pytest.mark.parametrize("swapped", ["new", "new/a"])
def test_a_part_swapped_for_a_link_after_it_was_looked_up_is_not_followed(swapped: str, tmp_path: Path) -> None:
    below, above = base(tmp_path / "base"), package(tmp_path / "package")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a").write_text("secret")
    root = LayeredRoot(Root(str(below)), str(above))
    location = root.locate("/new/a")
    with open_reader(location, "a", root.open) as reader:
        assert reader.head == b"package new/a"
    (above / swapped).rename(tmp_path / "gone")
    (above / swapped).symlink_to(tmp_path / "outside" / swapped.removeprefix("new").lstrip("/"))
    with pytest.raises(FileUnreadable):
        open_reader(location, "a", root.open)


def test_the_loader_finds_libraries_of_the_package_and_of_the_system(tmp_path: Path) -> None:
    """As installed: its own by RUNPATH, the system's by the default folders; and the interpreter may be its own."""
    below, above = tmp_path / "base", tmp_path / "package"
    (below / "usr/lib").mkdir(parents=True)
    (below / "lib").symlink_to("usr/lib")
    (above / "lib").mkdir(parents=True)
    (above / "usr/lib/app").mkdir(parents=True)
    shared_object(below / "usr/lib/libsystem.so.1")
    shared_object(above / "usr/lib/app/libown.so.1", needed=("libsystem.so.1",))
    shutil.copy("/lib64/ld-linux-x86-64.so.2", above / "lib/ld.so")
    executable(above / "usr/lib/app/app", "/lib/ld.so", needed=("libown.so.1",), runpath="$ORIGIN")
    for file in above.rglob("*"):
        if file.is_file():
            file.chmod(0o600)
    root = LayeredRoot(Root(str(below)), str(above))
    system = LayeredSystem(root, str(above), {"lib/ld.so": 0o755, "usr/lib/app/app": 0o4755, "usr/lib/app": 0o777})
    inside = root.inside(str(above / "usr/lib/app/app"))
    assert inside == "/usr/lib/app/app"
    with system.open(inside) as reader:
        image = system.installed(read_image(reader))
        system.remember(image, reader.head)
    assert image.mode == stat.S_IFREG | 0o4755
    started = start(system, Program(image, inside, inside, root.locate(inside)), Environment())
    found = [loaded.path for loaded in started.link_map.objects]
    assert {"/usr/lib/app/libown.so.1", "/lib/libsystem.so.1"} <= set(found)
    assert system.candidate("/usr/lib/ld.so", "/").mode == stat.S_IFREG | 0o755
    assert system.mode("/usr/lib/app") == stat.S_IFDIR | 0o777
    assert system.names_in("/lib") == ("app", "ld.so", "libsystem.so.1")
    assert system.mode("/usr/lib/gone") == 0
    assert system.names_in("/gone") == ()


def test_what_links_say_can_be_read(tmp_path: Path) -> None:
    below, above = base(tmp_path / "base"), package(tmp_path / "package")
    system = LayeredSystem(LayeredRoot(Root(str(below)), str(above)), str(above), {})
    assert system.link_target("/links/absolute") == "/etc/own"
    assert system.link_target("/lib") == "usr/lib"
    assert system.read_small("/etc/own") == b"base etc/own"
    assert system.read_small("/lib/new/a") == b"package lib/new/a"
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        system.root.locate("/links/loop")

"""The root of a process, seen from outside: every path leads where it leads for the process itself."""

import ast
import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.errors import RootUnusable
from linkscope.loader.environment import Environment
from linkscope.loader.program import Program
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.system import System
from tests.loader.test_root import PATHS, furnish
from tests.oracle.answers import VDSO
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import GLIBC_X86_64, executable, shared_object

# A process that takes argv[1] as its root in the way that argv[2] says, and then answers: a line with a path gives the
# device and inode that it leads to, or an errno; a line that begins with `!` starts a program and gives its output.
_DWELLER = r"""
import ctypes, os, sys
root, way = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
if way == "chroot":
    os.chroot(root)
elif way == "pivot":
    os.chdir(root)
    must(libc.pivot_root(b".", b"."))
    must(libc.umount2(b".", 2))
os.chdir("/")
print("ready", flush=True)
for line in sys.stdin:
    name = line[:-1]
    if name.startswith("!"):
        read, write = os.pipe()
        os.posix_spawn(name[1:], [name[1:]], {}, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
        os.close(write)
        with open(read, "rb") as output:
            print(output.read().replace(b"\0", b"\n").decode().split(), flush=True)
        os.wait()
        continue
    try:
        status = os.stat(name)
        print(status.st_dev, status.st_ino, flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""
_INTO_TMPFS = 'content=$1 at=$2; shift 2; mount -t tmpfs tmpfs "$at" && cp -a "$content/." "$at" && exec "$@"'
_UNSHARE = ("unshare", "--mount", "--propagation", "private")
WAYS = {
    "a chroot in our own mount namespace": ((), "chroot"),
    "a chroot into a tmpfs of its mount namespace": (_UNSHARE, "chroot"),
    "a tmpfs that is the root of its mount namespace": (_UNSHARE, "pivot"),
    "a user namespace": ((*_UNSHARE, "--user", "--map-root-user"), "pivot"),
}


class Dweller:
    """A process that lives in a root of its own and says what it finds there."""

    def __init__(self, pid: int, stdin: IO[str], stdout: IO[str]) -> None:
        self.pid = pid
        self._stdin, self._stdout = stdin, stdout

    def ask(self, line: str) -> str:
        """Its answer to one line."""
        self._stdin.write(f"{line}\n")
        self._stdin.flush()
        return self._stdout.readline().rstrip("\n")


@contextlib.contextmanager
def dweller(unshare: tuple[str, ...], way: str, content: Path, at: Path) -> Iterator[Dweller]:
    """A process whose root is AT: a tmpfs with a copy of CONTENT that no other sees, or without UNSHARE the folder."""
    command = [sys.executable, "-I", "-S", "-c", _DWELLER, str(at), way]
    if unshare:
        command = [*unshare, "sh", "-c", _INTO_TMPFS, "sh", str(content), str(at), *command]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "ready\n":
            raise Unavailable(f"no process with a root of its own here: {process.stderr.read().strip()}")
        yield Dweller(process.pid, process.stdin, process.stdout)


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def inhabited(
    request: pytest.FixtureRequest, tmp_path: Path, require_tool: Callable[[str], str]
) -> Iterator[tuple[Dweller, Path]]:
    """A process in a furnished root, and the folder where that lies; outside it, other files have the same names."""
    unshare, way = request.param
    for tool in ("unshare", "mount") if unshare else ():
        require_tool(tool)
    content, at = tmp_path / "content", tmp_path / "at"
    furnish(content)
    _add_program(content)
    if unshare:
        furnish(at)
        (at / "folder/inner").write_bytes(b"decoy")
    else:
        content.rename(at)
    with dweller(unshare, way, content, at) as process:
        yield process, at


def _add_program(root: Path) -> None:
    """/app needs a library in a folder behind an absolute link, and one in the default folders."""
    for folder in ("lib64", "lib", "opt/own"):
        (root / folder).mkdir(parents=True)
    shutil.copy(GLIBC_X86_64, root / GLIBC_X86_64.removeprefix("/"))
    (root / "link").symlink_to("/opt/own")
    shared_object(root / "opt/own/libx.so")
    shared_object(root / "lib/liby.so")
    executable(root / "app", needed=("libx.so", "liby.so"), runpath="/link")


def _found(root: Root, path: str) -> str:
    try:
        status = os.lstat(root.locate(path))
    except OSError as error:
        return str(error.errno)
    assert not stat.S_ISLNK(status.st_mode)
    return f"{status.st_dev} {status.st_ino}"


def test_a_path_leads_where_the_process_finds_it(inhabited: tuple[Dweller, Path]) -> None:
    process, _ = inhabited
    root = Root.of_process(process.pid)
    assert not root.is_system
    assert {path: _found(root, path) for path in PATHS} == {path: process.ask(path) for path in PATHS}


def test_a_file_is_opened_in_the_root_of_the_process(inhabited: tuple[Dweller, Path]) -> None:
    process, at = inhabited
    root = Root.of_process(process.pid)
    with open_reader(root.locate("/absolute"), how=root.open) as reader:
        assert reader.head == b"i"
    descriptor = root.open(root.locate("/"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert sorted(os.listdir(descriptor)) == sorted(System(root).names_in("/"))
        assert "app" in os.listdir(descriptor)
    finally:
        os.close(descriptor)
    assert root.real("/to folder/../absolute") == "/folder/inner"
    assert os.path.samefile(root.outside("/folder/inner"), f"/proc/{process.pid}/root/folder/inner")
    assert root.inside(root.outside("/to folder/inner")) == "/to folder/inner"
    assert root.inside(root.outside("/..")) is None
    assert root.inside(str(at / "folder/inner")) is None
    assert System(root).link_target("/absolute") == "/folder/inner"


def test_a_program_is_predicted_as_the_process_starts_it(inhabited: tuple[Dweller, Path]) -> None:
    process, _ = inhabited
    system = System(Root.of_process(process.pid))
    with system.open("/app") as reader:
        program = Program(read_image(reader), "/app", "/app", system.root.locate("/app"))
    predicted = start(system, program, Environment(cwd="/", secure=False)).link_map
    names = ast.literal_eval(process.ask("!/app"))
    assert [loaded.path for loaded in predicted.mapped()] == [name for name in names if name not in VDSO]
    assert not predicted.problems


def test_our_own_root_leads_where_we_find_it() -> None:
    root = Root.of_process(os.getpid())
    assert not root.is_system
    for path in ("/", "/..", sys.executable, GLIBC_X86_64, "/lib/..", "/etc/passwd", "/bin/", __file__):
        status = os.stat(path)
        assert _found(root, path) == f"{status.st_dev} {status.st_ino}"
        assert root.real(path) == os.path.realpath(path)


def test_roots_with_one_view_are_told_from_others(inhabited: tuple[Dweller, Path]) -> None:
    """A folder that is the root of a process is seen alike; a mount that hides it from that process is not."""
    process, at = inhabited
    own, other = Root.of_process(os.getpid()), Root.of_process(process.pid)
    assert own.view() == Root("/").view()
    assert other.view() == Root.of_process(process.pid).view()
    assert other.view() != own.view()
    in_our_namespace = os.readlink(f"/proc/{process.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    assert (other.view() == Root(str(at)).view()) == in_our_namespace


def test_a_root_outlives_its_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        root = Root.of_process(process.pid)
        process.kill()
        process.wait()
    assert os.path.samefile(root.locate(sys.executable), sys.executable)


def test_a_process_that_has_ended_has_no_root() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    with pytest.raises(RootUnusable, match="no such file or directory"):
        Root.of_process(ended.pid)

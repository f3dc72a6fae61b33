"""Whatever is named on the command line: what is wrong with it in one line, and the other files still reported."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Linkscope, environment

FixtureFile = Callable[[str], Path]


def _absent(_path: Path, _good: Path) -> None:
    """Nothing is made."""


def _folder(path: Path, _good: Path) -> None:
    path.mkdir()


def _fifo(path: Path, _good: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, _good: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def _device(path: Path, _good: Path) -> None:
    path.symlink_to("/dev/zero")


def _loop(path: Path, _good: Path) -> None:
    path.symlink_to(path)


def _dangling(path: Path, _good: Path) -> None:
    path.symlink_to("nowhere")


def _empty(path: Path, _good: Path) -> None:
    path.touch()


def _text(path: Path, _good: Path) -> None:
    path.write_text("root:x:0:0\n")


def _script(path: Path, _good: Path) -> None:
    path.write_text("#!/bin/sh\n")


def _only_the_magic(path: Path, _good: Path) -> None:
    path.write_bytes(b"\x7fELF")


def _cut_after_the_header(path: Path, good: Path) -> None:
    path.write_bytes(good.read_bytes()[:64])


_MAKERS = [
    _absent,
    _folder,
    _fifo,
    _socket,
    _device,
    _loop,
    _dangling,
    _empty,
    _text,
    _script,
    _only_the_magic,
    _cut_after_the_header,
]


@pytest.mark.parametrize("make", _MAKERS, ids=lambda make: make.__name__.lstrip("_").replace("_", " "))
@pytest.mark.parametrize("name", ["plain", "\x1b[31mred", "caf\udce9"], ids=["plain", "escape", "not utf8"])
def test_a_bad_file_is_one_line_and_the_others_are_reported(
    linkscope: Linkscope, fixture_file: FixtureFile, tmp_path: Path, make: Callable[[Path, Path], None], name: str
) -> None:
    good = fixture_file("hello/hello-static")
    make(tmp_path / name, good)
    ran = linkscope("inspect", name, good)
    shown = {"plain": "plain", "\x1b[31mred": r"\x1b[31mred", "caf\udce9": r"caf\xe9"}[name]
    lines = ran.stderr.decode().splitlines()
    assert ran.returncode == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"linkscope: {shown}: ")
    assert lines[0].isprintable()
    assert ran.stdout.startswith(os.fsencode(good) + b"\n")


@pytest.mark.parametrize("arguments", [["inspect"], ["why"]], ids=" ".join)
@pytest.mark.parametrize(("name", "shown"), [("", '""'), ("my app", '"my app"')])
def test_a_name_that_would_not_be_seen_to_be_one_is_quoted(
    linkscope: Linkscope, arguments: list[str], name: str, shown: str
) -> None:
    library = ["libc.so.6"] if arguments == ["why"] else []
    complaint = linkscope(*arguments, name, *library).stderr.decode()
    assert complaint == f"linkscope: {shown}: no such file or directory\n"


def test_a_file_that_may_not_be_read_is_one_line(
    fixture_file: FixtureFile, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Root is stopped by a mode only without its capabilities."""
    shutil.copy(fixture_file("hello/hello-static"), tmp_path / "secret")
    (tmp_path / "secret").chmod(0)
    powerless = [require_tool("setpriv"), "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*powerless, *COMMAND, "inspect", "secret"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (2, b"linkscope: secret: permission denied\n")


def test_a_file_whose_bytes_cannot_be_read_is_one_line(linkscope: Linkscope) -> None:
    """The kernel has nothing at the address 0 of a process."""
    ran = linkscope("inspect", "/proc/self/mem")
    assert (ran.returncode, ran.stderr) == (2, b"linkscope: /proc/self/mem: input/output error\n")


def test_a_program_that_was_cut_short_is_said_to_be_truncated(
    linkscope: Linkscope, fixture_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """The kernel starts it all the same, and it dies where the file ends."""
    whole = fixture_file("hello/hello-static").read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: len(whole) // 4])
    cut.chmod(0o755)
    assert subprocess.run([cut], capture_output=True).returncode < 0
    ran = linkscope("inspect", cut)
    assert ran.returncode == 1
    assert f"truncated: it ends at byte {len(whole) // 4}".encode() in ran.stdout

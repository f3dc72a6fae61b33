"""What is measured, and what LinkScope must not exceed."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.timing import Command

MIB: Final = 1 << 20
_LARGE: Final = ("/usr/bin/gdb", "/usr/bin/git", "/usr/bin/python3", "/usr/bin/bash", "/bin/sh")
_FOLDERS: Final = ("/usr/bin", "/usr/sbin")
_OUR_STATUSES: Final = (0, 1)  # 1: a file that would not start is among them
_LIBTREE_STATUSES: Final = tuple(range(256))  # it counts what it does not find


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. ours, theirs: what is run in turn. most: {rival: how many times its wall time ours may take}.

    memory: bytes that all of our processes together may have. left_out: why a rival is not here.
    """

    name: str
    about: str
    ours: Command
    theirs: tuple[Command, ...]
    most: dict[str, float] = {}
    memory: int | None = None
    left_out: tuple[str, ...] = ()


def cases(scratch: str) -> list[Case]:
    """All of them. scratch: a folder for lists of names."""
    large = next(path for path in _LARGE if os.path.exists(path))
    programs = all_programs()
    listed = Path(scratch) / "programs"
    listed.write_text("".join(f"{path}\n" for path in programs))
    every = tuple(programs)
    return [
        _case(
            "one",
            f"one program as JSON: {large}",
            linkscope("--format", "json", large),
            (interpreter_start(), lddtree(large)),
            {"import click, msgspec": 1.3, "lddtree": 0.5},
        ),
        _case(
            "all",
            f"all {len(programs)} programs of {' and '.join(_FOLDERS)} in one call, written to a file",
            linkscope("--format", "json", "--files-from", os.fspath(listed)),
            (peer("libtree", "libtree -vvv", ("-vvv", *every), _LIBTREE_STATUSES),),
            {"libtree -vvv": 0.8},
            100 * MIB,
        ),
        _case(
            "symbols",
            f"every symbol bound: {large}",
            linkscope("--symbols", "--format", "json", large),
            (peer("ldd", "ldd -r", ("-r", large), (0, 1)),),
        ),
        _case(
            "text",
            f"one program as text: {large}",
            linkscope(large),
            (interpreter_start(), peer("libtree", "libtree -vvv", ("-vvv", large), _LIBTREE_STATUSES)),
        ),
    ]


def _case(
    name: str,
    about: str,
    ours: Command,
    rivals: Sequence[Command | str],
    most: dict[str, float] | None = None,
    memory: int | None = None,
) -> Case:
    return Case(
        name=name,
        about=about,
        ours=ours,
        theirs=tuple(rival for rival in rivals if isinstance(rival, Command)),
        most=most or {},
        memory=memory,
        left_out=tuple(rival for rival in rivals if isinstance(rival, str)),
    )


def linkscope(*arguments: str) -> Command:
    """`linkscope inspect`, as it is installed beside this interpreter."""
    script = Path(sys.executable).with_name("linkscope")
    command = (os.fspath(script),) if script.exists() else (sys.executable, "-m", "linkscope")
    return Command(name="linkscope inspect", argv=(*command, "inspect", *arguments), statuses=_OUR_STATUSES)


def interpreter_start() -> Command:
    """The least that a Python program with these two libraries can take."""
    return Command(name="import click, msgspec", argv=(sys.executable, "-c", "import click, msgspec"))


def peer(tool: str, name: str, arguments: Sequence[str], statuses: tuple[int, ...]) -> Command | str:
    """Another tool's command; where it is not here, why there is none."""
    path = shutil.which(tool)
    return Command(name=name, argv=(path, *arguments), statuses=statuses) if path else f"{tool} is not here"


def lddtree(program: str) -> Command | str:
    """pax-utils' lddtree, which is a Python script: with this interpreter, and its pyelftools."""
    path = shutil.which("lddtree")
    if path is None:
        return "lddtree is not here"
    if b"python" not in Path(path).read_bytes().partition(b"\n")[0]:
        return "lddtree is no Python script here"
    return Command(name="lddtree", argv=(sys.executable, path, program))


def all_programs() -> list[str]:
    """Every ELF file of the machine's folders of programs, by all of its names there."""
    names = (os.path.join(folder, name) for folder in _FOLDERS if os.path.isdir(folder) for name in os.listdir(folder))
    return [name for name in sorted(names) if is_elf(name)]


def is_elf(path: str) -> bool:
    """Whether a regular file, or what a link leads to, begins as an ELF file does."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False

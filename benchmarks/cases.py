"""What is measured, and what LinkScope must not exceed."""

import itertools
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import processes
from benchmarks.processes import Crowd
from benchmarks.timing import PID, Command

MIB: Final = 1 << 20
_LARGE: Final = ("/usr/bin/gdb", "/usr/bin/git", "/usr/bin/python3", "/usr/bin/bash", "/bin/sh")
_FOLDERS: Final = ("/usr/bin", "/usr/sbin")
_OUR_STATUSES: Final = (0, 1)  # 1: a file that would not start is among them
_PS_STATUSES: Final = (0, 1, 2)  # 1: something stale is among them, 2: processes that guard themselves
_MANY: Final = 700
_FEW: Final = 60
_LIBTREE_STATUSES: Final = tuple(range(256))  # it counts what it does not find


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. ours, theirs: what is run in turn. most: {rival: how many times its wall time ours may take}.

    seconds: the wall time that ours may take. memory: bytes that all of our processes together may have. crowd: what
    runs meanwhile, to be looked at. left_out: why a rival is not here.
    """

    name: str
    about: str
    ours: Command
    theirs: tuple[Command, ...]
    most: dict[str, float] = {}
    seconds: float | None = None
    memory: int | None = None
    crowd: Crowd | None = None
    left_out: tuple[str, ...] = ()


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether memory grows with what there is to look at. most: how many times that over the first crowd it may be."""

    name: str
    about: str
    ours: Command
    crowds: tuple[Crowd, ...]
    most: float


def cases(scratch: str, size: int) -> list[Case]:
    """All comparisons. scratch: a folder for files. size: how many processes those with a crowd are about."""
    return [*_file_cases(scratch), *_check_cases(scratch), *_process_cases(scratch, size)]


def growth(size: int) -> Growth:
    """The memory of `linkscope ps` over a tenth of SIZE processes, and over all of them."""
    return Growth(
        name="growth",
        about="every process with its memory as JSON: the memory that takes, by how many were started for it",
        ours=linkscope("ps", "--format", "json", statuses=_PS_STATUSES),
        crowds=(processes.mixed(size // 10), processes.mixed(size)),
        most=1.15,
    )


def _check_cases(scratch: str) -> list[Case]:
    """The gate of a release: over as many programs as a distribution's /usr/bin has, and beside checksec."""
    programs = all_programs()
    many, few = Path(scratch) / "many", Path(scratch) / "few"
    chosen = list(itertools.islice(itertools.cycle(programs), _MANY))
    many.write_text("".join(f"{path}\n" for path in chosen))
    few.mkdir(exist_ok=True)
    for path in programs[:: max(1, len(programs) // _FEW)][:_FEW]:
        shutil.copy(path, few / os.path.basename(path))
    folder = os.fspath(few)
    return [
        _case(
            "check",
            f"{_MANY} programs against every rule that needs no symbol bound, hardening included",
            linkscope("check", "--no-policy", "--format", "json", "--files-from", os.fspath(many)),
            (),
            seconds=3.0,
        ),
        _case(
            "gate",
            f"{_FEW} programs against every rule that needs no symbol bound",
            linkscope("check", "--no-policy", "--format", "json", folder),
            (peer("checksec", "checksec", (f"--dir={folder}", "--format=json"), (0,)),),
            {"checksec": 1.0},
        ),
    ]


def _file_cases(scratch: str) -> list[Case]:
    large = next(path for path in _LARGE if os.path.exists(path))
    programs = all_programs()
    listed = Path(scratch) / "programs"
    listed.write_text("".join(f"{path}\n" for path in programs))
    every = tuple(programs)
    return [
        _case(
            "one",
            f"one program as JSON: {large}",
            linkscope("inspect", "--format", "json", large),
            (interpreter_start(), lddtree(large)),
            {"import click, msgspec": 1.3, "lddtree": 0.5},
        ),
        _case(
            "all",
            f"all {len(programs)} programs of {' and '.join(_FOLDERS)} in one call, written to a file",
            linkscope("inspect", "--format", "json", "--files-from", os.fspath(listed)),
            (peer("libtree", "libtree -vvv", ("-vvv", *every), _LIBTREE_STATUSES),),
            {"libtree -vvv": 0.8},
            memory=100 * MIB,
        ),
        _case(
            "symbols",
            f"every symbol bound: {large}",
            linkscope("inspect", "--symbols", "--format", "json", large),
            (peer("ldd", "ldd -r", ("-r", large), (0, 1)),),
        ),
        _case(
            "text",
            f"one program as text: {large}",
            linkscope("inspect", large),
            (interpreter_start(), peer("libtree", "libtree -vvv", ("-vvv", large), _LIBTREE_STATUSES)),
        ),
    ]


def _process_cases(scratch: str, size: int) -> list[Case]:
    stale = linkscope("ps", "--stale", "--format", "json", statuses=_PS_STATUSES)
    needrestart = [
        peer("needrestart", "needrestart -b -r l", ("-b", "-r", "l"), (0,)),
        peer("needrestart", "needrestart -b -r l -l", ("-b", "-r", "l", "-l"), (0,)),  # no kernel, no microcode
    ]
    return [
        _case(
            "stale",
            f"what must be restarted, with {size} processes more on this machine, none of them outdated",
            stale,
            needrestart,
            {"needrestart -b -r l": 0.5, "needrestart -b -r l -l": 0.5},
            crowd=processes.mixed(size),
        ),
        _case(
            "outdated",
            f"the same with {size} processes more, all of them outdated",
            stale,
            needrestart[:1],
            crowd=processes.outdated(size, scratch),
        ),
        _case(
            "pid",
            "one process with two hundred libraries as JSON",
            linkscope("pid", "--format", "json", PID),
            (interpreter_start(), peer("pldd", "pldd", (PID,), (0,))),
            seconds=0.15,
            crowd=processes.single("process/wide/wide"),
        ),
    ]


def _case(
    name: str,
    about: str,
    ours: Command,
    rivals: Sequence[Command | str],
    most: dict[str, float] | None = None,
    *,
    seconds: float | None = None,
    memory: int | None = None,
    crowd: Crowd | None = None,
) -> Case:
    return Case(
        name=name,
        about=about,
        ours=ours,
        theirs=tuple(rival for rival in rivals if isinstance(rival, Command)),
        most=most or {},
        seconds=seconds,
        memory=memory,
        crowd=crowd,
        left_out=tuple(dict.fromkeys(rival for rival in rivals if isinstance(rival, str))),
    )


def linkscope(command: str, *arguments: str, statuses: tuple[int, ...] = _OUR_STATUSES) -> Command:
    """One of our commands, as it is installed beside this interpreter."""
    script = Path(sys.executable).with_name("linkscope")
    program = (os.fspath(script),) if script.exists() else (sys.executable, "-m", "linkscope")
    shown = f"{command} --stale" if "--stale" in arguments else command
    return Command(name=f"linkscope {shown}", argv=(*program, command, *arguments), statuses=statuses)


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

"""The document of a process, and beside it what the kernel and other tools say of the same process.

What stands here reads /proc in its own few lines: it is the judge, and takes nothing from what it judges.
"""

import contextlib
import ctypes
import fcntl
import functools
import os
import platform
import re
import subprocess
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from linkscope.analysis.process import processes
from linkscope.analysis.request import Looking
from linkscope.model.pid import MappedObject, PidDocument, Process
from tests.oracle.availability import Unavailable
from tests.process.started import NOBODY, Argument, started, until

CLOSELY = Looking()
_WRITE = {"x86_64": ("1", "20"), "aarch64": ("64", "66")}  # the numbers of write(2) and writev(2)
_PIPE = 4096
_PR_SET_DUMPABLE = 4

# --- What LinkScope says ----------------------------------------------------------------------------------------------


def observed(pid: int, looking: Looking = CLOSELY) -> Process:
    """The document of one process, of which all could be read."""
    document = processes([pid], looking)
    assert document.errors == [], document.errors
    (process,) = document.processes
    return process


def objects(process: Process) -> list[MappedObject]:
    """Its objects."""
    assert process.objects is not None
    return process.objects


def called(process: Process, name: str) -> MappedObject:
    """The one object whose file has this name."""
    (found,) = (one for one in objects(process) if os.path.basename(one.path) == name)
    return found


def origins(process: Process) -> dict[str, str]:
    """The origin of each object, by the name of its file."""
    return {os.path.basename(one.path): one.origin for one in objects(process)}


def library_origins(process: Process) -> dict[str, str]:
    """Origins of all but the program, the vdso, the loader and the C library."""
    usual = ("executable", "vdso", "interpreter")
    found = {name: origin for name, origin in origins(process).items() if origin not in usual}
    return {name: origin for name, origin in found.items() if name not in ("libc.so.6", "ld-linux-x86-64.so.2")}


def in_link_map(process: Process) -> list[str]:
    """The names in the link map of the base namespace."""
    return [one.loaded_as or "" for one in objects(process) if 0 in one.namespaces]


def codes(process: Process) -> list[str]:
    """What is found, in order."""
    return [finding.code for finding in process.findings]


# --- What the kernel says ---------------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True):
    """One mapping in smaps. file: device and inode as it has them; sizes: its rows, in bytes."""

    start: int
    end: int
    permissions: str
    file: tuple[str, str]
    name: str
    sizes: dict[str, int]

    @property
    def is_code(self) -> bool:
        """Whether a file stands behind it, and may be executed."""
        return "x" in self.permissions and self.file[1] != "0"


def smaps(pid: int) -> list[Row]:
    """Every mapping of a process."""
    rows: list[Row] = []
    for line in Path(f"/proc/{pid}/smaps").read_text(errors="surrogateescape").splitlines():
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):
            start, end = (int(address, 16) for address in first.split("-"))
            name = rest[4] if len(rest) > 4 else ""
            rows.append(Row(start, end, rest[0], (rest[2], rest[3]), name, {}))
        elif rest[-1] == "kB":
            rows[-1].sizes[first[:-1]] = int(rest[0]) * 1024
    return rows


def summed(rows: Sequence[Row]) -> dict[str, int]:
    """What mappings cost together, as the document counts it."""
    total = {name: sum(row.sizes[name] for row in rows) for name in (rows[0].sizes if rows else ())}
    return {
        "rss": total.get("Rss", 0),
        "pss": total.get("Pss", 0),
        "shared": total.get("Shared_Clean", 0) + total.get("Shared_Dirty", 0),
        "private": total.get("Private_Clean", 0) + total.get("Private_Dirty", 0),
    }


def status(pid: int, field: str) -> str:
    """One row of /proc/PID/status."""
    found = re.search(rf"^{field}:\s*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def identity(path: Argument) -> tuple[int, int]:
    """Device and inode of what stands at a path."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def elf_files(pid: int) -> dict[str, tuple[int, int]]:
    """The ELF files that are mapped with a part executable, by the kernel's name: device and inode by map_files."""
    found = {}
    for row in smaps(pid):
        link = f"/proc/{pid}/map_files/{row.start:x}-{row.end:x}"
        if row.is_code and row.name not in found and _is_elf(link):
            found[row.name] = identity(link)
    return found


def _is_elf(link: str) -> bool:
    try:
        with open(link, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except PermissionError as error:
        raise Unavailable("only the administrator may open what is mapped") from error


# --- What readelf says ------------------------------------------------------------------------------------------------


class Dynamic(msgspec.Struct, frozen=True):
    """What a file calls itself, and what it asks for."""

    soname: str | None
    needed: tuple[str, ...]


def dynamic(path: Argument) -> Dynamic:
    """The dynamic section of a file."""
    found = os.stat(path)
    return _dynamic(os.fspath(path), found.st_dev, found.st_ino, found.st_mtime_ns)


@functools.cache
def _dynamic(path: str, *_: int) -> Dynamic:
    text = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, errors="surrogateescape").stdout
    names = re.findall(r"\((SONAME|NEEDED|AUXILIARY|FILTER)\)[^[\n]*\[(.*)\]$", text, re.MULTILINE)
    soname = next((name for tag, name in names if tag == "SONAME"), None)
    return Dynamic(soname, tuple(name for tag, name in names if tag != "SONAME"))


def closure_in_memory(pid: int) -> set[tuple[int, int]]:
    """The mapped files that the program needs, directly or not: by NEEDED and the names of the mapped files."""
    files: dict[tuple[int, int], Dynamic] = {}
    names: dict[str, list[tuple[int, int]]] = {}
    for row in smaps(pid):
        link = f"/proc/{pid}/map_files/{row.start:x}-{row.end:x}"
        if not row.is_code or not _is_elf(link) or identity(link) in files:
            continue
        one = identity(link)
        files[one] = dynamic(link)
        for name in {files[one].soname, os.path.basename(row.name.removesuffix(" (deleted)"))} - {None}:
            names.setdefault(str(name), []).append(one)
    pending = [identity(f"/proc/{pid}/exe")]
    for one in pending:
        for name in files[one].needed:
            pending += [found for found in names.get(os.path.basename(name), []) if found not in pending]
    return set(pending)


# --- Programs that wait -----------------------------------------------------------------------------------------------


class Held:
    """A program that waits at its first word, since nobody reads what it says."""

    def __init__(self, pid: int, reader: int, filled: int) -> None:
        self.pid = pid
        self._reader = reader
        self._filled = filled

    def said(self) -> bytes:
        """What it says when it is let go, up to its end."""
        pieces = []
        while piece := os.read(self._reader, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)[self._filled :]

    def link_map(self) -> list[str]:
        """What a program of the ELF writer says: the names in its link map, as the document has them."""
        return [name.decode(errors="replace") for name in self.said().split(b"\0")[:-1]]


@contextlib.contextmanager
def held(
    argv: Sequence[Argument], *, room: int = 0, env: Mapping[str, str] | None = None, **popen: Any
) -> Iterator[Held]:
    """A program that was loaded and has begun, and is held at the first thing that it prints.

    Its standard output is a pipe without room, or with as much as is told: what is said earlier has to fit in there.
    """
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE)
        os.write(writer, bytes(_PIPE - room))
        with started(
            argv, env={} if env is None else env, stdout=writer, stderr=subprocess.DEVNULL, **popen
        ) as program:
            os.close(writer)
            writer = -1
            until(lambda: program.process.poll() is not None or _writes(program.pid), f"the first word of {argv}")
            assert program.process.returncode is None, f"{argv} has ended: {Held(0, reader, _PIPE - room).said()!r}"
            yield Held(program.pid, reader, _PIPE - room)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def _writes(pid: int) -> bool:
    """Whether one of its threads waits in write(2) or writev(2) to its standard output."""
    numbers = _WRITE.get(platform.machine(), ())
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            words = (task / "syscall").read_text().split()
            if words[0] in numbers and words[1] == "0x1":
                return True
    return False


# --- Another user -----------------------------------------------------------------------------------------------------


def as_nobody(pids: Sequence[int], looking: Looking = CLOSELY) -> PidDocument:
    """The document that an ordinary user gets: asked for in a child of the test that has given up all rights."""
    if os.geteuid():
        raise Unavailable("only the administrator can act as another user")
    processes(pids, looking)  # what is imported late may lie where that user cannot read
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(writer, pids, looking)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, answer.decode()
    return msgspec.json.decode(answer, type=PidDocument)


def _answer(writer: int, pids: Sequence[int], looking: Looking) -> None:
    """Write the document, or why there is none, as nobody, and end this process."""
    code = 1
    with open(writer, "wb") as pipe:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as execve would make it again
            pipe.write(msgspec.json.encode(processes(pids, looking)))
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of a test may go on in this process
            pipe.write(traceback.format_exc().encode())
    os._exit(code)


# --- What a test cannot do without ------------------------------------------------------------------------------------


def needs_root() -> None:
    """Raise Unavailable without the administrator's rights."""
    if os.geteuid():
        raise Unavailable("only the administrator may do this")


def needs_loader(loader: str) -> None:
    """Raise Unavailable where this machine lacks the loader that programs of the ELF writer ask for."""
    if not os.path.exists(loader):
        raise Unavailable(f"{loader} is not here")

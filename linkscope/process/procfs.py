"""The files of /proc/PID as values. A process may vanish between two reads: ProcessGone says so, wherever it happens.

Source: proc(5) and its pages (proc_pid_stat(5), proc_pid_status(5) …), Linux fs/proc/.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

import msgspec

from linkscope.errors import NotPermitted, OutOfDescriptors, ProcessGone, ProcessUnreadable
from linkscope.model.pid import State

PROC = "/proc"
_PIECE = 1 << 20
_MOST_BYTES = 1 << 28  # of one file; smaps of 65530 mappings has some 50 MiB
# proc_pid_stat(5), field 3; Linux fs/proc/array.c, task_state_array. "I" is an idle kernel thread.
_STATES: dict[str, State] = {
    "R": "running",
    "S": "sleeping",
    "D": "disk-sleep",
    "T": "stopped",
    "t": "tracing-stop",
    "Z": "zombie",
    "X": "dead",
    "x": "dead",
    "I": "idle",
    "P": "idle",  # parked
}
_PF_KTHREAD = 0x00200000  # Linux include/linux/sched.h
# The types of the auxiliary vector; getauxval(3) lists them.
AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_ENTRY = 3, 4, 5, 6, 7, 9
AT_SECURE, AT_RANDOM, AT_EXECFN, AT_SYSINFO_EHDR = 23, 25, 31, 33

SLACK = 0.03
"""Seconds by which a file must be younger than a process to have been written after its start.

A start is known to a clock tick (1/100 s), the time of a file to a tick of the kernel's own."""


class Stat(msgspec.Struct, frozen=True):
    """/proc/PID/stat. starttime: clock ticks since the boot."""

    pid: int
    name: str
    state: State
    ppid: int
    session: int
    flags: int
    threads: int
    starttime: int

    @property
    def is_kernel_thread(self) -> bool:
        """Whether it has no program at all (PF_KTHREAD)."""
        return bool(self.flags & _PF_KTHREAD)


class Ids(msgspec.Struct, frozen=True):
    """Who a process is, from /proc/PID/status: real, effective, saved and file system ids."""

    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    tracer: int


def path_of(pid: int, name: str) -> str:
    """The place of one file of a process."""
    return f"{PROC}/{pid}/{name}"


def read(pid: int, name: str) -> bytes:
    """The whole of /proc/PID/NAME. Raises ProcessGone, NotPermitted, ProcessUnreadable."""
    with Held(pid, name) as held:
        return held.read()


def _whole(descriptor: int) -> bytes:
    pieces = []
    left = _MOST_BYTES
    while left > 0 and (piece := os.read(descriptor, min(_PIECE, left))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def trouble(pid: int, error: OSError) -> ProcessUnreadable:
    """What an error of the operating system says of the process: gone, somebody else's, or something else."""
    if error.errno in (errno.ENOENT, errno.ESRCH) and not os.path.exists(f"{PROC}/{pid}"):
        return ProcessGone(pid)
    if error.errno == errno.ESRCH:  # a kernel thread, or a zombie
        return ProcessUnreadable(pid, "it has no memory")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(pid)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise OutOfDescriptors from error
    return ProcessUnreadable(pid, os.strerror(error.errno).lower() if error.errno else str(error))


def held(pid: int, name: str) -> int:
    """A descriptor of what the magic link /proc/PID/NAME leads to, which keeps it. Raises as `read` does."""
    try:
        return os.open(f"{PROC}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise trouble(pid, error) from error


def link(pid: int, name: str) -> str:
    """What the symlink /proc/PID/NAME says. Raises as `read` does."""
    try:
        return os.readlink(f"{PROC}/{pid}/{name}")
    except OSError as error:
        raise trouble(pid, error) from error


def identity(pid: int, name: str) -> tuple[int, int]:
    """Device and inode of what the magic link /proc/PID/NAME leads to. Raises as `read` does."""
    status = status_of(pid, name)
    return status.st_dev, status.st_ino


def status_of(pid: int, name: str) -> os.stat_result:
    """stat(2) of what the magic link /proc/PID/NAME leads to, be it deleted or not. Raises as `read` does."""
    try:
        return os.stat(f"{PROC}/{pid}/{name}")
    except OSError as error:
        raise trouble(pid, error) from error


def mount_of(pid: int, name: str) -> int:
    """The number of the mount through which the magic link /proc/PID/NAME leads to its file. Raises as `read` does.

    A mount belongs to one mount namespace, or to none once it was unmounted while in use (proc_pid_fdinfo(5)).
    """
    try:
        descriptor = os.open(f"{PROC}/{pid}/{name}", os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise trouble(pid, error) from error
    try:
        return int(read(os.getpid(), f"fdinfo/{descriptor}").partition(b"mnt_id:")[2].split(None, 1)[0])
    finally:
        os.close(descriptor)


def mounts(pid: int) -> dict[int, tuple[str, int]]:
    """The mounts that a process sees, by their numbers: type of the file system and its device. Raises as `read` does.

    Source: proc_pid_mountinfo(5). Those that do not lie below its root are left out (Linux fs/proc_namespace.c,
    show_mountinfo). The device is the kernel's own, which maps has too, and stat(2) not always.
    """
    found = {}
    for line in read(pid, "mountinfo").rstrip(b"\n").split(b"\n"):
        number, _, device, _ = line.split(b" ", 3)
        kind = line.partition(b" - ")[2].split(b" ", 1)[0]
        major, minor = device.split(b":")
        found[int(number)] = (os.fsdecode(kind), os.makedev(int(major), int(minor)))
    return found


def pids() -> Iterator[int]:
    """Every process that can be seen, in order of their numbers."""
    return iter(sorted(int(name) for name in os.listdir(PROC) if name.isdecimal()))


def stat(pid: int) -> Stat:
    """/proc/PID/stat, which everybody may read. The name may hold spaces and parentheses. Raises as `read` does."""
    data = read(pid, "stat")
    end = data.rfind(b")")
    name = os.fsdecode(data[data.find(b"(") + 1 : end])
    fields = data[end + 2 :].split()
    if len(fields) < 20:
        raise ProcessGone(pid)
    return Stat(
        pid=pid,
        name=name,
        state=_STATES.get(fields[0].decode("ascii", "replace"), "sleeping"),
        ppid=int(fields[1]),
        session=int(fields[3]),
        flags=int(fields[6]),
        threads=int(fields[17]),
        starttime=int(fields[19]),
    )


def ids(pid: int) -> Ids:
    """Whose the process is, and who traces it (0: nobody). Raises as `read` does."""
    fields = status_fields(pid)
    return Ids(_four(fields.get(b"Uid", b"")), _four(fields.get(b"Gid", b"")), int(fields.get(b"TracerPid", b"0")))


def leader(pid: int) -> int:
    """The process of which PID is a thread: itself, unless it is not the first one. Raises as `read` does."""
    return int(status_fields(pid).get(b"Tgid", b"0")) or pid


def status_fields(pid: int) -> dict[bytes, bytes]:
    """/proc/PID/status, each line's name with its value. Raises as `read` does."""
    lines = (line.partition(b":") for line in read(pid, "status").split(b"\n"))
    return {name: value.strip() for name, separator, value in lines if separator}


def _four(text: bytes) -> tuple[int, int, int, int]:
    numbers = [int(word) for word in text.split()] + [-1] * 4
    return numbers[0], numbers[1], numbers[2], numbers[3]


def cmdline(pid: int) -> list[str]:
    """The arguments as they stand in memory now, which the program may have written over; [] of a kernel thread."""
    data = read(pid, "cmdline")
    if not data:
        return []
    # A title that setproctitle wrote may end in many NUL bytes, or in none.
    return [os.fsdecode(word) for word in data.rstrip(b"\0").split(b"\0")]


def environ(pid: int) -> dict[str, str] | None:
    """The environment with which the program was started; None where it has been written over. Raises as `read` does.

    A name that stands there twice has its last value, as the loader takes it (glibc elf/rtld.c, process_envvars).
    """
    data = read(pid, "environ")
    words = [word for word in data.split(b"\0") if word]
    if data and not data.strip(b"\0"):
        return None
    # A program that sets its title writes over the arguments, and on over the environment (setproctitle(3bsd)).
    if words and b"=" not in words[0]:
        return None
    pairs = (word.partition(b"=") for word in words)
    return {os.fsdecode(name): os.fsdecode(value) for name, separator, value in pairs if separator}


def auxv(pid: int, word: int, order: str = "<") -> dict[int, int]:
    """The auxiliary vector, by type; empty once the process has ended. WORD: bytes of one. Raises as `read` does."""
    data = read(pid, "auxv")
    pair = struct.Struct(f"{order}{'QQ' if word == 8 else 'II'}")
    found: dict[int, int] = {}
    for kind, value in pair.iter_unpack(data[: len(data) - len(data) % pair.size]):
        if kind == 0:
            break
        found.setdefault(kind, value)
    return found


def children(pid: int) -> list[int]:
    """The children of all its threads, each thread's in the order in which it got them. Raises as `read` does.

    Source: Linux fs/proc/array.c, get_children_pid (CONFIG_PROC_CHILDREN).
    """
    found: list[int] = []
    for thread in names_in(pid, "task"):
        try:
            found += [int(word) for word in read(pid, f"task/{thread}/children").split()]
        except ProcessUnreadable:
            continue
    return found


def names_in(pid: int, folder: str) -> list[str]:
    """The names in /proc/PID/FOLDER. Raises as `read` does."""
    try:
        return os.listdir(f"{PROC}/{pid}/{folder}")
    except OSError as error:
        raise trouble(pid, error) from error


def living_thread(process: Stat) -> int:
    """A thread that has memory: the first one, or another where that has ended (pthread_exit) and is shown as a zombie.

    /proc has a folder for every thread, which is only not listed (proc(5), /proc/tid).
    """
    if process.state != "zombie" or process.threads <= 1:
        return process.pid
    for name in names_in(process.pid, "task"):
        try:
            if stat(int(name)).state not in ("zombie", "dead"):
                return int(name)
        except ProcessGone:
            continue
    return process.pid


def boot_time() -> float:
    """When the machine was started, in seconds since the epoch, by the clocks as they go now."""
    import time

    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def start_time(status: Stat, booted: float) -> float:
    """When the process was forked, in seconds since the epoch, true to a clock tick; BOOTED: `boot_time`."""
    return booted + status.starttime / os.sysconf("SC_CLK_TCK")


class Held:
    """One file of /proc/PID, held open to be read several times. Use it in a `with`, or close it.

    What tells of memory goes on telling of the memory that the process had then. Raises as `read` does.
    """

    __slots__ = ("_descriptor", "pid")

    def __init__(self, pid: int, name: str) -> None:
        self.pid = pid
        try:
            self._descriptor = os.open(f"{PROC}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise trouble(pid, error) from error

    def read(self) -> bytes:
        """The whole of it, as it is now."""
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            return _whole(self._descriptor)
        except OSError as error:
            raise trouble(self.pid, error) from error

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Memory:
    """The memory of one process through /proc/PID/mem, which is opened for reading alone. Use it in a `with`.

    Raises NotPermitted or ProcessGone when it is made.
    """

    __slots__ = ("_descriptor", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._descriptor = os.open(f"{PROC}/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise trouble(pid, error) from error

    def read(self, address: int, size: int) -> bytes | None:
        """SIZE bytes at ADDRESS; None where not all of them are mapped and readable."""
        if not 0 <= address < 1 << 63 or not 0 <= size <= _MOST_BYTES:
            return None
        try:
            data = os.pread(self._descriptor, size, address)
        except (OSError, OverflowError):
            return None
        return data if len(data) == size else None

    def string(self, address: int, most: int = 4096) -> bytes | None:
        """The bytes at ADDRESS up to a NUL; None where there is none within MOST bytes of readable memory."""
        text = b""
        while len(text) < most:
            at = address + len(text)
            piece = self.read(at, min(256 - at % 256, most - len(text)))
            if piece is None:
                return None
            text += piece
            if b"\0" in piece:
                return text[: text.index(b"\0")]
        return None

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

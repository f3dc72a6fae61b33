"""What the kernel counts while a program runs: page faults and instructions, from its exec to its end.

The counts come from runs of their own, not from those that are timed: an event costs the program a little at each
fault, and at each change of process. They begin at the exec (`enable_on_exec`) and include the program's children
(`inherit`), as those of perf-stat(1) do. getrusage(2) counts faults as well, but also those between clone and exec,
and those by which exec itself fills the first pages of the stack (Linux mm/memory.c, mm_account_fault: no event for a
fault without registers).

Source: perf_event_open(2), Linux include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median_low
from typing import Literal

import msgspec

from linkscope.measure import launch
from linkscope.measure.command import Bounds, Command
from linkscope.measure.launch import Prepared
from linkscope.measure.leftovers import none_left
from linkscope.measure.trial import failure_later

REPEAT = 5

What = Literal["minor faults", "major faults", "instructions"]
# PERF_TYPE_SOFTWARE with PERF_COUNT_SW_PAGE_FAULTS_MIN and _MAJ; PERF_TYPE_HARDWARE with PERF_COUNT_HW_INSTRUCTIONS
_EVENTS: dict[What, tuple[int, int]] = {"minor faults": (1, 5), "major faults": (1, 6), "instructions": (0, 1)}
# struct perf_event_attr up to the flags, the rest zeros: type, size, config, sample period, sample type, read format
_ATTRIBUTES = struct.Struct("=IIQQQQQ")
_SIZE = 64  # PERF_ATTR_SIZE_VER0, which every kernel knows
_DISABLED, _INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR, _ENABLE_ON_EXEC = 1, 1 << 1, 1 << 5, 1 << 6, 1 << 12
_TIMES = 3  # PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING
_READ = struct.Struct("=QQQ")  # the count, and for how long it was wanted, and done
_CLOSE_ON_EXEC = 8
# The C libraries have no function for it. Linux arch/*/kernel/syscalls, and include/uapi/asm-generic/unistd.h (241).
_CALL = {
    ("x86_64", 64): 298,
    ("x86_64", 32): 336,
    ("i686", 32): 336,
    ("aarch64", 64): 241,
    ("aarch64", 32): 364,
    ("armv7l", 32): 364,
    ("riscv64", 64): 241,
    ("loongarch64", 64): 241,
    ("ppc64le", 64): 319,
    ("s390x", 64): 331,
}
_PARANOID = "/proc/sys/kernel/perf_event_paranoid"
_MOST_PARANOID = 2  # Linux's own highest; Debian and Android have 3 and more, which forbid perf_event_open(2) at all
_IN_USER_MODE = "page faults are those from the program's own code, without those by which the kernel fills its memory"
_TAKEN_AWAY = "the kernel lets only root count what a program does that gets rights of another user (set-user-id)"


class Counts(msgspec.Struct, frozen=True):
    """Medians over some runs. instructions: those of the program, not of the kernel; None where nobody counts them.

    notes: what is not as it should be, and why.
    """

    minor_faults: int
    major_faults: int
    instructions: int | None
    notes: list[str]


def counts(command: Command, bounds: Bounds, repeat: int = REPEAT) -> Counts:
    """What runs of a command count up to, after it has run before. Raises RunFailed and CannotRun.

    Where the kernel gives no event for faults, or stops counting as the program starts, they are those of getrusage(2),
    and a note says so.
    """
    prepared = Prepared(command)
    found: dict[What, list[int]] = {what: [] for what in _EVENTS}
    notes: dict[What, str] = {}
    with none_left() as leftovers, launch.nowhere() as null:
        for _ in range(repeat):
            with _events() as events:
                sample = launch.run(prepared, null, bounds.timeout)
                failure = failure_later(command, sample.ending, bounds.timeout, leftovers)
                counted = events.counted()
            if failure is not None:
                raise failure
            used: dict[What, int] = {"minor faults": sample.minor_faults, "major faults": sample.major_faults}
            for what, value in (used | counted).items():
                found[what].append(value)
            notes |= events.notes
    return Counts(
        minor_faults=median_low(found["minor faults"]),
        major_faults=median_low(found["major faults"]),
        instructions=median_low(found["instructions"]) if len(found["instructions"]) == repeat else None,
        notes=list(dict.fromkeys(notes.values())),
    )


class _Events:
    """Events that begin to count at the next exec of a child. notes: what is said of those that are not as wished."""

    def __init__(self) -> None:
        self._opened: dict[What, int] = {}
        self.notes: dict[What, str] = {}

    def open(self) -> None:
        """Open what the kernel gives. It takes faults of the kernel's own reads and writes too, where it may."""
        for what in _EVENTS:
            whole = _EXCLUDE_HYPERVISOR | _EXCLUDE_KERNEL if what == "instructions" else 0
            try:
                try:
                    self._opened[what] = _open(what, whole)
                except PermissionError:
                    if what == "instructions":
                        raise
                    self._opened[what] = _open(what, _EXCLUDE_KERNEL)
                    self.notes[what] = _IN_USER_MODE
            except OSError as error:
                self.notes[what] = reason(what, error)

    def counted(self) -> dict[What, int]:
        """What they count by now, without those that did not count all the time: there are too few counters for all.

        No program runs without a fault for its first instruction. Where there is none, the kernel has taken the events
        away: it does so where a program gets rights that its user lacks (Linux fs/exec.c, begin_new_exec:
        perf_event_exit_task of who is not dumpable), and says of them that they counted all the time.
        """
        found: dict[What, int] = {}
        for what, descriptor in self._opened.items():
            value, wanted, done = _READ.unpack(os.read(descriptor, _READ.size))
            if done == wanted:
                found[what] = value
            else:
                self.notes[what] = f"{what} were counted for a part of the time only, and are not shown"
        if "minor faults" in found and not found["minor faults"] and not found.get("major faults"):
            self.notes.update((what, _without(what, _TAKEN_AWAY)) for what in found)
            return {}
        return found

    def close(self) -> None:
        """Give them back."""
        while self._opened:
            os.close(self._opened.popitem()[1])


@contextmanager
def _events() -> Iterator[_Events]:
    """Events for one run: the kernel may swap those of a parent and its child, and `enable_on_exec` is spent then.

    Source: Linux kernel/events/core.c, perf_event_context_sched_out and perf_event_enable_on_exec.
    """
    events = _Events()
    try:
        events.open()
        yield events
    finally:
        events.close()


def _open(what: What, flags: int) -> int:
    import ctypes

    number = _CALL.get((os.uname().machine, 64 if sys.maxsize > 1 << 32 else 32))
    if number is None:
        raise OSError(errno.ENOSYS, "")
    kind, which = _EVENTS[what]
    flags |= _DISABLED | _INHERIT | _ENABLE_ON_EXEC
    attributes = _ATTRIBUTES.pack(kind, _SIZE, which, 0, 0, _TIMES, flags).ljust(_SIZE, b"\0")
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.argtypes = [ctypes.c_long, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ulong]
    call.restype = ctypes.c_long
    descriptor = int(call(number, attributes, 0, -1, -1, _CLOSE_ON_EXEC))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def reason(what: What, error: OSError) -> str:
    """What is said where the kernel refuses an event with ERROR: what the figures are then, and why."""
    if error.errno in (errno.EACCES, errno.EPERM):
        why = _forbidden()
    elif error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
        why = "this machine has no counter that its kernel knows (virtual machines often have none)"
    elif error.errno == errno.ENOSYS:
        why = "this kernel has no perf events"
    else:
        why = os.strerror(error.errno or 0).lower()
    return _without(what, why)


def _without(what: What, why: str) -> str:
    if what == "instructions":
        return f"instructions are not counted: {why}"
    return f"page faults are those of getrusage(2), with two or three of before the program: {why}"


def _forbidden() -> str:
    try:
        with open(_PARANOID, "rb") as setting:
            level = int(setting.read())
    except (OSError, ValueError):
        return "it is not permitted"
    if os.geteuid() and level > _MOST_PARANOID:
        return f"kernel.perf_event_paranoid is {level}, which lets only root count"
    return "perf events are forbidden here, as containers do"

"""On which descriptors the threads of a process wait, by the system call in which each is blocked.

Source: proc_pid_syscall(5); the numbers of the calls: Linux arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h. What is waited for through io_uring does not show.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Literal

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.process import procfs
from linkscope.process.procfs import Memory

Shape = Literal["descriptor", "poll", "select"]
# What the first arguments are: a descriptor; an array of pollfd and its length; a count and a set of bits.
_CALLS: dict[str, dict[int, Shape]] = {
    "x86_64": {43: "descriptor", 288: "descriptor", 7: "poll", 271: "poll", 23: "select", 270: "select"},
    "aarch64": {202: "descriptor", 242: "descriptor", 73: "poll", 72: "select"},
    "riscv64": {202: "descriptor", 242: "descriptor", 73: "poll", 72: "select"},
    "loongarch64": {202: "descriptor", 242: "descriptor", 73: "poll", 72: "select"},
}
_MOST = 1 << 16
_POLLFD = struct.Struct("=ihh")
_POLLIN = 1


class _Call(msgspec.Struct, frozen=True):
    shape: Shape
    first: int
    second: int


def awaited_by(pid: int, machine: str | None = None) -> set[int]:
    """The descriptors on which its threads wait now for a connection or for something to read.

    Empty where the caller may not look, or the process is one of another kind of machine than MACHINE (uname(2)), whose
    calls have other numbers: the caller sees to that.
    """
    numbers = _CALLS.get(os.uname().machine if machine is None else machine, {})
    try:
        calls = list(_calls(pid, numbers))
        if all(call.shape == "descriptor" for call in calls):
            return {call.first for call in calls}
        with Memory(pid) as memory:
            return {number for call in calls for number in _descriptors(call, memory)}
    except ProcessUnreadable:
        return set()


def _calls(pid: int, numbers: dict[int, Shape]) -> Iterator[_Call]:
    for thread in procfs.names_in(pid, "task"):
        try:
            words = procfs.read(pid, f"task/{thread}/syscall").split()
        except ProcessUnreadable:
            continue
        # `running`, or -1 of one that is in no call.
        if len(words) > 2 and words[0].isdigit() and int(words[0]) in numbers:
            yield _Call(numbers[int(words[0])], int(words[1], 16), int(words[2], 16))


def _descriptors(call: _Call, memory: Memory) -> list[int]:
    if call.shape == "descriptor":
        return [call.first]
    if call.shape == "poll":
        data = memory.read(call.first, min(call.second, _MOST) * _POLLFD.size) or b""
        return [number for number, events, _ in _POLLFD.iter_unpack(data) if events & _POLLIN]
    count = min(call.first, _MOST)
    data = memory.read(call.second, (count + 63) // 64 * 8) or b""
    return [number for number in range(count) if number // 8 < len(data) and data[number // 8] >> number % 8 & 1]

"""What a process has open: /proc/PID/fd and fdinfo as values. All is empty where it is gone, or somebody else's.

Source: proc_pid_fd(5), proc_pid_fdinfo(5); Linux fs/proc/fd.c, fs/eventpoll.c (ep_show_fdinfo).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.process import procfs

STANDARD = 3  # descriptors below it are given to whatever is started
Access = Literal["read", "write", "both"]
_ACCESS: dict[int, Access] = {os.O_RDONLY: "read", os.O_WRONLY: "write", os.O_RDWR: "both"}
_NUMBERED = re.compile(r"([a-z]+):\[(\d+)\]")
_WATCHED = re.compile(rb"^tfd: +(\d+) events: +([0-9a-f]+) .*?(?: ino:([0-9a-f]+) .*)?$", re.MULTILINE)
_EPOLLIN = 1


class Descriptor(msgspec.Struct, frozen=True):
    """One open file. target: what its link says, such as `pipe:[123]`, `socket:[123]` or a path."""

    number: int
    target: str

    @property
    def kind(self) -> str:
        """`pipe` or `socket`; "" of everything else."""
        match = _NUMBERED.fullmatch(self.target)
        return match[1] if match else ""

    @property
    def inode(self) -> int:
        """The number of the pipe or socket; 0 of everything else."""
        match = _NUMBERED.fullmatch(self.target)
        return int(match[2]) if match else 0


class Watched(msgspec.Struct, frozen=True):
    """What an epoll set asks to be told of. number: the descriptor with which it was put in, be it in another process.

    inode: 0 where the kernel does not say it (before 4.18).
    """

    number: int
    inode: int


def descriptors_of(pid: int) -> list[Descriptor]:
    """Everything that it has open, in order of the numbers."""
    return sorted(_descriptors(pid), key=lambda descriptor: descriptor.number)


def _descriptors(pid: int) -> Iterator[Descriptor]:
    try:
        numbers = procfs.names_in(pid, "fd")
    except ProcessUnreadable:
        return
    for number in numbers:
        try:
            yield Descriptor(int(number), procfs.link(pid, f"fd/{number}"))
        except ProcessUnreadable:
            continue


def access_of(pid: int, descriptor: Descriptor) -> Access | None:
    """For what it was opened (O_ACCMODE); None where it is closed by now."""
    flags = re.search(rb"^flags:\t(\d+)$", _info(pid, descriptor), re.MULTILINE)
    return _ACCESS.get(int(flags[1], 8) & os.O_ACCMODE) if flags else None


def watched_by(pid: int, descriptor: Descriptor) -> list[Watched]:
    """What an epoll set waits to read from; [] of what is none."""
    if descriptor.target != "anon_inode:[eventpoll]":
        return []
    rows = _WATCHED.findall(_info(pid, descriptor))
    return [
        Watched(int(number), int(inode or b"0", 16)) for number, events, inode in rows if int(events, 16) & _EPOLLIN
    ]


def status_of(pid: int, descriptor: Descriptor) -> os.stat_result | None:
    """stat(2) of the open file; None where it is closed by now."""
    try:
        return procfs.status_of(pid, f"fd/{descriptor.number}")
    except ProcessUnreadable:
        return None


def _info(pid: int, descriptor: Descriptor) -> bytes:
    try:
        return procfs.read(pid, f"fdinfo/{descriptor.number}")
    except ProcessUnreadable:
        return b""

"""One function over many items, in several processes of this machine, with the results in the order of the items.

fork(2) and pipes alone: a process starts in a millisecond with all that its parent has learnt, and nothing has to be
imported. Only for a program that has no other threads.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")
_LENGTH = struct.Struct("=Q")
_BLOCK = 1 << 16


class WorkerFailed(RuntimeError):
    """A process ended before its work was done; it has said why on standard error."""


def in_processes(function: Callable[[_Item], bytes], items: Sequence[_Item], workers: int) -> Iterator[bytes]:
    """function(item) for each item, in their order, every WORKERS-th item in the same process.

    Raises WorkerFailed. Processes that are not needed any more, since nobody takes the results, are ended.
    """
    children: list[tuple[int, int]] = []
    try:
        for number in range(workers):
            children.append(_start(function, items[number::workers], [reading for _, reading in children]))
        streams = [_frames(reading) for _, reading in children]
        for index in range(len(items)):
            frame = next(streams[index % workers], None)
            if frame is None:
                raise WorkerFailed("a process that analyses files ended early")
            yield frame
    finally:
        for process, reading in children:
            os.close(reading)
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)


def _start(function: Callable[[_Item], bytes], items: Sequence[_Item], others: list[int]) -> tuple[int, int]:
    """A process at work on ITEMS, and the descriptor from which its results are read."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for descriptor in (reading, *others):
            os.close(descriptor)
        with open(writing, "wb", _BLOCK) as stream:
            for item in items:
                frame = function(item)
                stream.write(_LENGTH.pack(len(frame)))
                stream.write(frame)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)
    except BaseException:  # noqa: BLE001  # whatever it is, it must not go on in the parent's code
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _frames(reading: int) -> Iterator[bytes]:
    with open(reading, "rb", _BLOCK, closefd=False) as stream:
        while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            frame = stream.read(length)
            if len(frame) != length:
                return
            yield frame

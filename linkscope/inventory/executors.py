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
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def in_processes(
    function: Callable[[_Item], bytes], items: Sequence[_Item], workers: int, share: Callable[[_Item], int]
) -> Iterator[bytes | None]:
    """function(item) for each item, in their order; items of the same SHARE (modulo WORKERS) in the same process.

    None for an item at which its process ended (killed for its memory, say); another goes on with the next one.
    Processes that are not needed any more, since nobody takes the results, are ended.
    """
    shares = [share(item) % workers for item in items]
    left = [[item for item, its in zip(items, shares, strict=True) if its == number] for number in range(workers)]
    running: list[_Worker] = []
    try:
        for number in range(workers):
            running.append(_Worker(function, left[number], [worker.reading for worker in running]))
        done = [0] * workers
        for number in shares:
            done[number] += 1
            frame = next(running[number].frames, None)
            if frame is None:
                running[number].end()
                others = [other.reading for other in running if other is not running[number]]
                running[number] = _Worker(function, left[number][done[number] :], others)
            yield frame
    finally:
        for worker in running:
            worker.end()


class _Worker:
    """A process at work on some items. reading: the descriptor from which its results come, frames: those."""

    def __init__(self, function: Callable[[_Item], bytes], items: Sequence[_Item], others: list[int]) -> None:
        self._process, self.reading = _start(function, items, others)
        self.frames = _frames(self.reading)

    def end(self) -> None:
        """Stop it, if it has not ended by itself."""
        os.close(self.reading)
        os.kill(self._process, signal.SIGTERM)
        os.waitpid(self._process, 0)


def _start(function: Callable[[_Item], bytes], items: Sequence[_Item], others: list[int]) -> tuple[int, int]:
    """A process at work on ITEMS, and the descriptor from which its results are read."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed before the start
            stream.flush()
    reading, writing = os.pipe()
    # A signal that comes at once must not raise an exception in the parent's code, which would go on in the child.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    process = os.fork()
    if process:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        os.close(writing)
        return process, reading
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        for descriptor in (reading, *others):
            os.close(descriptor)
        with open(writing, "wb", _BLOCK) as results:
            for item in items:
                frame = function(item)
                results.write(_LENGTH.pack(len(frame)))
                results.write(frame)
                results.flush()  # so that a process that is killed has lost nothing but the item it was at
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)
    except BaseException:  # noqa: BLE001  # whatever it is, it must not go on in the parent's code
        sys.excepthook(*sys.exc_info())
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

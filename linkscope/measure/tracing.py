"""ptrace(2), as far as it takes to stop a program at the very end of its life.

Source: ptrace(2); Linux include/uapi/linux/ptrace.h. The thread that seizes a process is the only one that may go on
with it and let it go.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

import msgspec

_CONT, _DETACH, _GETEVENTMSG, _SEIZE, _LISTEN = 7, 17, 0x4201, 0x4206, 0x4208
_TRACECLONE, _TRACEEXEC, _TRACEEXIT, _EXITKILL = 1 << 3, 1 << 4, 1 << 6, 1 << 20
_WALL = 0x40000000  # waitpid(2): threads too, which are no children of their own
CLONE, EXEC, EXIT, STOP = 3, 4, 6, 128
_GROUP_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class Stopped(msgspec.Struct, frozen=True):
    """A thread that has stopped. event: one of those above, or 0 where SIGNAL is about to be given to it."""

    signal: int
    event: int

    @property
    def is_group_stop(self) -> bool:
        """Whether the whole process was stopped by a signal, and waits for SIGCONT."""
        return self.event == STOP and self.signal in _GROUP_STOPS


class Ended(msgspec.Struct, frozen=True):
    """A thread that has ended. status: as waitpid(2) has it.

    most: bytes that it or a process that it has waited for had resident at most, if it is the process (ru_maxrss of
    getrusage(2)); a program has begun with the memory of whoever started it.
    """

    status: int
    most: int = 0


def seize(pid: int) -> None:
    """Trace a process: its threads with it, but not the processes that it starts. It runs on. OSError where refused.

    It stops when it starts a program, when it starts a thread, when a signal comes, and when a thread is about to end
    (with the memory still there). It is killed when this thread ends (PTRACE_O_EXITKILL).
    """
    _ptrace(_SEIZE, pid, 0, _TRACECLONE | _TRACEEXEC | _TRACEEXIT | _EXITKILL)


def proceed(tid: int, with_signal: int = 0) -> None:
    """Let a stopped thread run on, with that signal. Nothing happens where it is gone."""
    _unless_gone(lambda: _ptrace(_CONT, tid, 0, with_signal))


def stay_stopped(tid: int) -> None:
    """Leave it in its group stop, from which SIGCONT wakes it."""
    _unless_gone(lambda: _ptrace(_LISTEN, tid, 0, 0))


def let_go(tid: int) -> None:
    """Trace a stopped one no longer; it runs on."""
    _unless_gone(lambda: _ptrace(_DETACH, tid, 0, 0))


def message(tid: int) -> int:
    """What belongs to the event that it stopped at: EXIT the status, CLONE the new one's number. 0 where it is gone."""
    import ctypes

    value = ctypes.c_ulong(0)
    _unless_gone(lambda: _ptrace(_GETEVENTMSG, tid, 0, ctypes.addressof(value)))
    return value.value


def news_of(tid: int) -> Stopped | Ended | None:
    """What became of a thread since it was last asked; None where it runs on. Does not wait."""
    try:
        pid, status, usage = os.wait4(tid, os.WNOHANG | _WALL)
    except ChildProcessError:  # another thread has started a program, and has taken this one's place
        return Ended(0)
    if pid == 0:
        return None
    if os.WIFSTOPPED(status):
        return Stopped(os.WSTOPSIG(status), status >> 16)
    return Ended(status, usage.ru_maxrss * 1024)


def _unless_gone(ask: Callable[[], None]) -> None:
    """SIGKILL takes a thread out of every stop."""
    try:
        ask()
    except ProcessLookupError:
        return


def _ptrace(request: int, pid: int, address: int, data: int) -> None:
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    call.restype = ctypes.c_long
    if call(request, pid, address or None, data or None) == -1:
        number = ctypes.get_errno() or errno.EPERM
        raise OSError(number, os.strerror(number))

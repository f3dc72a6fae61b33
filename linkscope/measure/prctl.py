"""What a process asks of the kernel for itself and its children: prctl(2), which Python has no function for.

The numbers are those of Linux include/uapi/linux/prctl.h.
"""

from __future__ import annotations

import os

from linkscope.errors import CannotRun

_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 36, 37


def end_with_parent(number: int) -> None:
    """This process gets the signal NUMBER when the thread that has forked it ends, however that comes about."""
    _call("the end of the parent", _SET_PDEATHSIG, number)


def is_subreaper() -> bool:
    """Whether orphans among the descendants of this process fall to it."""
    import ctypes

    value = ctypes.c_int(0)
    _call("orphans of a run", _GET_CHILD_SUBREAPER, ctypes.addressof(value))
    return bool(value.value)


def become_subreaper(wanted: bool) -> None:
    """Orphans among the descendants of this process fall to it, or no longer. Raises CannotRun (before Linux 3.4)."""
    _call("orphans of a run", _SET_CHILD_SUBREAPER, int(wanted))


def _call(what: str, option: int, argument: int) -> None:
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).prctl
    call.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    if call(option, argument, 0, 0, 0):
        raise CannotRun(what, f"cannot be watched ({os.strerror(ctypes.get_errno()).lower()})")

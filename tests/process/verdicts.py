"""What is said of a process, by the close look and by the quick one, which must agree; as root or as another user."""

import base64
import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator

from linkscope.analysis.process import each_process, processes
from linkscope.analysis.request import Looking
from linkscope.model.pid import Process
from tests.oracle.availability import Unavailable
from tests.process.started import NOBODY

_QUICK = Looking(stale_only=True, memory=False)
_PR_SET_DUMPABLE = 4  # <sys/prctl.h>


def looked_at(pid: int) -> Process:
    """The whole answer; the quick look of `ps --stale` has found the same objects stale."""
    found = processes([pid])
    assert not found.errors
    (process,) = found.processes
    quick = [one for one in each_process([pid], _QUICK) if isinstance(one, Process)]
    assert [stale(one) for one in quick if stale(one)] == [stale(one) for one in (process,) if stale(one)]
    return process


def stale(process: Process) -> list[str | None]:
    """The paths that a restart is called for by."""
    return [finding.path for finding in process.findings if finding.code == "stale-object"]


def disks(process: Process) -> dict[str, str]:
    """How each object stands to the disk, by its exact path."""
    assert process.objects is not None
    return {
        os.fsdecode(base64.b64decode(one.path_bytes)) if one.path_bytes else one.path: one.disk
        for one in process.objects
    }


def reasons(process: Process) -> list[str]:
    """Why nothing can be told of an object."""
    return [finding.message for finding in process.findings if finding.code == "disk-unknown"]


@functools.cache
def _load_all() -> None:
    """All of the code, which another user need not be able to read."""
    processes([os.getpid()])


@contextlib.contextmanager
def ordinary_user(uid: int = NOBODY) -> Iterator[None]:
    """Make this process look as an ordinary user, without root's capabilities; root again when the block ends."""
    if os.geteuid():
        raise Unavailable("only root becomes another user")
    _load_all()
    libc = ctypes.CDLL(None)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(uid)
    os.seteuid(uid)
    # Who changes its user is hidden from that user; a program that the user starts is not.
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)

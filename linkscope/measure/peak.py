"""The most memory that a program ever had.

ru_maxrss of getrusage(2) does not say it of a small program: it begins with the memory of the process that started it
(Linux fs/exec.c, exec_mmap: setmax_mm_hiwater_rss), and this one is an interpreter of some 20 MiB.
"""

from __future__ import annotations

import os

import msgspec

from linkscope.errors import NotPermitted, ProcessGone, ProcessUnreadable
from linkscope.measure.command import Bounds, Command
from linkscope.measure.held import Late, held_at_exit
from linkscope.measure.launch import Ending
from linkscope.measure.leftovers import none_left
from linkscope.measure.memory import memory_of, past_of
from linkscope.measure.trial import failure_later

_NOTABLE = 1 << 20  # bytes: what the kernel's count may be behind by


class Peak(msgspec.Struct, frozen=True):
    """Bytes resident at most. rss: of the program itself.

    of_child: of the largest process that it has started and waited for; None where that was less than the program's
    own, or less than this process has, from which it cannot be told.
    """

    rss: int
    of_child: int | None


def peak(command: Command, bounds: Bounds) -> Peak:
    """The largest resident set of one run: VmHWM at the end of its life, before its memory is given back.

    Raises RunFailed as `failure_later` has it, NotHeld, CannotRun, and ProcessUnreadable where the program guards its
    memory. Source: proc_pid_status(5).
    """
    with none_left() as leftovers:
        try:
            with held_at_exit([command], bounds.timeout) as (copy,):
                # The kernel's own count is behind by up to some hundred KiB (since 6.2 each CPU counts for itself, and
                # so it is with ru_maxrss); smaps_rollup looks at the pages.
                rss = max(past_of(copy.pid).peak, _now(copy.pid))
            ending = copy.ending
        except Late:
            ending = Ending()
        failure = failure_later(command, ending, bounds.timeout, leftovers)
        if failure is not None:
            raise failure
        others = max(rss, past_of(os.getpid()).peak)
    return Peak(rss, copy.most if copy.most > others + _NOTABLE else None)


def peak_rss(command: Command, bounds: Bounds) -> int:
    """The `peak` of the program itself. Raises as that does."""
    return peak(command, bounds).rss


def _now(pid: int) -> int:
    """What it has resident now; 0 where the kernel does not say, but of a guarded process (NotPermitted) it is told."""
    try:
        return memory_of(pid).rss
    except (NotPermitted, ProcessGone):
        raise
    except ProcessUnreadable:
        return 0

"""The most memory that a program ever had.

ru_maxrss of getrusage(2) does not say it of a small program: it begins with the memory of the process that started it
(Linux fs/exec.c, exec_mmap: setmax_mm_hiwater_rss), and this one is an interpreter of some 20 MiB.
"""

from __future__ import annotations

from linkscope.measure.command import Bounds, Command
from linkscope.measure.held import held_at_exit
from linkscope.measure.leftovers import none_left
from linkscope.measure.memory import memory_of
from linkscope.process import procfs

_KIB = 1024


def peak_rss(command: Command, bounds: Bounds) -> int:
    """The largest resident set of one run, in bytes: VmHWM at the end of its life, before its memory is given back.

    Without the processes that it starts. Raises NotStarted, NotHeld, CannotRun, and ProcessUnreadable where the program
    guards its memory. Source: proc_pid_status(5).
    """
    with none_left(), held_at_exit([command], bounds.timeout) as (copy,):
        status = procfs.status_fields(procfs.living_thread(procfs.stat(copy.pid)))
        # The kernel's own count is behind by up to some hundred KiB (since 6.2 each CPU counts for itself, and so it is
        # with ru_maxrss); smaps_rollup looks at the pages.
        return max(int(status.get(b"VmHWM", b"0 kB").split()[0]) * _KIB, memory_of(copy.pid).rss)

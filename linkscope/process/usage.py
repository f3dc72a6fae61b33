"""What objects and processes cost in memory: sums over smaps, in bytes.

Source: Linux Documentation/filesystems/proc.rst. A page that several processes have mapped counts for each in Rss, and
in Pss for each its part.
"""

from __future__ import annotations

from collections.abc import Iterable

from linkscope.model.pid import CopyOnWrite, ProcessMemory, Usage
from linkscope.process.mappings import Cost, Mapping


def usage(costs: Iterable[Cost]) -> Usage:
    """The sums over the mappings of one object."""
    rss = pss = shared = private = 0
    for cost in costs:
        rss += cost.rss
        pss += cost.pss
        shared += cost.shared_clean + cost.shared_dirty
        private += cost.private_clean + cost.private_dirty
    return Usage(rss=rss, pss=pss, shared=shared, private=private)


def process_memory(mappings: Iterable[Mapping], costs: list[Cost]) -> ProcessMemory:
    """The sums over all mappings of a process."""
    whole = usage(costs)
    return ProcessMemory(
        rss=whole.rss,
        pss=whole.pss,
        shared=whole.shared,
        private=whole.private,
        swap=sum(cost.swap for cost in costs),
        copy_on_write=copy_on_write(zip(mappings, costs, strict=True)),
    )


def copy_on_write(pairs: Iterable[tuple[Mapping, Cost]]) -> CopyOnWrite:
    """What fork left in common: anonymous pages of private mappings that another process has mapped as well.

    fork gives both processes the same pages, and each its own copy of one when it writes to it (fork(2)). Anonymous
    pages are shared with nobody else, and count as dirty (Linux fs/proc/task_mmu.c, smaps_account). Pages of a file
    count so too, as long as they were written and are not on the disk yet.
    """
    anonymous = shared = 0
    for mapping, cost in pairs:
        if not mapping.shared:
            anonymous += cost.anonymous
            shared += max(0, min(cost.shared_dirty, cost.anonymous - cost.private_dirty))
    return CopyOnWrite(private_memory=anonymous, shared=shared, own=anonymous - shared)

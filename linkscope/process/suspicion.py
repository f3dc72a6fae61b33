"""Which processes may run code that is no longer on the disk: a quick look that misses none, before a close one.

For hundreds of processes: one read of each one's mappings, and one stat(2) for each file that any of them has mapped.
"""

from __future__ import annotations

import re

from linkscope.process import procfs
from linkscope.process.disk import Disks
from linkscope.process.mappings import Mapping, parse
from linkscope.process.rewritten import SLACK
from linkscope.process.views import Views

# Executable mappings of files: their lines as they are, to be taken apart only where they were not met before.
_CODE = re.compile(rb"^([0-9a-f]+-[0-9a-f]+) (..x. \S+ \S+ [1-9].*)$", re.MULTILINE)


class Suspicion:
    """One run over many processes. What stands behind a line of maps in a view is judged once."""

    def __init__(self, views: Views, disks: Disks) -> None:
        self._views = views
        self._disks = disks
        self._since: dict[tuple[int, bytes], float] = {}

    def falls_on(self, pid: int, started: float) -> bool:
        """Whether some executable file of the process may be stale. STARTED: seconds since the epoch.

        Raises ProcessUnreadable. A rename changes the time of the inode, as writing does (stat(2), ctime).
        """
        lines = _CODE.findall(procfs.read(pid, "maps"))
        if not lines:
            return False
        sight = self._views.of(pid)
        newest = 0.0
        for addresses, rest in lines:
            key = (id(sight), rest)
            since = self._since.get(key)
            if since is None:
                (mapping,) = parse(addresses + b" " + rest)
                since = self._since[key] = self._changed(pid, mapping)
            newest = max(newest, since)
        return newest > started + SLACK

    def _changed(self, pid: int, mapping: Mapping) -> float:
        """When the file behind a mapping, or its inode, was last changed; infinite where no name leads to it now."""
        standing = self._disks.standing(pid, mapping, self._views.of(pid))
        if standing.disk == "memfd":
            return 0.0
        if standing.disk != "same" or standing.status is None:
            return float("inf")
        return max(standing.status.st_mtime, standing.status.st_ctime)

"""Which processes may run code that is no longer on the disk: a quick look that misses none, before a close one.

For hundreds of processes: one read of each one's mappings, and one stat(2) for each file that any of them has mapped.
"""

from __future__ import annotations

from linkscope.process import procfs
from linkscope.process.disk import Standing, standing_of
from linkscope.process.mappings import parse
from linkscope.process.views import View, Views

_NO_FILE = b" 00:00 0"


class Suspicion:
    """One run over many processes. What stands behind a line of maps in a view is judged once."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._since: dict[tuple[int, bytes], float] = {}

    def falls_on(self, pid: int, booted: float) -> bool:
        """Whether some executable file of the process may be stale. BOOTED: `procfs.boot_time`.

        Raises ProcessUnreadable. A rename changes the time of the inode, as writing does (stat(2), ctime).
        """
        lines = _code(procfs.read(pid, "maps"))
        if not lines:
            stat = procfs.stat(pid)
            thread = procfs.living_thread(stat)
            lines = _code(procfs.read(thread, "maps")) if thread != pid else []
            if not lines:
                return False
            return self._newest(thread, lines) > procfs.start_time(stat, booted) + procfs.SLACK
        newest = self._newest(pid, lines)
        if newest <= booted:  # before any process was started
            return False
        return newest > procfs.start_time(procfs.stat(pid), booted) + procfs.SLACK

    def _newest(self, pid: int, lines: list[tuple[bytes, bytes]]) -> float:
        """When the file of one of these mappings was last changed."""
        sight = self._views.of(pid)
        newest = 0.0
        for addresses, rest in lines:
            key = (sight.number, rest)
            since = self._since.get(key)
            if since is None:
                (mapping,) = parse(addresses + b" " + rest)
                standing = standing_of(pid, mapping, sight)
                since = _changed(standing)
                if not standing.disguised:
                    self._since[key] = since
            newest = max(newest, since)
        return newest


def _code(maps: bytes) -> list[tuple[bytes, bytes]]:
    """The executable mappings of files: addresses, and the rest of each line as it is.

    Taken apart only where a rest was not met before. (A regular expression takes five times as long.)
    """
    split = [line.partition(b" ") for line in maps.split(b"\n")]
    return [(addresses, rest) for addresses, _, rest in split if rest[2:3] == b"x" and _NO_FILE not in rest[:32]]


def _changed(standing: Standing) -> float:
    """When a mapped file, or its inode, was last changed or got its name; infinite where no name leads to it now."""
    if standing.disk == "memfd":
        return 0.0
    if standing.disk != "same" or standing.status is None or standing.view is None:
        return float("inf")
    return max(standing.status.st_mtime, standing.status.st_ctime, _moved(standing.view, standing.path))


def _moved(view: View, path: str) -> float:
    """Since when PATH may have led where it leads now, as far as folders go: moving one changes no file in it.

    It changes the time of the folder's own inode, and the contents of the one that it is in now.
    """
    since = 0.0
    folder = path.rpartition("/")[0]
    while folder:
        above = folder.rpartition("/")[0]
        moved, received = view.status(folder), view.status(above or "/")
        if moved is not None and received is not None:
            since = max(since, min(moved.st_ctime, received.st_mtime))
        folder = above
    return since

"""`linkscope pid` and `linkscope ps`: what processes have mapped, against what they should have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from linkscope.analysis.request import Looking
from linkscope.analysis.selection import user_name
from linkscope.errors import IsThread, NoProcfs, OutOfDescriptors, ProcessGone, ProcessUnreadable
from linkscope.model.document import text
from linkscope.model.pid import FamilyTree, PidDocument, Process, ProcessError
from linkscope.process import procfs
from linkscope.process.suspicion import Suspicion
from linkscope.process.views import Views

if TYPE_CHECKING:
    from linkscope.analysis.closelook import CloseLook

_CLOSELY = Looking()
_NOBODY: Mapping[int, float] = {}
Result = Process | ProcessError | FamilyTree


def processes(pids: Sequence[int], looking: Looking = _CLOSELY) -> PidDocument:
    """All of PIDS in one document."""
    results = list(each_process(pids, looking))
    trees = [result for result in results if isinstance(result, FamilyTree)]
    return PidDocument(
        processes=[result for result in results if isinstance(result, Process)],
        trees=trees if looking.tree else None,
        errors=[result for result in results if isinstance(result, ProcessError)],
    )


def each_process(
    pids: Sequence[int] | None, looking: Looking = _CLOSELY, seen_dead: Mapping[int, float] = _NOBODY
) -> Iterator[Result]:
    """The answers for PIDS in their order, made when asked for; None: for every process, in the order of the numbers.

    One that can be read only in part gives a Process and a ProcessError. Of all processes, those that end meanwhile are
    left out. seen_dead: since when zombies are known to be dead (seconds since the epoch), for who looks repeatedly.
    """
    run = _Run(looking, seen_dead)
    for pid in procfs.pids() if pids is None else pids:
        yield from run.results(pid, named=pids is not None)


class _Run:
    """One call: what was learnt of the machine's files and roots, for all processes."""

    def __init__(self, looking: Looking, seen_dead: Mapping[int, float]) -> None:
        if not os.path.exists(procfs.path_of(os.getpid(), "stat")):
            raise NoProcfs
        self._looking = looking
        self._seen_dead = seen_dead
        self._views = Views()
        self._suspicion = Suspicion(self._views)
        self._booted = procfs.boot_time()

    def results(self, pid: int, named: bool) -> Iterator[Result]:
        """The answer for one process, and why there is none, or only a part."""
        try:
            if not self._is_meant(pid):
                return
            if named and procfs.leader(pid) != pid:
                raise IsThread(pid, procfs.leader(pid))
            found = list(self._close.at(pid))
        except ProcessGone as error:
            found = [_error(error)] if named else []
        except ProcessUnreadable as error:
            found = [_error(error)]
        except OutOfDescriptors:
            raise
        except Exception as error:  # noqa: BLE001  # the boundary of one process: the others are still told of
            found = [ProcessError(pid=pid, error=text(f"LinkScope failed on it, which is its own fault: {error!r}"))]
        yield from found

    def _is_meant(self, pid: int) -> bool:
        """Whether it is one of the user that was asked for and, of `--stale`, one that may have to be restarted."""
        user, looking = self._looking.user, self._looking
        if user is not None and user_name(procfs.ids(pid).uids[1]) != user:
            return False
        if not looking.stale_only:
            return True
        beyond_files = looking.scripts or looking.kernel
        return (beyond_files and self._close.is_called_for(pid)) or self._suspicion.falls_on(pid, self._booted)

    @cached_property
    def _close(self) -> CloseLook:
        from linkscope.analysis.closelook import CloseLook  # where nothing is stale, none of its modules is needed

        return CloseLook(self._looking, self._seen_dead, self._views, self._booted)


def _error(error: ProcessUnreadable) -> ProcessError:
    return ProcessError(pid=error.pid, error=text(error.reason))

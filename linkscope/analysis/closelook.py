"""A close look at one process: whether it is out of date, and all that there is to say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from linkscope.analysis.objects import Objects
from linkscope.analysis.request import Looking
from linkscope.errors import NotPermitted, ProcessUnsteady
from linkscope.model.document import text
from linkscope.model.pid import TO_BE_RESTARTED, FamilyTree, Process, ProcessError, ProcessFinding
from linkscope.process import procfs
from linkscope.process.observation import Observation, Observer
from linkscope.process.views import Views

if TYPE_CHECKING:
    from linkscope.analysis.answer import Answers

_TRIES = 3
_FIRST = 1  # the process that starts and stops the machine


class CloseLook:
    """What was learnt of the machine's files, roots and processes, for all that are looked at in one run.

    views: the roots that are known already. seen_dead: as in `each_process`.
    """

    def __init__(self, looking: Looking, seen_dead: Mapping[int, float], views: Views, booted: float) -> None:
        self._looking = looking
        self._observer = Observer(views)
        self._seen_dead = seen_dead
        self._booted = booted

    def at(self, pid: int) -> Iterator[Process | FamilyTree | ProcessError]:
        """All that there is to say of one process, which ran one program all the while. Raises ProcessUnreadable.

        Of `--stale` nothing, where it need not be restarted.
        """
        for _ in range(_TRIES):
            observation = self._observer.observe(pid, self._looking.memory)
            started = procfs.start_time(observation.snapshot.stat, self._booted)
            objects = Objects(observation, self._observer, started)
            outdated = [*objects.findings(), *self._beyond_files(observation, started)]
            if self._looking.stale_only and not any(finding.code in TO_BE_RESTARTED for finding in outdated):
                return
            process = self._answers.process(observation, objects, outdated)
            if observation.snapshot.is_current():
                break
        else:
            raise ProcessUnsteady(pid)
        yield process
        if self._looking.tree:
            yield self._answers.tree(pid)
        if observation.snapshot.mappings is None:
            yield ProcessError(pid=pid, error=text(NotPermitted(pid).reason))

    def is_called_for(self, pid: int) -> bool:
        """Whether something besides its files may have to be told of a process: its script, or the kernel."""
        if pid == _FIRST and self._kernel:
            return True
        if not self._looking.scripts:
            return False
        from linkscope.analysis.surroundings import may_run_script  # as below

        return may_run_script(pid)

    def _beyond_files(self, observation: Observation, started: float) -> Iterator[ProcessFinding]:
        """What there is to say of the script of an interpreter, and of the kernel."""
        if self._looking.scripts:
            from linkscope.analysis.surroundings import about_script, script_run_by  # not wanted by most

            yield from about_script(observation, script_run_by(observation), started)
        if observation.snapshot.pid == _FIRST:
            yield from self._kernel

    @cached_property
    def _kernel(self) -> list[ProcessFinding]:
        """What there is to say of the kernel."""
        if not self._looking.kernel:
            return []
        from linkscope.analysis.surroundings import about_kernel  # not wanted by most

        return about_kernel()

    @cached_property
    def _answers(self) -> Answers:
        from linkscope.analysis.answer import Answers  # a process that is up to date does not need it

        return Answers(self._looking, self._seen_dead, self._booted)

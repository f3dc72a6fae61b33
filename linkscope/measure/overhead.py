"""What the measuring costs: how much longer a measured run takes than the same program just started and waited for."""

from __future__ import annotations

import os
import time
from statistics import median

from linkscope.errors import NotStarted
from linkscope.measure import launch
from linkscope.measure.command import Bounds, Command
from linkscope.measure.feeding import fed
from linkscope.measure.launch import Prepared
from linkscope.measure.leftovers import none_left

PAIRS = 20  # of runs, whose difference is some 50 us apart from pair to pair


def overhead(command: Command, bounds: Bounds, pairs: int = PAIRS) -> float:
    """Seconds that measuring adds to each run, from before it is started until the next one could be.

    The median over PAIRS of runs, a measured and a bare one (posix_spawn(3) and waitpid(2), as a shell does), rounded
    to nanoseconds. It does not depend on the program, but is lost in the noise of one that takes long: ask it of the
    quickest. Most of it lies outside of what is measured as the program's time. Raises NotStarted, CannotRun, and
    FileUnreadable of its input.
    """
    prepared = Prepared(command)
    differences = []
    with none_left() as leftovers, launch.nowhere() as null:
        for number in range(pairs):
            first = _bare(prepared, null) if number % 2 else 0.0
            before = time.monotonic()
            launch.run(prepared, null, bounds.timeout)
            leftovers.end()
            measured = time.monotonic() - before
            differences.append(measured - (first or _bare(prepared, null)))
    return round(median(differences), 9)


def _bare(prepared: Prepared, null: int) -> float:
    """Seconds of a run of which nothing is asked but its end."""
    with fed(prepared.command.input, null) as source:
        given = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate((source, null, null))]
        start = time.monotonic()
        try:
            pid = os.posix_spawn(prepared.path, prepared.argv, prepared.environment, file_actions=given)
        except OSError as error:
            raise NotStarted(prepared.command.path, error) from error
        os.waitpid(pid, 0)
        return time.monotonic() - start

"""What the measuring costs: how much longer a measured run takes than the same program just started and waited for."""

from __future__ import annotations

import os
import time

from linkscope.errors import NotStarted
from linkscope.measure import launch
from linkscope.measure.command import Bounds, Command
from linkscope.measure.feeding import fed
from linkscope.measure.launch import Prepared
from linkscope.measure.leftovers import none_left

PAIRS = 20


def overhead(command: Command, bounds: Bounds, pairs: int = PAIRS) -> float:
    """Seconds that measuring adds to each run, from before it is started until the next one could be.

    The least that one of PAIRS measured runs takes more than the least that one of as many bare ones takes, which are
    posix_spawn(3) and waitpid(2), as a shell does; rounded to nanoseconds. What disturbs a run makes it longer, by far
    more than measuring does, and so those that take least are those to compare. It does not depend on the program, but
    is lost in the noise of one that takes long, and may be negative then: ask it of the quickest. Most of it lies
    outside of what is measured as the program's time. Raises NotStarted, CannotRun, and FileUnreadable of its input.
    """
    prepared = Prepared(command)
    measured, bare = [], []
    with none_left() as leftovers, launch.nowhere() as null:
        for number in range(pairs):
            if number % 2:
                bare.append(_bare(prepared, null))
            before = time.monotonic()
            launch.run(prepared, null, bounds.timeout)
            leftovers.end()
            measured.append(time.monotonic() - before)
            if not number % 2:
                bare.append(_bare(prepared, null))
    return round(min(measured) - min(bare), 9)


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

"""What the measuring costs: how much longer a measured run takes than the same program just started and waited for."""

from __future__ import annotations

import os
import select
import time

from linkscope.measure import launch
from linkscope.measure.command import Bounds, Command
from linkscope.measure.feeding import fed
from linkscope.measure.launch import Ending, Prepared
from linkscope.measure.leftovers import Leftovers, none_left
from linkscope.measure.output import sink
from linkscope.measure.trial import failure_later

PAIRS = 20


def overhead(command: Command, bounds: Bounds, pairs: int = PAIRS) -> float:
    """Seconds that measuring adds to each run, from before it is started until the next one could be.

    The least that one of PAIRS measured runs takes more than the least that one of as many bare ones takes, which are
    posix_spawn(3), a wait that has an end (poll(2) of a pidfd), and wait4(2); rounded to nanoseconds. What disturbs a
    run makes it longer, by far more than measuring does, and so those that take least are those to compare. It does not
    depend on the program, but is lost in the noise of one that takes long, and may be negative then: ask it of the
    quickest. Most of it lies outside of what is measured as the program's time. Raises RunFailed where a run of either
    kind does not come to a good end, CannotRun, and FileUnreadable of its input.
    """
    runs = _Runs(command, bounds.timeout)
    measured, bare = [], []
    with none_left() as leftovers, launch.nowhere() as null:
        for number in range(pairs):
            if number % 2:
                bare.append(runs.bare(null, leftovers))
            measured.append(runs.measured(null, leftovers))
            if not number % 2:
                bare.append(runs.bare(null, leftovers))
    return round(min(measured) - min(bare), 9)


class _Runs:
    """Both kinds of runs of one command, in seconds. Each raises RunFailed where it does not come to a good end."""

    def __init__(self, command: Command, timeout: float) -> None:
        self._command = command
        self._prepared = Prepared(command)
        self._timeout = timeout

    def measured(self, null: int, leftovers: Leftovers) -> float:
        """A run as it is in the rounds, with all that is done about it."""
        start = time.monotonic()
        ending = launch.run(self._prepared, null, self._timeout).ending
        failure = failure_later(self._command, ending, self._timeout, leftovers)
        seconds = time.monotonic() - start
        if failure is not None:
            raise failure
        return seconds

    def bare(self, null: int, leftovers: Leftovers) -> float:
        """A run of which nothing is asked but its end."""
        with fed(self._command.input, null) as source, sink(self._command.output, null) as output:
            poll = select.poll()
            if output.read is not None:
                poll.register(output.read, select.POLLIN)
            start = time.monotonic()
            pid = launch.spawn(self._prepared, (source, output.given, null))
            watched = launch.watched(pid)
            try:
                poll.register(watched, select.POLLIN)
                if launch.ends_within(poll, self._timeout, output):
                    ending = launch.reap(pid)[0]
                    seconds = time.monotonic() - start
                else:
                    launch.end(pid)
                    ending, seconds = Ending(), self._timeout
            finally:
                os.close(watched)
        failure = failure_later(self._command, ending, self._timeout, leftovers)
        if failure is not None:
            raise failure
        return seconds

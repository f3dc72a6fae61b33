"""Several servers started in turn, again and again, for the time until each takes connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from linkscope.errors import RunFailed
from linkscope.measure import ports
from linkscope.measure.command import Bounds, Command
from linkscope.measure.launch import spawn
from linkscope.measure.leftovers import Leftovers, none_left
from linkscope.measure.pagecache import read_anew
from linkscope.measure.rounds import in_turn, is_enough
from linkscope.measure.serving import Manner, running

WARM_UPS = 1
_BUDGET, _LIMIT = 5.0, 60.0  # seconds for all rounds: once there are enough for a comparison, and however few there are


class Starts(msgspec.Struct, frozen=True):
    """The starts of one server: seconds until it took a connection, in the order of the rounds.

    failure: why it was left out at last; None mostly.
    """

    seconds: list[float]
    failure: RunFailed | None = None


class StartRounds(msgspec.Struct, frozen=True):
    """servers: the starts of each, in the order of the commands. rounds, warm_ups: how many there were."""

    servers: list[Starts]
    rounds: int
    warm_ups: int


def start_rounds(
    commands: Sequence[Command],
    port: int | None,
    bounds: Bounds,
    rounds: int | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> StartRounds:
    """How long all servers take until they are ready: each is started, and ended, once in each round.

    PORT, bounds: as `serve` has them. rounds: how many; None: until the bounds of every median lie within 1 % of it, at
    least 20 and at most 1000, or until 5 seconds are over and there are at least 11, or a minute is over. One round
    before these does not count: in it a server has a session of its own, as in a trial, and it tells on which address
    it listens. progress: is called with the number of rounds that are done, 0 before the first. The order in a round is
    one of chance, the same in every call, as `run_rounds` has it.

    A server that fails is left out from then on, with its failure; the others go on. Raises PortTaken, CannotRun.
    """
    starters = [_Starter(command, port, bounds.timeout) for command in commands]
    for path in {command.path for command in commands}:
        read_anew(path)
    with none_left() as leftovers:
        _round(starters, -1, leftovers)
        for starter in starters:
            starter.seconds.clear()
        done = 0
        progress(done)
        start = time.monotonic()
        while not is_enough(starters, done, rounds, start, _BUDGET, _LIMIT):
            _round(starters, done, leftovers)
            done += 1
            progress(done)
    return StartRounds([Starts(starter.seconds, starter.failure) for starter in starters], done, WARM_UPS)


class _Starter:
    """One server on its way through the rounds."""

    def __init__(self, command: Command, port: int | None, timeout: float) -> None:
        self._command = command
        self._port = port
        self._timeout = timeout
        self._manner: Manner | None = None
        self.seconds: list[float] = []
        self.failure: RunFailed | None = None

    def take(self, leftovers: Leftovers) -> None:
        """Start it once, and end it; after a failure no more."""
        numbers = ports.ports_for(self._port, 1)
        manner = self._manner or Manner()
        try:
            with running(self._command, numbers, leftovers, manner) as group:
                self.seconds += group.await_ready(self._timeout)
                addresses = manner.addresses if self._manner else ports.answering(numbers[0])
        except RunFailed as failure:
            self.failure = failure
            return
        # A group costs less than a session: launch.py. Who does not end when it is asked need not be asked again.
        self._manner = Manner(spawn, addresses or ports.LOOPBACK, manner.grace if group.ended_in_time else 0.0)


def _round(starters: Sequence[_Starter], number: int, leftovers: Leftovers) -> None:
    for starter in in_turn(starters, number):
        starter.take(leftovers)

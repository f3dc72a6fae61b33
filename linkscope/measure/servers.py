"""What a server costs in memory while connections are open, and while several copies of it wait.

Nothing is sent over the connections: a server that divides its work by connections (a process or a thread for each)
does so when it accepts them. Memory is read when neither the processes nor their memory change any more.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

import msgspec

from linkscope.errors import NotPermitted, NotServing, PortTaken, ProcessUnreadable, RunFailed
from linkscope.measure import ports
from linkscope.measure.command import Bounds, Command
from linkscope.measure.copies import CopiesMeasured, Subject, Take, Taken, measured
from linkscope.measure.heavier import noise
from linkscope.measure.leftovers import children_of, none_left
from linkscope.measure.memory import memory_of, memory_of_all, peak_of_all
from linkscope.measure.serving import Group, running
from linkscope.model.compare import Copies, Server, ServerProcess
from linkscope.process import procfs
from linkscope.process.family.sockets import SocketTables
from linkscope.process.mappings import read_smaps
from linkscope.process.usage import process_memory

COPIES = (1, 4, 16)
REPEAT = 3


class Served(msgspec.Struct, frozen=True):
    """What was measured of a server. server: while the most connections were open.

    copies: of the server while it waits, without connections. noise, one_more_copy: as `CopiesMeasured` has them; noise
    is also that of `server`, with any number of connections. notes: what could not be measured, and why. samples: as
    `CopiesMeasured` has them. connected: by the number of open connections, bytes of PSS of all processes, in the order
    of the rounds.
    """

    server: Server
    copies: list[Copies]
    one_more_copy: int | None
    noise: int
    notes: list[str]
    samples: dict[int, list[int]]
    connected: dict[int, list[int]]


class Look(msgspec.Struct, frozen=True):
    """What was read while CONNECTIONS were open."""

    connections: int
    processes: list[ServerProcess]
    notes: tuple[str, ...] = ()

    @property
    def pss(self) -> int:
        """Of all processes together."""
        return sum(process.pss for process in self.processes)


class Round(msgspec.Struct, frozen=True):
    """One start of the server. ready: seconds until it took a connection."""

    port: int
    ready: float
    looks: list[Look]
    notes: tuple[str, ...]


def serve(
    command: Command,
    port: int | None,
    connections: Sequence[int],
    bounds: Bounds,
    counts: Sequence[int] = COPIES,
    repeat: int = REPEAT,
) -> Served:
    """As `serve_in_turn`, of a single server.

    Raises NotStarted, Failed, Died, NotServing (it does not become ready, or does not stay), PortTaken, CannotRun.
    Nothing of it is left running, whatever happens.
    """
    (found,) = serve_in_turn([command], port, connections, bounds, counts, repeat)
    if isinstance(found, RunFailed):
        raise found
    return found


def serve_in_turn(
    commands: Sequence[Command],
    port: int | None,
    connections: Sequence[int],
    bounds: Bounds,
    counts: Sequence[int] = COPIES,
    repeat: int = REPEAT,
    progress: Callable[[int], None] = lambda _number: None,
) -> list[Served | RunFailed]:
    """Servers measured REPEAT times, with each number of CONNECTIONS open, the fewest first; in their order.

    In each round every server has its turn, and so it is with copies, so that whatever other processes do meanwhile is
    the same for all. progress: is called with the place of a server before it is started for its connections.

    port: where they take connections, which `{port}` among their arguments stands for; None: a free one. COUNTS copies
    at once need as many ports: without `{port}` only one copy is measured. bounds: its timeout is for becoming ready.
    The time until it is ready is the median, the memory that of the start whose sum of PSS is the median. What few
    starts say of that time is less than what starts.py finds out.

    A server that fails is left out from then on, with its failure. Raises PortTaken, CannotRun.
    """
    numbers = sorted(set(connections))
    rounds: list[list[Round]] = [[] for _ in commands]
    failures: dict[int, RunFailed] = {}
    for number in range(repeat):
        order = [place for place in range(len(commands)) if place not in failures]
        random.Random(number).shuffle(order)
        for place in order:
            progress(place)
            try:
                rounds[place].append(_round(commands[place], port, numbers, bounds.timeout))
            except RunFailed as failure:
                failures[place] = failure
    good = [place for place in range(len(commands)) if place not in failures]
    together = dict(zip(good, _copies([commands[place] for place in good], port, counts, bounds, repeat), strict=True))
    failures |= {place: one.failure for place, one in together.items() if one.failure is not None}
    taken = list(_still_taken(port))
    return [
        failures[place] if place in failures else _served(rounds[place], together[place], taken)
        for place in range(len(commands))
    ]


def _served(rounds: Sequence[Round], together: CopiesMeasured, notes: Sequence[str]) -> Served:
    """All figures of one server."""
    looks = zip(*(one.looks for one in rounds), strict=True)
    connected = {each[0].connections: [look.pss for look in each] for each in looks}
    return Served(
        server=_server(rounds, connected),
        copies=together.copies,
        one_more_copy=together.one_more_copy,
        noise=max(together.noise, *map(noise, connected.values())),
        notes=list(dict.fromkeys([*_notes(rounds), *together.notes, *notes])),
        samples=together.samples,
        connected=connected,
    )


def _notes(rounds: Sequence[Round]) -> Iterator[str]:
    for one in rounds:
        for look in one.looks:
            yield from look.notes
        yield from one.notes


def _still_taken(port: int | None) -> Iterator[str]:
    """A note where the port is not free again after all."""
    try:
        if port is not None:
            ports.await_free(port)
    except PortTaken as error:
        yield f"after the server has ended, {error.path} {error.reason}"


def _round(command: Command, port: int | None, numbers: Sequence[int], seconds: float) -> Round:
    """One start of the server, with each of the NUMBERS of connections, and its end."""
    number = ports.ports_for(port, 1)[0]
    with none_left() as leftovers, running(command, [number], leftovers) as group:
        ready = group.await_ready(seconds)[0]
        group.settle()  # what was started for the first connection goes
        looks = list(_looks(group, number, numbers))
    notes = () if group.ended_in_time else ("the server does not end when it is asked to (SIGTERM), and was killed",)
    return Round(number, ready, looks, notes)


def _looks(group: Group, port: int, numbers: Sequence[int]) -> Iterator[Look]:
    with contextlib.ExitStack() as closed:
        connections: list[socket.socket] = []
        for number in numbers:
            while len(connections) < number:
                connection = ports.connected(port)
                if connection is None:
                    reason = f"takes no more than {len(connections)} connections at once on port {port}"
                    raise NotServing(group.servers[0].command.path, reason)
                connections.append(closed.enter_context(connection))
            restless = () if group.settle() else (f"with {_open(number)}, memory did not come to rest",)
            pids = group.processes()
            processes, refused = _readable(pids, group.servers[0].pid)
            yield Look(number, processes, (*restless, *_unserved(connections, pids, port), *refused))


def _readable(pids: Sequence[int], first: int) -> tuple[list[ServerProcess], list[str]]:
    """Their memory, or a note why it is not told: no figure is better than one with a process missing."""
    try:
        return _read(pids, first), []
    except NotPermitted as error:
        return [], [f"the memory of the server is not told: of {error.path}, {error.reason}"]


def _read(pids: Sequence[int], first: int) -> list[ServerProcess]:
    """The memory of each process that still is there, the one that was started, or what is left of it, first.

    The sums are over smaps, whose Pss is rounded for each mapping.
    """
    parents = {first} if first in pids else set(children_of(os.getpid()))
    found = []
    for pid in pids:
        try:
            pairs = read_smaps(procfs.living_thread(procfs.stat(pid)))
            anonymous = memory_of(pid).anonymous
        except NotPermitted:
            raise
        except ProcessUnreadable:
            continue
        whole = process_memory([mapping for mapping, _ in pairs], [cost for _, cost in pairs])
        found.append(
            ServerProcess(
                role="parent" if pid in parents else "child",
                rss=whole.rss,
                pss=whole.pss,
                private=whole.private,
                private_memory=whole.copy_on_write.private_memory,
                shared=whole.copy_on_write.shared,
                anonymous=anonymous,
            )
        )
    return sorted(found, key=lambda process: process.role, reverse=True)


def _unserved(connections: Sequence[socket.socket], pids: Sequence[int], port: int) -> Iterator[str]:
    """Notes on connections that cost the server nothing: it has closed them, or did not accept them."""
    closed = sum(_is_closed(connection) for connection in connections)
    if closed:
        yield f"with {_open(len(connections))}: the server has closed {closed} of them again before memory was read"
        return
    tables = SocketTables()
    held = {one.inode for pid in pids for one in ports.sockets_of(pid, tables) if ports.port_of(one) == port}
    listening = {one.inode for pid in pids for one in ports.sockets_of(pid, tables) if one.listens}
    waiting = len(connections) - len(held - listening)
    if waiting > 0:
        yield f"with {_open(len(connections))}: the server has accepted {len(connections) - waiting} of them"


def _is_closed(connection: socket.socket) -> bool:
    try:
        connection.setblocking(False)
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _copies(
    commands: Sequence[Command], port: int | None, counts: Sequence[int], bounds: Bounds, repeat: int
) -> list[CopiesMeasured]:
    """The memory of several copies of each that wait for connections, each copy on a port of its own."""
    if not commands:
        return []
    notes = []
    # All have the same arguments.
    if not ports.has_place(commands[0]) and max(counts, default=1) > 1:
        notes = ["only one copy of the server is measured: write {port} among its arguments, so that each gets its own"]
        counts = [1]
    subjects = [Subject(_taker(command, port, bounds.timeout)) for command in commands]
    found = measured(subjects, counts, "serving", bounds.timeout, repeat)
    return [msgspec.structs.replace(one, notes=[*notes, *one.notes]) for one in found]


def _taker(command: Command, port: int | None, timeout: float) -> Take:
    """What reads the memory of copies of a server."""

    def take(count: int) -> Taken:
        numbers = ports.ports_for(port, count)
        seconds = timeout * max(1.0, count / len(os.sched_getaffinity(0)))
        with none_left() as leftovers, running(command, numbers, leftovers) as group:
            group.await_ready(seconds)
            group.settle()
            pids = group.processes()
            return Taken(memory_of_all(pids), (), max(0, len(pids) - count), peak_of_all(pids))

    return take


def _server(rounds: Sequence[Round], connected: Mapping[int, Sequence[int]]) -> Server:
    """The document of the most connections, from the round whose memory is the median one."""
    ordered = sorted(rounds, key=lambda one: one.looks[-1].pss)
    chosen = ordered[len(ordered) // 2]
    return Server(
        port=chosen.port,
        ready=median(one.ready for one in rounds),
        connections=chosen.looks[-1].connections,
        processes=chosen.looks[-1].processes,
        one_more_connection=_one_more(connected),
    )


def _one_more(connected: Mapping[int, Sequence[int]]) -> int | None:
    """Bytes of PSS that a connection adds: the median of all rounds."""
    slopes = one_more_connection(connected)
    return round(median(slopes)) if slopes else None


def one_more_connection(connected: Mapping[int, Sequence[int]]) -> list[int]:
    """Bytes that each connection adds, in the order of the rounds: the slope between the fewest and the most.

    connected: as `Served` has it. [] where there was one number of connections only.
    """
    if len(connected) < 2:
        return []
    few, many = min(connected), max(connected)
    return [round((b - a) / (many - few)) for a, b in zip(connected[few], connected[many], strict=True)]


def _open(number: int) -> str:
    return "one open connection" if number == 1 else f"{number} open connections"

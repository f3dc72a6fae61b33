"""Servers that are started in turn, for the time until they take connections."""

import itertools
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from linkscope.errors import Died, Failed, NotServing, NotStarted
from linkscope.measure import ports
from linkscope.measure.command import Bounds, Command
from linkscope.measure.launch import spawn
from linkscope.measure.leftovers import Leftovers, none_left
from linkscope.measure.ports import LOOPBACK
from linkscope.measure.serving import Manner, Running, running
from linkscope.measure.spread import differ
from linkscope.measure.starts import WARM_UPS, start_rounds
from tests.measure.marked import command, left

FixtureFile = Callable[[str], Path]
BOUNDS = Bounds(timeout=30.0)


@pytest.fixture
def server(fixture_file: FixtureFile) -> Path:
    return fixture_file("runs/server-static")


def _script(server: Path, lines: str) -> Command:
    """A shell that does something before it becomes the server."""
    return command("/bin/sh", "-c", f"{lines}\nexec {server} -p {{port}}")


def _three(server: Path, log: Path, of_second: str = "") -> list[Command]:
    """Servers that write their letter into one file."""
    return [_script(server, f"echo {name} >> {log}\n{of_second if name == 'b' else ''}") for name in "abc"]


def _rounds(log: Path) -> list[str]:
    """Who was started in each round, in order."""
    names = log.read_text().split()
    return ["".join(names[at : at + 3]) for at in range(0, len(names), 3)]


# --- In turn ----------------------------------------------------------------------------------------------------------


def test_each_round_starts_each_server_once_in_an_order_that_changes(server: Path, tmp_path: Path) -> None:
    found = start_rounds(_three(server, tmp_path / "log"), None, BOUNDS, 30)
    assert (found.rounds, found.warm_ups) == (30, WARM_UPS)
    assert [len(one.seconds) for one in found.servers] == [30, 30, 30]
    rounds = _rounds(tmp_path / "log")
    assert len(rounds) == 30 + WARM_UPS
    assert {"".join(sorted(each)) for each in rounds} == {"abc"}
    assert len(set(rounds)) == 6  # all orders there are
    assert left() == []


def test_the_order_is_the_same_every_time_and_progress_is_told(server: Path, tmp_path: Path) -> None:
    told: list[int] = []
    for name in ("one", "two"):
        start_rounds(_three(server, tmp_path / name), None, BOUNDS, 4, progress=told.append)
    assert _rounds(tmp_path / "one") == _rounds(tmp_path / "two")
    assert told == [0, 1, 2, 3, 4] * 2


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("test $(grep -c b {log}) -lt 4 || exit 7", Failed),
        ("test $(grep -c b {log}) -lt 4 || kill -SEGV $$", Died),
        ("test $(grep -c b {log}) -lt 4 || exit 0", NotServing),
        ("test $(grep -c b {log}) -lt 4 || {{ sleep 1000 & exec sleep 1000; }}", NotServing),
    ],
    ids=["fails", "dies", "is over", "never"],
)
def test_one_that_fails_in_the_middle_is_left_out_and_the_others_go_on(
    server: Path, tmp_path: Path, lines: str, kind: type[Exception]
) -> None:
    log = tmp_path / "log"
    commands = _three(server, log, lines.format(log=log))
    found = start_rounds(commands, None, Bounds(timeout=2.0), 6)
    first, second, third = found.servers
    assert found.rounds == len(first.seconds) == len(third.seconds) == 6
    assert len(second.seconds) == 3 - WARM_UPS
    assert isinstance(second.failure, kind)
    assert first.failure is third.failure is None
    assert left() == []


def test_where_all_fail_no_round_is_waited_for(tmp_path: Path) -> None:
    found = start_rounds([command(tmp_path / "absent", "{port}")] * 2, None, BOUNDS)
    assert found.rounds == 0
    assert [type(one.failure) for one in found.servers] == [NotStarted] * 2


def test_without_a_number_there_are_as_many_rounds_as_a_comparison_takes(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkscope.measure.starts._BUDGET", 0.0)
    assert start_rounds([command(server, "-p", "{port}")], None, BOUNDS).rounds == 11
    monkeypatch.setattr("linkscope.measure.starts._LIMIT", 0.0)
    assert start_rounds([command(server, "-p", "{port}")], None, BOUNDS).rounds == 1


def test_one_that_ignores_that_it_should_end_is_asked_only_once(server: Path) -> None:
    """Each time that it is asked takes 1.5 s."""
    before = time.monotonic()
    found = start_rounds([command(server, "-p", "{port}", "-i")], None, BOUNDS, 11)
    assert time.monotonic() - before < 11 * 1.5
    assert len(found.servers[0].seconds) == 11
    assert left() == []


def test_a_port_that_is_named_serves_in_every_round(server: Path) -> None:
    port = ports.ports_for(None, 1)[0]
    found = start_rounds([command(server, "-p", str(port))] * 2, port, BOUNDS, 5)
    assert [len(one.seconds) for one in found.servers] == [5, 5]
    assert ports.is_free(port)


def test_an_interrupt_leaves_nothing_behind(server: Path) -> None:
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            start_rounds([command(server, "-p", "{port}", "-d")], None, BOUNDS)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert left() == []


def test_a_copy_of_a_server_ties_with_it_and_what_differs_never_changes_sides(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    names = ("static", "dynamic-pie", "musl-static")
    paths = [fixture_file(f"compare/server-{name}") for name in names]
    paths.append(Path(shutil.copy(paths[0], tmp_path / "the-same")))
    sides: dict[tuple[int, int], set[int]] = defaultdict(set)
    for _ in range(3):
        found = start_rounds([command(path, "-p", "{port}") for path in paths], None, BOUNDS, 40).servers
        for one, other in itertools.combinations(range(len(paths)), 2):
            difference = differ(found[one].seconds, found[other].seconds)
            sides[one, other].add((difference.ratio > 1) - (difference.ratio < 1) if difference.is_real else 0)
    assert sides[0, 3] == {0}
    assert all(len(each - {0}) < 2 for each in sides.values())
    assert 1 not in sides[0, 1]


# --- Until it is ready ------------------------------------------------------------------------------------------------


def test_what_a_server_does_before_it_listens_is_in_its_time(server: Path) -> None:
    """It sleeps 50 ms in one of two commands; a single start may be slow on a busy machine, and is never too quick."""
    commands = [command(server, "-p", "{port}", "-l", late) for late in ("0", "50")]
    own, late = (one.seconds for one in start_rounds(commands, None, BOUNDS, 15).servers)
    assert min(late) >= 0.05
    assert abs(min(late) - min(own) - 0.05) < 0.1 * 0.05


def test_a_server_that_is_ready_late_is_told_within_some_hundredths(server: Path) -> None:
    found = start_rounds([command(server, "-p", "{port}", "-l", "200")], None, BOUNDS, 5).servers[0]
    assert all(one >= 0.2 for one in found.seconds)
    assert min(found.seconds) < 0.22


def test_complaints_cost_a_server_no_time(server: Path) -> None:
    """More than fits into a usual pipe, before it listens: nobody lets it wait until they are read."""
    found = start_rounds([_script(server, "head -c 300000 /dev/zero >&2")], None, BOUNDS, 11).servers[0]
    assert min(found.seconds) < 0.045


def test_it_is_ready_not_before_it_listens_itself(tmp_path: Path) -> None:
    """The server writes down how long after its own first line it listens, by the same clock."""
    lines = (
        "import time; first = time.monotonic(); import socket, sys; s = socket.socket();"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', int(sys.argv[1])));"
        "time.sleep(0.03); before = time.monotonic(); s.listen(); print(before - first, file=open(sys.argv[2], 'a'));"
        "time.sleep(60)"
    )
    log = tmp_path / "log"
    found = start_rounds([command(sys.executable, "-S", "-c", lines, "{port}", str(log))], None, BOUNDS, 3)
    said = [float(line) for line in log.read_text().split()][WARM_UPS:]
    assert all(ours > theirs for ours, theirs in zip(found.servers[0].seconds, said, strict=True))


def test_between_the_first_tries_nothing_is_waited(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most servers are ready within a millisecond, and a wait of poll(2) is one at least; later it is a fiftieth."""
    waited: list[tuple[float, float]] = []
    pause = Running.pause

    def seen(one: Running, seconds: float) -> None:
        waited.append((time.monotonic() - one.started, seconds))
        pause(one, seconds)

    monkeypatch.setattr(Running, "pause", seen)
    start_rounds([command(server, "-p", "{port}", "-l", "100")], None, BOUNDS, 1)
    assert waited
    assert min(at for at, _ in waited) >= 0.05
    assert all(seconds <= 0.02 * at for at, seconds in waited)


def test_a_server_on_the_other_loopback_address_is_no_later(server: Path) -> None:
    """On which it listens is found out by the first start, and it is tried there alone."""
    if not Path("/proc/net/if_inet6").exists() or "lo" not in Path("/proc/net/if_inet6").read_text():
        pytest.skip("no IPv6 here")
    found = start_rounds([command(server, "-p", "{port}", "-6")], None, BOUNDS, 5).servers[0]
    assert min(found.seconds) < 0.05


@pytest.mark.quiet
@pytest.mark.parametrize("name", ["server-musl-static", "server-static", "server-dynamic-pie"])
def test_the_time_is_that_of_a_loop_by_hand_within_ten_percent(name: str, fixture_file: FixtureFile) -> None:
    """In turn with it, in an order of chance: each finds the caches as the other one has left them."""
    path = fixture_file(f"compare/{name}")
    took: dict[Callable[[Path, Leftovers], float], list[float]] = {_by_hand: [], _ours: []}
    with none_left() as leftovers:
        for number in range(150):
            for one in random.Random(number).sample(list(took), 2):
                took[one].append(one(path, leftovers))
    ratio = median(ours / theirs for ours, theirs in zip(took[_ours], took[_by_hand], strict=True))
    assert abs(ratio - 1) < 0.1, ratio


def _ours(path: Path, leftovers: Leftovers) -> float:
    port = ports.ports_for(None, 1)
    with running(command(path, "-p", "{port}"), port, leftovers, Manner(spawn, LOOPBACK[:1])) as group:
        return group.await_ready(30)[0]


def _by_hand(path: Path, _leftovers: Leftovers) -> float:
    """Who starts the server, and connects again and again until that succeeds, and does nothing else."""
    port = ports.ports_for(None, 1)[0]
    argv = [str(path), "-p", str(port)]
    environment = {os.fsencode(name): os.fsencode(value) for name, value in command(path).environment}
    with open(os.devnull, "r+b") as null:
        given = [(os.POSIX_SPAWN_DUP2, null.fileno(), number) for number in range(3)]
        start = time.monotonic()
        pid = os.posix_spawn(path, argv, environment, file_actions=given, setpgroup=0)
        while True:
            tried = socket.socket()
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
            tried.close()
        took = time.monotonic() - start
    tried.close()
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    return took

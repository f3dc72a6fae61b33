"""Who descends from whom, with the kernel's own list of children and psutil as judges."""

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from linkscope.analysis.process import processes
from linkscope.analysis.request import Looking
from linkscope.process import procfs
from linkscope.process.family.census import (
    Census,
    Measured,
    Placed,
    ancestors_of,
    arranged,
    census,
    census_with,
    children_of,
    descendants_of,
    family_of,
    is_dead,
    parent_of,
    relatives,
    zombies_of,
)
from linkscope.process.procfs import Stat
from tests.process.started import children, connected, started, stat_fields, state, until

FixtureFile = Callable[[str], Path]

# A tree: two children, the first with a child of its own, and a third that is dead. Prints `pid N` for each.
_TREE = """
import os, signal
def say(pid): print("pid", pid, flush=True)
def stay(): signal.pause()
first = os.fork()
if first == 0:
    inner = os.fork()
    if inner == 0: stay()
    say(os.getpid()); say(inner); stay()
# The start times differ by a clock tick at least.
import time; time.sleep(0.05)
dead = os.fork()
if dead == 0: os._exit(0)
time.sleep(0.05)
last = os.fork()
if last == 0: stay()
say(dead); say(last); print("ready", flush=True)
stay()
"""


def _stat(pid: int, ppid: int, starttime: int, state: str = "sleeping", threads: int = 1) -> Stat:
    return Stat(pid, f"p{pid}", state, ppid, pid, 0, threads, starttime)  # type: ignore[arg-type]


def _made_up(*rows: tuple[int, int, int]) -> Census:
    return arranged({pid: _stat(pid, ppid, start) for pid, ppid, start in rows})


def test_a_family_is_the_line_of_ancestors_itself_and_the_descendants_each_below_its_parent() -> None:
    with started([sys.executable, "-c", _TREE]) as tree:
        tree.expect("ready")
        while len(tree.values("pid")) < 4:
            tree.expect("pid")
        pids = {int(pid) for pid in tree.values("pid")}
        (dead,) = (pid for pid in pids if state(pid) == "Z")
        people = census()
        members = family_of(tree.pid, people)
        names = [(member.stat.pid, member.depth) for member in members]
        at = names.index((tree.pid, next(depth for pid, depth in names if pid == tree.pid)))
        depth = names[at][1]
        assert [pid for pid, _ in names[:at]] == [p.pid for p in reversed(psutil.Process(tree.pid).parents())]
        assert [level for _, level in names[: at + 1]] == list(range(at + 1))
        assert children_of(tree.pid, people) == [pid for pid in children(tree.pid) if pid != dead]
        assert zombies_of(tree.pid, people) == [dead]
        first, last = children_of(tree.pid, people)
        (inner,) = children(first)
        assert names[at + 1 :] == [(first, depth + 1), (inner, depth + 2), (dead, depth + 1), (last, depth + 1)]
        tree.process.kill()


def _parents() -> dict[int, int]:
    found = {}
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            found[one.pid] = one.ppid()
    return found


def test_every_process_has_the_parent_and_the_children_that_psutil_gives_it() -> None:
    """Of those that live throughout, with the same parent; others come and go on a busy machine."""
    before, people, after = _parents(), census(), _parents()
    judged = 0
    for pid, parent in before.items():
        if after.get(pid) != parent:
            continue
        ours = parent_of(pid, people)
        assert (ours.pid if ours else 0) == parent
        with contextlib.suppress(psutil.NoSuchProcess):
            start = psutil.Process(pid).create_time()
            assert procfs.start_time(people.stats[pid], procfs.boot_time()) == pytest.approx(start, abs=2)
            judged += 1
    assert judged > 3


def test_the_children_of_all_threads_are_children_of_the_process() -> None:
    program = """
import os, signal, threading
def work():
    pid = os.fork()
    if pid == 0: signal.pause()
    os.write(1, b"pid %d\\n" % pid)
    signal.pause()
threading.Thread(target=work, daemon=True).start()
work()
"""
    with started([sys.executable, "-c", program]) as two:
        pids = {two.number("pid"), two.number("pid")}
        assert set(children_of(two.pid, census())) == pids == set(children(two.pid))


def test_children_that_nobody_has_waited_for_are_zombies_of_their_parent(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/fork-zombies"), "-p", "0"]) as server:
        port = server.number("port")
        pids = []
        for _ in range(3):
            with connected(port):
                pids.append(server.number("pid"))
        until(lambda: all(state(pid) == "Z" for pid in pids), "all three are dead")
        people = census()
        assert zombies_of(server.pid, people) == pids
        assert children_of(server.pid, people) == []


def test_a_process_whose_main_thread_has_ended_is_no_zombie(tmp_path: Path) -> None:
    source = tmp_path / "headless.c"
    source.write_text("""
#include <pthread.h>
#include <unistd.h>
static void *live(void *arg) { pause(); return arg; }
int main(void) { pthread_t t; pthread_create(&t, 0, live, 0); pthread_exit(0); }
""")
    program = tmp_path / "headless"
    subprocess.run(["cc", source, "-o", program, "-pthread"], check=True)
    with started([program]) as headless:
        until(lambda: state(headless.pid) == "Z", "the main thread has ended")
        people = census()
        assert headless.pid in children_of(os.getpid(), people)
        assert headless.pid not in zombies_of(os.getpid(), people)
        assert people.stats[headless.pid].state == "zombie"
        assert not is_dead(people.stats[headless.pid])


def test_a_parent_that_is_younger_than_its_child_is_somebody_else_with_the_same_number() -> None:
    people = _made_up((1, 0, 0), (10, 1, 50), (20, 10, 40))
    assert parent_of(20, people) is None
    assert children_of(10, people) == []
    assert parent_of(10, people) == people.stats[1]
    assert [member.stat.pid for member in family_of(20, people)] == [20]


def test_a_number_that_was_given_to_somebody_else_meanwhile_has_not_the_formers_family() -> None:
    people = _made_up((1, 0, 0), (5, 1, 10), (10, 1, 50), (20, 10, 60))
    later = census_with(people, _stat(10, 5, 100))
    assert children_of(10, later) == []
    assert parent_of(20, later) is None
    assert [stat.pid for stat in ancestors_of(10, later)] == [5, 1]
    assert children_of(1, later) == [5]
    assert census_with(people, _stat(10, 1, 50, "zombie")) is people
    assert children_of(10, census_with(people, _stat(30, 10, 100))) == [20, 30]


def test_children_of_the_same_clock_tick_stand_in_order_of_their_numbers() -> None:
    people = _made_up((1, 0, 0), (9, 1, 5), (3, 1, 5), (4, 1, 2))
    assert children_of(1, people) == [4, 3, 9]


def test_numbers_that_contradict_each_other_make_no_endless_walk() -> None:
    people = _made_up((2, 3, 5), (3, 2, 5), (4, 4, 1))
    assert [stat.pid for stat in ancestors_of(2, people)] == [3, 2]
    assert {stat.pid for stat, _ in descendants_of(2, people)} == {3}
    assert [member.stat.pid for member in family_of(4, people)] == [4]


@pytest.mark.parametrize("seed", range(5))
def test_every_member_but_the_eldest_stands_below_its_parent(seed: int) -> None:
    chance = random.Random(seed)
    rows = [(1, 0, 0)] + [(pid, chance.randrange(1, pid), pid * chance.choice([0, 1])) for pid in range(2, 40)]
    people = _made_up(*rows)
    for pid in people.stats:
        above: list[int] = []
        for member in family_of(pid, people):
            del above[member.depth :]
            if above:
                assert parent_of(member.stat.pid, people) == people.stats[above[-1]]
            above.append(member.stat.pid)


def test_of_a_process_that_is_gone_there_is_no_family() -> None:
    people = census()
    assert family_of(1 << 30, people) == []
    assert parent_of(1 << 30, people) is None
    assert children_of(1 << 30, people) == zombies_of(1 << 30, people) == []


def test_a_zombie_is_dead_since_it_was_first_seen_so_or_else_since_its_start_at_the_earliest() -> None:
    dead = Placed(_stat(7, 1, 1000, "zombie"), 1)
    alive = Placed(_stat(8, 1, 1000), 1)
    measured = Measured(cmdline=["x"], role="worker", pss=4096)
    hertz = os.sysconf("SC_CLK_TCK")
    first, second = relatives([dead, alive], lambda _: measured, 100.0, {})
    assert first.since == first.started == 100 + 1000 / hertz
    assert second.since is None
    assert (second.role, second.pss, second.depth, second.cmdline) == ("worker", 4096, 1, ["x"])
    (watched,) = relatives([dead], lambda _: measured, 100.0, {7: 250.0})
    assert watched.since == 250


_STRANGE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_un name = { AF_UNIX };
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    int memory = memfd_create("\\xff", 0), file = open(argv[2], O_RDWR);
    prctl(PR_SET_NAME, "\\xff");
    sprintf(name.sun_path + 1, "\\xff %d", getpid());
    if (argc < 3 || open(argv[1], O_RDWR) < 0 || ftruncate(memory, 4096) || ftruncate(file, 4096)
        || mmap(0, 4096, PROT_WRITE, MAP_SHARED, memory, 0) == MAP_FAILED
        || mmap(0, 4096, PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED
        || bind(server, (void *) &name, sizeof name) || listen(server, 1)
        || connect(client, (void *) &name, sizeof name) || accept(server, 0, 0) < 0)
        return 1;
    if (fork() == 0)
        for (;;) pause();
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
"""


def test_names_that_are_no_utf_8_are_fit_for_a_document(tmp_path: Path) -> None:
    """Of a program, its title, a FIFO, a unix socket, a memfd and a file; the title is one that tells a role."""
    (tmp_path / "strange.c").write_text(_STRANGE)
    program = tmp_path / "php-fpm"
    subprocess.run(["cc", tmp_path / "strange.c", "-o", program], check=True)
    byte = os.fsdecode(b"\xff")
    fifo, file = tmp_path / f"fifo {byte}", tmp_path / f"file {byte}"
    os.mkfifo(fifo)
    file.touch()
    with started([f"php-fpm: pool {byte}", fifo, file], executable=program) as strange:
        strange.expect("ready")
        document = processes([strange.pid], Looking(tree=True))
    assert msgspec.json.decode(msgspec.json.encode(document), type=type(document)) == document
    (tree,) = document.trees or []
    member = next(member for member in tree.members if member.pid == strange.pid)
    assert (member.name, member.role) == ("\N{REPLACEMENT CHARACTER}", "php-fpm \N{REPLACEMENT CHARACTER}")
    odd = {channel.kind for channel in tree.channels if "\N{REPLACEMENT CHARACTER}" in channel.name}
    assert odd == {"pipe", "unix-socket", "memfd", "shared-file", "listening"}


def test_this_very_process_stands_in_its_own_family() -> None:
    people = census()
    assert [member.stat.pid for member in family_of(os.getpid(), people)].count(os.getpid()) == 1
    assert people.stats[os.getpid()].ppid == int(stat_fields(os.getpid())[1])

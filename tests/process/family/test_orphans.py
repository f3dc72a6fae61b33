"""Orphans told from ordinary children: the parent that forks and adopts (nursery.py) says which is which."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.process.family.census import Census, census
from linkscope.process.family.orphans import Adopter, Verdict, Witnesses, _adopters, _Table, verdict
from linkscope.process.tables import read_table
from tests.oracle.availability import Unavailable
from tests.process.started import NOBODY, Argument, Started, children, parent, started, state, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

_NURSERY: list[Argument] = [sys.executable, Path(__file__).with_name("nursery.py")]
# What the nursery says after a command; after the others nothing.
_ANSWERS = {
    "child": "child",
    "end": "adopted",
    "end-threads": "ended",
    "managed daemon": "adopted",
    "managed direct": "child",
    "numbered": "child",
    "run-again": "pid",
    "spawn": "child",
    "thread": "child",
}


class Nursery:
    """A nursery that was started, and the truth about its children, by their numbers in its own pid namespace."""

    def __init__(self, program: Started, pid: int) -> None:
        self.pid = pid
        self.truth: dict[int, bool] = {}
        self._program = program

    def obey(self, commands: str) -> None:
        """Commands with `;` between them, each done before the next."""
        for command in map(str.strip, commands.split(";")):
            self._program.send(command)
            answer = _ANSWERS.get(command) or _ANSWERS.get(command.split()[0])
            if answer:
                word, _, number = self._program.expect(answer).partition(" ")
                if word in ("adopted", "child"):
                    self.truth[int(number)] = word == "adopted"

    def verdicts(self) -> list[Verdict]:
        """On its children in the order in which it spoke of them. No wrong one is ever let through."""
        people = census()
        found = {_inner(pid): verdict(pid, Witnesses(people)) for pid in children(self.pid)}
        for number, truth in self.truth.items():
            assert found[number].orphan in (truth, None), (number, found[number])
        return [found[number] for number in self.truth]

    def orphans(self) -> list[bool | None]:
        """The answers alone."""
        return [each.orphan for each in self.verdicts()]


def _inner(pid: int) -> int:
    """Its number in its own pid namespace."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row.split()[-1] for row in rows if row.startswith("NSpid:")))


@contextlib.contextmanager
def _nursery(*arguments: str, leads_session: bool = False) -> Iterator[Nursery]:
    with started([*_NURSERY, *arguments], start_new_session=leads_session) as program:
        yield Nursery(program, program.number("pid"))


@contextlib.contextmanager
def _first_in_its_namespace(unshare: Argument) -> Iterator[Nursery]:
    with started([unshare, "--pid", "--fork", "--mount-proc", "--kill-child", *_NURSERY]) as program:
        if "ermitted" in program.expect(""):
            raise Unavailable("no pid namespace may be made here")
        (pid,) = children(program.pid)
        yield Nursery(program, pid)


# What one does, and what can be told of its children, in the order in which it has them.
FAMILIES: dict[str, tuple[str, list[bool | None]]] = {
    "ordinary children": ("child; child exec; child setsid; spawn; child dies", [False] * 5),
    "a child of another thread, and that thread has ended": (
        "thread; child; end-threads; child",
        [None, False, False],
    ),
    "an orphan after a younger child": ("adopts; begin; child; end", [None, True]),
    "ordinary children beside one that was surely adopted": (
        "adopts; child; begin exec; child exec; end; child setsid; spawn",
        [None, None, True, None, None],
    ),
    "a daemon in the session of a parent that has ended": ("adopts; begin middle-setsid; end", [True]),
    "the same, and it started a program": ("adopts; child; begin middle-setsid exec; end", [None, True]),
    "an orphan of another program, where the parent may have run that one before": (
        "adopts; begin other-program; end",
        [None],
    ),
    "an orphan of another program, where an older child is a copy of the parent": (
        "adopts; child; begin other-program; end",
        [None, True],
    ),
    "an orphan of another program, where an older thread of the parent lives": (
        "adopts; thread; begin other-program; end",
        [False, True],
    ),
    "a child from before its parent started its program": ("child; run-again; child; child exec", [None, False, False]),
    "a dead child and a dead orphan": ("adopts; child dies; begin middle-setsid dies; end", [None, True]),
    "children of a service manager": ("called systemd; adopts; managed direct; managed daemon", [False, True]),
    "children of one of whom the environment names no process": (
        "called systemd; numbered 5000; numbered 8; numbered 0",
        [None, None, None],
    ),
    "a child of a known adopter": ("called tini; child; thread", [None, False]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_sure_of_children(name: str) -> None:
    commands, expected = FAMILIES[name]
    with _nursery() as nursery:
        nursery.obey(commands)
        assert nursery.orphans() == expected


def test_a_parent_that_never_started_a_program_forks_only_copies_of_itself() -> None:
    with _nursery("copy") as nursery:
        nursery.obey("adopts; begin other-program; end; child")
        assert nursery.orphans() == [True, None]


def test_a_parent_that_leads_its_session_may_have_been_in_another_one() -> None:
    """So nothing is sure of an orphan there, unless the leader of its session lives and is younger than the parent."""
    with _nursery(leads_session=True) as nursery:
        nursery.obey("adopts; begin middle-setsid exec; end")
        assert nursery.orphans() == [None]
        assert "session" in nursery.verdicts()[0].reason
    with _nursery("copy") as nursery:
        nursery.obey("child; setsid; child")
        assert nursery.orphans() == [None, False]


def test_an_orphan_whose_session_is_led_by_somebody_younger_than_its_parent_was_not_forked_by_it() -> None:
    """The one between leads the session, and its parent does not wait for it: then it is a zombie, but still there."""
    with _nursery(leads_session=True) as nursery:
        nursery.obey("adopts; begin middle-setsid")
        (middle,) = until(lambda: children(nursery.pid), "the one between")
        (grandchild,) = until(lambda: children(middle), "the one that it forks")
        os.kill(middle, signal.SIGKILL)
        until(lambda: parent(grandchild) == nursery.pid, "the adoption")
        assert state(middle) == "Z"
        people = census()
        assert verdict(grandchild, Witnesses(people)).orphan is True
        assert verdict(middle, Witnesses(people)).orphan is None


# The same where the parent is the first process of a pid namespace, and adopts without having asked for it.
FIRSTS: dict[str, tuple[str, list[bool | None]]] = {
    "ordinary children": ("child; child exec; child setsid; spawn; child dies", [None] * 5),
    "an orphan that left nothing behind": ("begin; end", [None]),
    "an orphan after a younger child": ("child; begin exec; child exec; end", [None, None, True]),
    "a daemon in the session of a parent that has ended": ("child; begin middle-setsid exec; end", [None, True]),
    "the same, after its adopter began a session": ("setsid; begin middle-setsid exec; end; child", [True, None]),
    "a child from before its parent began a session": ("child; setsid; child", [None, None]),
    "an orphan of another program": ("child; begin other-program; end", [None, True]),
    "a child of another thread": ("thread; begin; end", [False, None]),
}


@pytest.mark.parametrize("name", FIRSTS)
def test_what_is_sure_of_children_of_the_first_process(name: str, require_tool: RequireTool) -> None:
    commands, expected = FIRSTS[name]
    with _first_in_its_namespace(require_tool("unshare")) as nursery:
        nursery.obey(commands)
        assert nursery.orphans() == expected


def test_a_subreaper_is_not_seen_where_its_orphan_leaves_no_contradiction() -> None:
    """The limit that the module documents: the kernel shows nothing of the attribute."""
    with _nursery() as nursery:
        nursery.obey("adopts; begin exec; end")
        (pid,) = nursery.truth
        assert verdict(pid, Witnesses(census())).orphan is False


@pytest.mark.parametrize("variant", ["", "-static", "-musl", "-musl-static"])
@pytest.mark.parametrize("options", [[], ["-s"]], ids=["same session", "own session"])
def test_the_double_fork_of_a_daemon_is_never_taken_for_an_ordinary_child(
    fixture_file: FixtureFile, options: list[str], variant: str
) -> None:
    """Whoever adopts it here: it has started no program, and runs another one than its adopter."""
    with started([fixture_file(f"process/orphan{variant}"), *options]) as orphan:
        pid = orphan.number("pid")
        orphan.expect("ready")
        assert verdict(pid, Witnesses(census())).orphan is not False


def test_what_the_kernel_starts_is_no_orphan() -> None:
    people = census()
    threads = [stat.pid for stat in people.stats.values() if stat.is_kernel_thread]
    answers = {verdict(pid, Witnesses(people)).orphan for pid in [1, *threads]}
    assert answers == {False}


def test_of_a_process_whose_parent_cannot_be_seen_nothing_is_said() -> None:
    people = census()
    own = people.stats[os.getpid()]
    alone = Witnesses(Census({own.pid: own}, {}))
    assert verdict(own.pid, alone) == Verdict(None, f"its parent {own.ppid} cannot be seen")
    assert verdict(1 << 30, alone).orphan is None


def _as_nobody(question: Callable[[], list[bool | None]]) -> list[bool | None]:
    """What a copy of this process finds that has no privileges."""
    if os.geteuid():
        raise Unavailable("only the administrator becomes another user")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(write, json.dumps(question()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        found: list[bool | None] = json.loads(answer.read())
    os.waitpid(pid, 0)
    return found


def test_without_permission_only_what_everybody_may_read_is_evidence() -> None:
    """Sessions and the order of children; what a program is, and its environment, are not."""
    _adopters()
    with _nursery() as nursery:
        nursery.obey("adopts; child; begin middle-setsid; child; end; begin other-program; end; child")
        assert nursery.orphans() == [None, None, True, True, None]
        assert _as_nobody(nursery.orphans) == [None, None, True, None, None]


def test_every_adopter_names_a_process_as_the_kernel_does_and_its_source() -> None:
    rows: list[Adopter] = read_table("family/adopters.toml", _Table).adopter
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        assert 0 < len(row.name.encode()) <= 15
        assert len(row.source) > 10

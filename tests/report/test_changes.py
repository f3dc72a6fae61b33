"""What happened between two looks is told once, of the right process, and nothing else is told."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.model.pid import Executable, FamilyTree, Process
from linkscope.report.changes import Change, Result, changes, changes_in_families, shown, started, zombies
from linkscope.report.lines import painted
from linkscope.report.page import Page, cells
from tests.report.processes import NOW, family, finding, hostile, mapped, process, relative

_LIBC = mapped("libc.so.6")
_PLUGIN = mapped("plugin.so", "dlopen", path="/opt/plugin.so")
_APP = process(1234, objects=[_LIBC])


def _with(one: Process, **changed: Any) -> Process:
    return msgspec.structs.replace(one, **changed)


def _told(before: list[Result], now: list[Result]) -> list[tuple[str, str, str]]:
    return [(change.mark, change.what, change.how) for change in changes(before, now)]


def _told_of_family(before: list[Result], now: list[Result]) -> list[tuple[str, str, str]]:
    return [(change.mark, change.what, change.how) for change in changes_in_families(before, now)]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        pytest.param([_APP], [_APP], [], id="nothing"),
        pytest.param(
            [_APP], [_with(_APP, started=_APP.started + 0.01, state="running", threads=7)], [], id="an ordinary life"
        ),
        pytest.param([], [_APP], [("+", "1234 /usr/bin/app --serve", "child of 1")], id="a start"),
        pytest.param([_APP], [], [("-", "1234 /usr/bin/app --serve", "ended")], id="an end"),
        pytest.param(
            [_APP],
            [_with(_APP, started=_APP.started + 50)],
            [("-", "1234 /usr/bin/app --serve", "ended"), ("+", "1234 /usr/bin/app --serve", "child of 1")],
            id="a number given again",
        ),
        pytest.param(
            [_APP],
            [_with(_APP, objects=[_LIBC, _PLUGIN])],
            [("+", "plugin.so", "dlopen")],
            id="an object that comes",
        ),
        pytest.param(
            [_with(_APP, objects=[_LIBC, _PLUGIN])], [_APP], [("-", "plugin.so", "dlopen")], id="an object that goes"
        ),
        pytest.param(
            [_APP],
            [_with(_APP, objects=[_with_disk := msgspec.structs.replace(_LIBC, disk="replaced")])],
            [("!", "libc.so.6", "replaced on disk")],
            id="a file that is replaced",
        ),
        pytest.param(
            [_with(_APP, objects=[_with_disk])], [_APP], [("!", "libc.so.6", "on disk again")], id="and put back"
        ),
        pytest.param(
            [_APP],
            [_with(_APP, objects=[msgspec.structs.replace(_LIBC, disk="renamed", path="/lib/other")])],
            [("!", "libc.so.6", "renamed on disk")],
            id="a file that is renamed",
        ),
        pytest.param([_APP], [_with(_APP, objects=None)], [], id="objects that cannot be read any more"),
        pytest.param(
            [_APP],
            [_with(_APP, executable=Executable(path="/bin/x", disk="same", linkage="static", pie=True), objects=[])],
            [("!", "1234 /usr/bin/app --serve", "runs another program now")],
            id="another program",
        ),
        pytest.param(
            [_APP],
            [_with(_APP, state="zombie", cmdline=[], executable=None, objects=[])],
            [("!", "1234 [app]", "zombie: it has ended, and 1 has not waited for it")],
            id="a death",
        ),
        pytest.param([_APP], [_with(_APP, state="zombie", threads=2)], [], id="the end of the main thread alone"),
        pytest.param(
            [_with(_APP, ppid=77)],
            [_APP],
            [("!", "1234 /usr/bin/app --serve", "orphan: 77 has ended, and 1 has adopted it")],
            id="an adoption",
        ),
    ],
)
def test_what_happened_between_two_looks(
    before: list[Result], now: list[Result], told: list[tuple[str, str, str]]
) -> None:
    assert _told(before, now) == told


def test_children_are_told_of_by_their_numbers() -> None:
    before = _with(_APP, family=family(children=[2, 3, 4]))
    now = _with(_APP, family=family(children=[2, 5], zombies=[3]))
    assert _told_of_family([before], [now]) == [
        ("+", "5", "child of 1234"),
        ("!", "3", "zombie: it has ended, and 1234 has not waited for it"),
        ("-", "4", "ended"),
    ]
    assert _told([before], [now]) == []


def test_in_a_tree_everybody_has_a_name_and_is_told_of_once() -> None:
    one = _with(_APP, family=family(children=[9]))
    members = [relative(1234, 1, 0), relative(9, 1234, 1, cmdline=["worker"])]
    before = FamilyTree(pid=1234, members=members[:1], channels=[], pss=None, one_more=None)
    now = FamilyTree(pid=1234, members=members, channels=[], pss=None, one_more=None)
    assert _told_of_family([_APP, before], [one, now]) == [("+", "9 worker", "child of 1234")]


def test_zombies_are_those_listed_the_children_and_the_relatives() -> None:
    tree = FamilyTree(pid=1, members=[relative(5, 1, 1, state="zombie")], channels=[], pss=None, one_more=None)
    assert zombies([process(3, state="zombie"), process(4, family=family(zombies=[8])), tree]) == {3, 5, 8}


def test_a_change_is_one_line() -> None:
    change = Change("+", "plugin.so", "dlopen by app", "1234 app", "/opt/plugin.so")
    line = painted([shown(change, NOW, Page())], Page())
    assert line[8:] == " + plugin.so  dlopen by app  1234 app  /opt/plugin.so\n"
    assert painted([started(3, 0.5, NOW)], Page())[8:] == " watching 3 processes, a look every 0.5 s; Ctrl-C ends it\n"


@given(st.text(st.characters(codec=None, categories=None), min_size=1, max_size=80), st.integers(20, 120))
def test_no_change_is_wider_than_its_page_or_does_not_print(name: str, width: int) -> None:
    page = Page(width=width)
    evil, _ = hostile(name)
    bare = _with(evil, objects=[], executable=None, findings=[finding("stale-object")])
    for change in [*changes([], [evil]), *changes([bare], [evil]), *changes([evil], [bare])]:
        line = painted([shown(change, NOW, page)], page).removesuffix("\n")
        assert line.isprintable()
        assert cells(line) <= width

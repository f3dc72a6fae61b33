"""Which processes are meant, and in which order they come."""

import os
import pwd

import msgspec
import pytest

from linkscope.analysis.selection import ORDERS, Selection, ordered, user_called
from linkscope.errors import BadAssumption
from linkscope.model.pid import Executable
from tests.report.processes import MEMORY, finding, mapped, process

_STATIC = Executable(path="/app", disk="same", linkage="static", pie=False)
_SSL = mapped("libssl.so.3", path="/usr/lib/libssl.so.3.0.2", loaded_as="/lib/libssl-link.so")
_APP = process(objects=[_SSL])
_CLOSED = process(7, executable=None, objects=None, libraries=None, memory=None)


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(linkage="dynamic"), True),
        (Selection(linkage="static"), False),
        (Selection(user="www-data"), True),
        (Selection(user="root"), False),
        (Selection(uses="libssl.so.3"), True),
        (Selection(uses="libssl.so.3.0.2"), True),
        (Selection(uses="libssl-link.so"), True),
        (Selection(uses="/usr/lib/libssl.so.3.0.2"), True),
        (Selection(uses="/lib/libssl-link.so"), True),
        (Selection(uses="libssl.so"), False),
        (Selection(uses="/lib/libssl.so.3"), False),
        (Selection(linkage="dynamic", user="www-data", uses="libssl.so.3"), True),
        (Selection(linkage="dynamic", user="root", uses="libssl.so.3"), False),
    ],
    ids=repr,
)
def test_a_process_is_meant_when_all_is_so_that_is_asked_of_it(selection: Selection, taken: bool) -> None:
    assert selection.takes(_APP) is taken


@pytest.mark.parametrize("selection", [Selection(linkage="dynamic"), Selection(linkage="static"), Selection(uses="x")])
def test_of_one_that_may_not_be_looked_into_nothing_is_known(selection: Selection) -> None:
    assert not selection.takes(_CLOSED)
    assert Selection().takes(_CLOSED)


def test_a_user_is_known_by_name_and_by_number() -> None:
    own = pwd.getpwuid(os.geteuid())
    assert user_called(own.pw_name) == user_called(str(own.pw_uid)) == own.pw_name
    assert user_called("4000000000") == "4000000000"
    with pytest.raises(BadAssumption, match="no-such-user: there is no user of that name"):
        user_called("no-such-user")


_THREE = [
    _CLOSED,
    process(8, name="b", user="b", state="zombie", started=5.0, executable=_STATIC, libraries=0),
    process(9, name="a", user="a", state="running", started=4.0, libraries=3, findings=[finding("preloaded")] * 2),
]


@pytest.mark.parametrize(
    ("by", "pids"),
    [
        ("pid", [7, 8, 9]),
        ("pss", [8, 9, 7]),
        ("rss", [8, 9, 7]),
        ("name", [9, 7, 8]),
        ("user", [9, 8, 7]),
        ("state", [9, 7, 8]),
        ("linkage", [9, 8, 7]),
        ("libraries", [9, 8, 7]),
        ("findings", [9, 7, 8]),
        ("started", [9, 8, 7]),
    ],
)
def test_the_largest_costs_come_first_and_the_unknown_last(by: str, pids: list[int]) -> None:
    assert [one.pid for one in ordered(_THREE, by)] == pids


def test_every_order_is_tried() -> None:
    assert ORDERS == ("pid", "pss", "rss", "name", "user", "state", "linkage", "libraries", "findings", "started")


def test_in_reverse_the_unknown_stays_last() -> None:
    large = process(10, memory=MEMORY)
    small = process(11, memory=msgspec.structs.replace(MEMORY, pss=1))
    assert [one.pid for one in ordered([_CLOSED, large, small], "pss")] == [10, 11, 7]
    assert [one.pid for one in ordered([_CLOSED, large, small], "pss", reverse=True)] == [11, 10, 7]

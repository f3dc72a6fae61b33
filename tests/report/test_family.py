"""A family drawn: who descends from whom, who is dead, what is shared, and who talks to whom."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.model.pid import Channel, ChannelEnd, ChannelKind, CopyOnWrite, FamilyTree, Relative
from linkscope.report.family import tree
from linkscope.report.lines import painted
from linkscope.report.moment import Moment
from linkscope.report.page import Page, cells
from tests.report.processes import KIB, MIB, MOMENT, NOW, hostile, relative

_SHARED = CopyOnWrite(private_memory=4 * MIB, shared=3 * MIB, own=MIB)


def _end(pid: int, use: str, *descriptors: int) -> ChannelEnd:
    return ChannelEnd(pid=pid, descriptors=list(descriptors), use=use)  # type: ignore[arg-type]  # a literal


def _channel(kind: ChannelKind, name: str, *ends: ChannelEnd, size: int | None = None) -> Channel:
    return Channel(kind=kind, name=name, size=size, ends=list(ends))


_MEMBERS = [
    relative(1, 0, 0, name="systemd", cmdline=["/sbin/init"], linkage=None, pss=None),
    relative(1200, 1, 1, cmdline=["nginx: master process"], role="nginx master", pss=2 * MIB),
    relative(1234, 1200, 2, cmdline=["nginx: worker process"], role="nginx worker", copy_on_write=_SHARED, threads=33),
    relative(1240, 1234, 3, name="sh", cmdline=[], state="zombie", linkage=None, pss=None),
    relative(1235, 1200, 2, cmdline=["nginx: worker process"], role="nginx worker", state="stopped", orphan=True),
    relative(1236, 1200, 2, name="old", cmdline=[], state="zombie", since=NOW - 12, started=NOW - 60),
]
_CHANNELS = [
    _channel("pipe", "pipe:[77]", _end(1200, "write", 4), _end(1234, "read", 0, 5)),
    _channel("socket-pair", "socket:[78]", _end(1200, "both", 3), _end(1234, "both", 7)),
    _channel("shared-memory", "/dev/shm/zone", _end(1200, "map"), _end(1234, "map"), _end(1235, "hold", 9), size=MIB),
    _channel("listening", "0.0.0.0:8888", _end(1234, "accept", 6), _end(1235, "accept", 6), _end(1200, "hold", 6)),
]
_FAMILY = FamilyTree(pid=1234, members=_MEMBERS, channels=_CHANNELS, pss=24 * MIB, one_more=1300 * KIB)
_ENDLESS = Page()
_DRAWN = """\
family of 1234

  process                           state     threads  linkage      PSS  still shared
  1 /sbin/init                      sleeping        1
  └─ 1200 nginx: master process     sleeping        1  dynamic  2.0 MiB                nginx master
     ├─ 1234 nginx: worker process  sleeping       33  dynamic  1.0 MiB          75 %  nginx worker
     │  └─ 1240 [sh]                zombie
     │          dead for 1 min at most, not waited for by 1234
     ├─ 1235 nginx: worker process  stopped         1  dynamic  1.0 MiB
     │       nginx worker, orphan, adopted by 1200
     └─ 1236 [old]                  zombie             dynamic  1.0 MiB
             dead for 12 s or longer, not waited for by 1200

  with all descendants: 24.0 MiB PSS · one more worker costs 1.3 MiB

  channel        between                                                 size  name
  pipe           1200 fd 4 ──→ 1234 fd 0,5                                     pipe:[77]
  socket pair    1200 fd 3 ─── 1234 fd 7                                       socket:[78]
  shared memory  mapped by 1200, 1234; held by 1235 fd 9              1.0 MiB  /dev/shm/zone
  listening      accepted by 1234 fd 6, 1235 fd 6; held by 1200 fd 6           0.0.0.0:8888
"""


def _drawn(family: FamilyTree, page: Page = _ENDLESS, moment: Moment = MOMENT) -> str:
    return painted(tree(family, page, moment), page)


def test_the_whole_family() -> None:
    assert _drawn(_FAMILY, Page(width=115)) == _DRAWN


@pytest.mark.parametrize(
    ("depths", "art"),
    [
        ([0], [""]),
        ([0, 1, 1], ["", "├─ ", "└─ "]),
        ([0, 1, 2, 2, 1, 2], ["", "├─ ", "│  ├─ ", "│  └─ ", "└─ ", "   └─ "]),
        ([0, 1, 2, 3, 2], ["", "└─ ", "   ├─ ", "   │  └─ ", "   └─ "]),
    ],
    ids=str,
)
def test_the_tree_is_drawn_by_the_generations(depths: list[int], art: list[str]) -> None:
    members = [relative(pid, 0, depth) for pid, depth in enumerate(depths)]
    lines = _drawn(FamilyTree(pid=0, members=members, channels=[], pss=None, one_more=None)).splitlines()
    assert [re.split(r"\d", line, maxsplit=1)[0] for line in lines[3:]] == [f"  {guide}" for guide in art]


def _generations(most: int) -> st.SearchStrategy[list[int]]:
    """Depths of a family whose members stand below their parents."""

    def grown(steps: list[int]) -> list[int]:
        depths = [0]
        for step in steps:
            depths.append(max(1, depths[-1] + 1 - step))
        return depths

    return st.lists(st.integers(0, 5), max_size=most).map(grown)


@given(_generations(30))
def test_every_line_of_the_drawing_leads_to_somebody(depths: list[int]) -> None:
    """Below each `├` or `│` there is line art until a `└` of the same generation ends it."""
    members = [relative(pid, 0, depth) for pid, depth in enumerate(depths)]
    lines = _drawn(FamilyTree(pid=0, members=members, channels=[], pss=None, one_more=None)).splitlines()[3:]
    for above, below in zip(lines, [*lines[1:], ""], strict=True):
        for column, character in enumerate(above):
            if character in "├│":
                assert below[column : column + 1] in ("├", "│", "└")


def test_a_very_deep_family_keeps_its_names_in_sight() -> None:
    members: list[Relative] = [relative(1000 + depth, 0, depth) for depth in range(60)]
    family = FamilyTree(pid=1, members=members, channels=[], pss=None, one_more=None)
    for width in (None, 80, 200):
        shown = _drawn(family, Page(width=width))
        assert all(str(1000 + depth) in shown for depth in range(60))
        assert "…" in shown


def test_a_relative_whose_main_thread_alone_has_ended_is_not_said_to_be_dead() -> None:
    ended = relative(7, 1, 0, state="zombie", threads=2)
    shown = _drawn(FamilyTree(pid=7, members=[ended], channels=[], pss=None, one_more=None))
    assert re.search(r"^  7 app +zombie, main thread ended +2  dynamic", shown, re.MULTILINE)
    assert "waited for" not in shown


def test_without_an_edge_a_long_command_line_does_not_widen_the_tree() -> None:
    members = [relative(7, 1, 0, cmdline=["x" * 1400]), relative(8, 7, 1)]
    family = FamilyTree(pid=7, members=members, channels=[], pss=None, one_more=None)
    assert max(map(cells, _drawn(family).splitlines())) < 130
    assert f"7 {'x' * 59}…  sleeping" in _drawn(family)
    assert "x" * 100 in _drawn(family, Page(width=200))


def test_a_time_of_death_lies_before_the_first_look_that_saw_it_and_after_the_start() -> None:
    assert "dead for 1 min at most, not waited for by 1234" in _drawn(_FAMILY)
    assert "dead for 12 s or longer, not waited for by 1200" in _drawn(_FAMILY)
    assert "dead for 3 s or longer, not waited for by 1234" in _drawn(_FAMILY, moment=Moment(NOW, {1240: NOW - 3}))


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        (_channel("pipe", "p", _end(5, "read", 3)), "nobody here ──→ 5 fd 3"),
        (_channel("pipe", "p", _end(5, "both", 3, 4)), "5 fd 3,4 ──→ 5 fd 3,4"),
        (_channel("unix-socket", "/run/x", _end(5, "both", 3)), "5 fd 3 ─── nobody else here"),
        (_channel("memfd", "m", _end(5, "hold", 3, 4, 5, 6), size=4096), "held by 5 fd 3,4,5…"),
        (_channel("listening", ":80", *(_end(pid, "accept", 3) for pid in range(10))), "5 fd 3 and 4 more"),
        (_channel("listening", ":80", _end(1, "hold", 3)), "held by 1 fd 3"),
    ],
)
def test_a_channel_says_who_holds_which_end(channel: Channel, said: str) -> None:
    family = FamilyTree(pid=1, members=[], channels=[channel], pss=None, one_more=None)
    assert said in _drawn(family).splitlines()[-1]


def test_on_a_narrow_page_the_descriptors_stand_below_a_row_that_has_no_room_for_them() -> None:
    shown = _drawn(_FAMILY, Page(width=80)).splitlines()
    place = next(place for place, line in enumerate(shown) if line.startswith("  listening"))
    assert " accepted by 1234, 1235; held by 1200  " in shown[place]
    assert shown[place + 1] == "                 fd 6 of 1234, 1235, 1200"
    assert any("1200 fd 4 ──→ 1234 fd 0,5" in line for line in shown)


def test_a_lonely_process_has_neither_costs_nor_channels() -> None:
    lonely = FamilyTree(pid=7, members=[relative(7, 1, 0)], channels=[], pss=None, one_more=None)
    assert len(_drawn(lonely).splitlines()) == 4


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    _, evil = hostile("a-name-字-" * 30)
    page = Page(width=width)
    assert max(map(cells, (_drawn(_FAMILY, page) + _drawn(evil, page)).splitlines())) <= width


@given(st.text(st.characters(codec=None, categories=None), min_size=1, max_size=20))
def test_no_name_puts_anything_into_the_drawing_that_does_not_print(name: str) -> None:
    for width in (None, 80):
        assert all(line.isprintable() for line in _drawn(hostile(name)[1], Page(width=width)).split("\n"))


def test_without_unicode_the_drawing_is_ascii() -> None:
    shown = _drawn(_FAMILY, Page(unicode=False))
    assert shown.isascii()
    assert "1200 fd 4 ---> 1234 fd 0,5" in shown

"""The report of one process: what stands in it, that it keeps to its page, and that it is safe to show."""

import base64
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.model.pid import CopyOnWrite, Executable, Opener, Process, ProcessError, ProcessMemory, Restart, Usage
from linkscope.report.lines import painted
from linkscope.report.moment import Moment, duration
from linkscope.report.page import Page, cells
from linkscope.report.process import Result, live_lines, render
from tests.report.processes import KIB, MIB, MOMENT, NOW, family, finding, hostile, mapped, process

_WIDE = Page(width=200)
_SSL = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
_WORKER = process(
    name="nginx",
    cmdline=["nginx: worker process"],
    executable=Executable(path="/usr/sbin/nginx", disk="replaced", linkage="dynamic", pie=True),
    objects=[
        mapped("nginx", "executable", "replaced", "/usr/sbin/nginx"),
        mapped("linux-vdso.so.1", "vdso", path="linux-vdso.so.1"),
        mapped("libssl.so.3", disk="replaced", path=_SSL, restart=Restart(path="/opt/lib/libssl.so.3", build_id=None)),
        mapped("libz.so.1", disk="deleted", restart=Restart(path=None, build_id=None)),
        mapped("ngx_mod.so", "dlopen", opened_by=[Opener(path="/usr/sbin/nginx", how="string")]),
        mapped("libm.so.6", "dlopen-needed"),
        mapped("libtrace.so", "audit", namespaces=[1], memory=None),
    ],
    libraries=5,
    absent=["libgone.so.1"],
    findings=[
        finding("link-map-unknown", "note", message="the list cannot be read"),
        finding("preloaded", message="x.so is preloaded"),
        finding("stale-object", path="/usr/sbin/nginx", message="/usr/sbin/nginx: another file stands there"),
        finding("stale-object", path=_SSL, message="libssl.so.3: another file stands there"),
        finding("text-modified", message="2 pages differ"),
    ],
    family=family(1200, role="nginx worker", children=[1300, 1301], zombies=[1302], orphan=True),
    unit="nginx.service",
)
_REPORT = """\
1234 nginx: worker process
  dynamic PIE · 5 libraries · sleeping · 1 thread · www-data · started 2 h ago · to be restarted

  program      /usr/sbin/nginx, replaced on disk
  unit         nginx.service
  not mapped   libgone.so.1
  family       nginx worker · parent 1200 · an orphan: who forked it has ended, and 1200 has adopted it · 2 children:
               1300, 1301 · zombie 1302

  object           origin                on disk       RSS     PSS   shared     own  path
  nginx            program               replaced  1.4 MiB  20 KiB  1.4 MiB  20 KiB  /usr/sbin/
  linux-vdso.so.1  kernel                          1.4 MiB  20 KiB  1.4 MiB  20 KiB
  libssl.so.3      needed                replaced  1.4 MiB  20 KiB  1.4 MiB  20 KiB  /usr/lib/x86_64-linux-gnu/
    → a restart would map /opt/lib/libssl.so.3
  libz.so.1        needed                deleted   1.4 MiB  20 KiB  1.4 MiB  20 KiB  /lib/
    → a restart would find nothing
  ngx_mod.so       dlopen by nginx                 1.4 MiB  20 KiB  1.4 MiB  20 KiB  /lib/
  libm.so.6        via dlopen                      1.4 MiB  20 KiB  1.4 MiB  20 KiB  /lib/
  libtrace.so      auditor, namespace 1                                              /lib/

  memory       ███████░░░░░░░░░░░░░  PSS 6.0 MiB, RSS 12.0 MiB: 4.0 MiB its own, 8.0 MiB shared with other processes
  writable     ████████░░░░░░░░░░░░  5.0 MiB: 2.0 MiB its own, 3.0 MiB (60 %) still shared with relatives,
                                     copy-on-write

  ✗ 2 of the objects are no longer the files on disk: nginx, libssl.so.3
    → restart nginx.service
  ✗ 2 pages differ
  ! x.so is preloaded
  · the list cannot be read
"""


def _shown(*results: Result, page: Page = _WIDE, moment: Moment = MOMENT) -> str:
    return "".join(render(results, page, moment))


def test_the_whole_report() -> None:
    assert _shown(_WORKER, page=Page(width=118)) == _REPORT


def test_the_report_without_unicode_says_the_same_in_ascii() -> None:
    shown = _shown(_WORKER, page=Page(width=200, unicode=False))
    assert shown.isascii()
    assert "memory       #######.............  PSS" in shown
    assert "\n  x 2 pages differ\n" in shown


def test_a_restart_that_would_fail_is_said_to_fail() -> None:
    there, elsewhere = (
        mapped("liba.so", disk="replaced", restart=Restart(path=path, build_id=None, refused="file too short"))
        for path in ("/lib/liba.so", "/opt/liba.so")
    )
    shown = _shown(process(objects=[there, elsewhere]))
    assert "→ a restart would fail at the file that stands there now: file too short\n" in shown
    assert "→ a restart would fail at /opt/liba.so: file too short\n" in shown


def test_a_line_between_processes_and_a_count_of_those_that_are_stale_or_failed() -> None:
    shown = _shown(_WORKER, process(7), ProcessError(pid=9, error="no such process"), ProcessError(pid=9, error="x"))
    assert "\n\n7 /usr/bin/app --serve\n" in shown
    assert shown.endswith("\n\n2 processes · 1 to be restarted · 1 more could not be analysed\n")


@pytest.mark.parametrize(
    ("processes", "errors", "said"),
    [
        ([1], [2], "1 process · 1 more could not be analysed"),
        ([1], [1], "1 process · analysed only in part"),
        ([1, 2], [1], "2 processes · 1 of them only in part"),
        ([1, 2], [1, 3, 3, 4], "2 processes · 1 of them only in part · 2 more could not be analysed"),
    ],
    ids=str,
)
def test_who_could_be_analysed_only_in_part_is_told_from_who_could_not(
    processes: list[int], errors: list[int], said: str
) -> None:
    results: list[Result] = [*map(process, processes), *(ProcessError(pid=pid, error="…") for pid in errors)]
    assert _shown(*results).splitlines()[-1] == said


def test_of_one_process_no_count_is_made() -> None:
    assert "1 process" not in _shown(process())
    assert _shown(ProcessError(pid=9, error="no such process")) == ""


@pytest.mark.parametrize(
    ("one", "line"),
    [
        pytest.param(
            process(
                executable=Executable(path="/app", disk="same", linkage="static", pie=False), libraries=0, threads=3
            ),
            "static executable, not PIE · no libraries · sleeping · 3 threads · www-data · started 2 h ago",
            id="static",
        ),
        pytest.param(
            process(executable=None, libraries=0, user=None, findings=[finding("kernel-thread", "note")], state="idle"),
            "kernel thread · idle · 1 thread · started 2 h ago",
            id="kernel thread",
        ),
        pytest.param(
            process(executable=None, libraries=None, state="zombie"),
            "zombie · www-data · started 2 h ago",
            id="zombie",
        ),
        pytest.param(
            process(state="zombie", threads=3),
            "dynamic PIE · 2 libraries · zombie, main thread ended · 3 threads · www-data · started 2 h ago",
            id="main thread ended",
        ),
        pytest.param(
            process(executable=None, libraries=None, state="disk-sleep"),
            "program unknown · disk-sleep · 1 thread · www-data · started 2 h ago",
            id="somebody else's",
        ),
        pytest.param(
            process(executable=Executable(path="/app", disk="same", linkage=None, pie=None), libraries=1),
            "program that cannot be read · 1 library · sleeping · 1 thread · www-data · started 2 h ago",
            id="unreadable",
        ),
    ],
)
def test_the_second_line_says_what_the_process_is(one: Process, line: str) -> None:
    assert _shown(one).splitlines()[1] == f"  {line}"


@pytest.mark.parametrize(("libraries", "said"), [(0, "no libraries"), (3, "libraries all the same")])
def test_a_static_program_is_said_to_be_started_by_the_kernel_alone(libraries: int, said: str) -> None:
    executable = Executable(path="/app", disk="memfd", linkage="static", pie=True)
    shown = _shown(process(executable=executable, libraries=libraries))
    assert f"started      by the kernel alone: no interpreter, {said}\n" in shown
    assert "program      /app, in memory only\n" in shown


def test_who_was_started_through_the_loader_or_runs_a_script_says_so() -> None:
    executable = Executable(
        path="/bin/x", disk="same", linkage="dynamic", pie=True, started_through="/lib/ld.so", script="/srv/x.py"
    )
    shown = _shown(process(executable=executable, container="docker 3f2a", root="/srv/jail"))
    facts = [
        "script       /srv/x.py",
        "started      through /lib/ld.so",
        "container    docker 3f2a",
        "root         /srv/jail",
    ]
    assert all(f"  {fact}\n" in shown for fact in facts)


@pytest.mark.parametrize(
    ("name", "cmdline", "title"),
    [
        ("nginx", ["nginx: master process /usr/sbin/nginx"], "nginx: master process /usr/sbin/nginx"),
        ("sh", ["sh", "-c", "echo hi", ""], 'sh -c "echo hi" ""'),
        ("kthreadd", [], "[kthreadd]"),
        ("scrubbed", ["", ""], "[scrubbed]"),
    ],
)
def test_the_headline_is_the_command_line_as_it_would_be_typed(name: str, cmdline: list[str], title: str) -> None:
    assert _shown(process(5, name=name, cmdline=cmdline)).splitlines()[0] == f"5 {title}"


def test_a_name_that_the_command_line_does_not_show_is_a_fact() -> None:
    assert "  name         renamed\n" in _shown(process(name="renamed"))
    assert "  name  " not in _shown(process(name="app"))


def test_what_mends_a_stale_process_is_said_by_whom_it_is_kept_running() -> None:
    stale = [finding("stale-object", path="/lib/x", message="/lib/x: another file")]
    assert "→ restart it\n" in _shown(process(findings=stale))
    assert "→ restart a.service\n" in _shown(process(findings=stale, unit="a.service"))
    assert "→ restart the container docker 1\n" in _shown(process(findings=stale, unit="x.scope", container="docker 1"))
    assert "✗ /lib/x: another file\n" in _shown(process(findings=stale))


def test_a_root_folder_that_looks_like_the_callers_own_is_another_ones() -> None:
    assert "  root         /srv/jail\n" in _shown(process(root="/srv/jail"))
    assert "  root         / in another mount namespace\n" in _shown(process(root="/"))


def test_a_zombie_is_said_to_be_dead_since_it_was_first_seen() -> None:
    parent = process(family=family(zombies=[7, 8]))
    assert "2 zombies: 7, 8\n" in _shown(parent)
    assert "zombie 8, dead for 1 min or longer · zombie 7\n" in _shown(parent, moment=Moment(NOW, {8: NOW - 61}))


def test_of_a_large_family_only_some_are_named() -> None:
    shown = _shown(process(family=family(children=list(range(2, 102)), zombies=list(range(200, 300)))))
    assert "100 children: 2, 3, 4, 5, 6, 7 and 94 more" in shown
    assert "100 zombies: 200, 201, 202, 203, 204, 205 and 94 more" in shown


@pytest.mark.parametrize(
    ("common", "said"),
    [
        (CopyOnWrite(private_memory=0, shared=0, own=0), None),
        (CopyOnWrite(private_memory=MIB, shared=0, own=MIB), "1.0 MiB: all of it its own"),
        (CopyOnWrite(private_memory=MIB, shared=MIB, own=0), "nothing its own, 1.0 MiB (100 %) still shared"),
        (CopyOnWrite(private_memory=MIB, shared=1, own=MIB - 1), "1 KiB (1 %) still shared with relatives"),
        (CopyOnWrite(private_memory=MIB, shared=MIB - 1, own=1), "1.0 MiB (99 %) still shared with relatives"),
    ],
)
def test_what_fork_left_in_common_is_said_in_words(common: CopyOnWrite, said: str | None) -> None:
    memory = ProcessMemory(rss=MIB, pss=MIB, shared=0, private=MIB, swap=3 * KIB, copy_on_write=common)
    shown = _shown(process(memory=memory))
    assert "1.0 MiB its own, nothing shared; 3 KiB more are swapped out\n" in shown
    assert (said in shown) if said else ("writable" not in shown)


def test_of_a_process_without_memory_none_is_spoken_of() -> None:
    nothing = ProcessMemory(
        rss=0, pss=0, shared=0, private=0, swap=0, copy_on_write=CopyOnWrite(private_memory=0, shared=0, own=0)
    )
    assert "memory" not in _shown(process(memory=nothing))
    assert "memory" in _shown(process(memory=msgspec.structs.replace(nothing, swap=4096)))


def test_what_may_not_be_read_is_left_out() -> None:
    shown = _shown(process(objects=None, memory=None, executable=None))
    assert "memory" not in shown
    assert "origin" not in shown


def test_a_live_report_shows_the_objects_last() -> None:
    shown = painted(live_lines(_WORKER, _WIDE, MOMENT), _WIDE)
    assert shown.index("memory ") < shown.index("✗ ") < shown.index("object ")
    assert shown.splitlines()[-1].strip().endswith("/lib/libtrace.so")


def test_a_narrow_page_leaves_sizes_out_before_names_and_paths() -> None:
    quiet = process(objects=[mapped("libreadline.so.8"), mapped("libc.so.6", path="/lib/x86_64-linux-gnu/libc.so.6")])
    titles = {
        width: next(line for line in _shown(quiet, page=Page(width=width)).splitlines() if "origin" in line).split()
        for width in (200, 80, 60)
    }
    assert titles[200] == ["object", "origin", "RSS", "PSS", "shared", "own", "path"]
    assert "own" in titles[80]
    assert titles[60] == ["object", "origin", "PSS", "path"]


def test_a_narrow_page_shows_the_folder_where_the_name_is_known_already() -> None:
    long = mapped("libreadline.so.8", path="/usr/lib/x86_64-linux-gnu/libreadline.so.8")
    assert _line_of("libreadline.so.8", Page(width=80), long).endswith("  /usr/lib/x86_64-linux-gnu/")
    assert _line_of("libreadline.so.8", Page(width=140), long).endswith("/libreadline.so.8")


def _line_of(name: str, page: Page, *objects: Any) -> str:
    lines = _shown(process(objects=list(objects)), page=page).splitlines()
    return next(line for line in lines if line.startswith(f"  {name}"))


def test_a_name_is_shown_by_its_bytes_wherever_they_are_known() -> None:
    raw = {name: base64.b64encode(b"/lib/" + name.encode() + b"\xff.so").decode() for name in "ab"}
    paths = {name: f"/lib/{name}\ufffd.so" for name in "ab"}
    shown = _shown(
        process(
            objects=[mapped("", path=paths[name], path_bytes=raw[name], soname=None, disk="deleted") for name in "ab"],
            findings=[finding("stale-object", path=path) for path in paths.values()],
        )
    )
    assert "\n  a\\xff.so  needed  deleted  " in shown
    assert "no longer the files on disk: a\\xff.so, b\\xff.so\n" in shown
    assert "\ufffd" not in shown


def test_warnings_stand_before_notes() -> None:
    notes = [finding("orphan-unknown", "note", message="a note"), finding("zombie", "note", message="another")]
    shown = _shown(process(findings=[*notes, finding("zombie-children", message="a warning"), *notes]))
    assert [line for line in shown.splitlines() if line.endswith(("note", "warning", "another"))] == [
        "  ! a warning",
        *["  · a note", "  · another"] * 2,
    ]


def test_sizes_end_at_one_edge() -> None:
    large = mapped("libb.so", memory=Usage(rss=312 * MIB, pss=0, shared=5 * MIB, private=4 * KIB))
    lines = [_line_of(name, _WIDE, mapped("liba.so"), large) for name in ("liba", "libb")]
    assert lines[0].index("1.4 MiB") + 7 == lines[1].index("312 MiB") + 7
    assert lines[0].index("  /lib") == lines[1].index("  /lib")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("live", [False, True])
def test_no_line_is_wider_than_the_page(width: int, live: bool) -> None:
    page = Page(width=width)
    evil, _ = hostile("a-rather-long-name/with/folders/and-wide-字-characters-" * 3)
    for one in (_WORKER, evil):
        shown = painted(live_lines(one, page, MOMENT), page) if live else _shown(one, page=page)
        unbroken = [line for line in shown.splitlines() if "a-rather-long" not in line or "…" in line]
        assert max(map(cells, unbroken)) <= width


def test_the_text_is_the_same_with_colour_and_without() -> None:
    coloured = _shown(_WORKER, page=Page(width=80, colour=True))
    assert "\x1b[1;31m" in coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in bare.splitlines()] == _shown(_WORKER, page=Page(width=80)).splitlines()


@given(st.text(st.characters(codec=None, categories=None), min_size=1, max_size=20))
def test_no_name_puts_anything_into_the_report_that_does_not_print(name: str) -> None:
    for width in (None, 80):
        assert all(line.isprintable() for line in _shown(*hostile(name), page=Page(width=width)).split("\n"))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_a_duration_in_its_largest_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said

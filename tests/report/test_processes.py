"""The table of all processes, and what --stale says: the columns, the counts, and what has to be restarted."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.model.pid import Executable, Process, ProcessError
from linkscope.report import restarts
from linkscope.report.moment import Moment
from linkscope.report.page import Page, cells
from linkscope.report.processes import Left, render
from tests.report.processes import MOMENT, NOW, family, finding, hostile, mapped, process

_KERNEL = process(
    2,
    name="kthreadd",
    cmdline=[],
    user="root",
    executable=None,
    libraries=0,
    memory=None,
    state="idle",
    findings=[finding("kernel-thread", "note")],
)
_ZOMBIE = process(
    77,
    ppid=5,
    name="sh",
    cmdline=[],
    executable=None,
    libraries=0,
    memory=None,
    state="zombie",
    findings=[finding("zombie", "note")],
)
_CLOSED = process(
    1,
    name="init",
    user="root",
    cmdline=["init"],
    executable=None,
    libraries=None,
    memory=None,
    findings=[finding("not-permitted", "note")],
)
_STATIC = process(9, executable=Executable(path="/app", disk="same", linkage="static", pie=False), libraries=0)
_SSL = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
_STALE = process(
    1234,
    name="nginx",
    cmdline=["nginx: worker process"],
    findings=[
        finding("preloaded"),
        finding("zombie-children", pids=[1, 2]),
        finding("stale-object", path=_SSL, message=f"{_SSL}: another file stands at its path now"),
        finding("stale-object", path="/usr/sbin/nginx", message="/usr/sbin/nginx: another file"),
        finding("disk-unknown"),
    ],
    unit="nginx.service",
)
_ENDLESS, _WIDE, _NONE_LEFT = Page(), Page(width=120), Left()
_TABLE = """\
 pid  user      name      state     linkage  libs      PSS  findings                               command
   1  root      init      sleeping  -                       not permitted                          init
   2  root      kthreadd  idle      kernel                                                         [kthreadd]
   9  www-data  app       sleeping  static      0  6.0 MiB                                         /usr/bin/app --serve
  77  www-data  sh        zombie    -                       not reaped by 5                        [sh]
1234  www-data  nginx     sleeping  dynamic     2  6.0 MiB  2 stale, preloaded, 2 zombies, 1 more  nginx: worker process

5 processes · 1 to be restarted (linkscope ps --stale) · 58 kernel threads left out (--kernel-threads)
! 12 processes could not be looked into, or only in part: run as root to see more
"""


def _table(*processes: Process, page: Page = _ENDLESS, left: Left = _NONE_LEFT, moment: Moment = MOMENT) -> str:
    return "".join(render(processes, left, page, moment))


def _restarts(*results: Process | ProcessError, page: Page = _WIDE) -> str:
    return "".join(restarts.render(results, page))


def test_the_whole_table() -> None:
    left = Left(kernel_threads=58, closed=12)
    assert _table(_CLOSED, _KERNEL, _STATIC, _ZOMBIE, _STALE, page=_WIDE, left=left) == _TABLE


def test_without_a_process_there_is_no_table() -> None:
    assert _table(left=Left(closed=1)) == (
        "no processes\n! 1 process could not be looked into, or only in part: run as root to see more\n"
    )


def test_a_zombie_that_was_watched_is_said_to_be_dead_since_then() -> None:
    assert "dead for 12 s or longer, not reaped by 5" in _table(_ZOMBIE, moment=Moment(NOW, {77: NOW - 12}))


def test_a_process_whose_main_thread_alone_has_ended_is_not_said_to_be_dead() -> None:
    shown = _table(process(state="zombie", threads=2, findings=[finding("preloaded")]))
    assert "  zombie, main thread ended  dynamic  " in shown
    assert "  preloaded  " in shown
    assert "reaped" not in shown


def test_objects_stand_below_their_process() -> None:
    lines = _table(process(objects=[mapped("libc.so.6")], libraries=1), _STATIC).splitlines()
    assert lines[2].split()[:2] == ["object", "origin"]
    assert lines[3].startswith("    libc.so.6  needed  ")
    assert lines[4].split()[0] == "9"


def test_a_narrow_page_leaves_out_the_command_line_first() -> None:
    assert "command" not in _table(_STALE, _STATIC, page=Page(width=80))
    assert "PSS" in _table(_STALE, _STATIC, page=Page(width=60))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    page = Page(width=width)
    evil, _ = hostile("a-name-字-" * 30)
    shown = _table(_CLOSED, _KERNEL, _STATIC, _ZOMBIE, _STALE, evil, page=page, left=Left(kernel_threads=58))
    assert max(map(cells, shown.splitlines()[:7])) <= width
    shown = _restarts(_STALE, _STATIC, ProcessError(pid=1, error="…"), page=page)
    assert max(cells(line) for line in shown.splitlines() if _SSL not in line) <= width


_LIBS = [mapped("libssl.so.3", disk="replaced", path=_SSL), mapped("nginx", "executable", "deleted", "/usr/sbin/nginx")]


def test_each_stale_process_has_its_files_and_who_keeps_it_running_below_it() -> None:
    shown = _restarts(_STATIC, process(1234, **_facts(_STALE), objects=_LIBS))
    assert shown == (
        "1234 nginx: worker process · www-data · nginx.service\n"
        f"    replaced     {_SSL}\n"
        "    deleted      /usr/sbin/nginx\n"
        "\n"
        "restart      nginx.service\n"
    )


def _python(pid: int, script: str) -> Process:
    executable = Executable(path="/usr/bin/python3", disk="same", linkage="dynamic", pie=True, script=script)
    return process(
        pid, name="python3", cmdline=["python3", script], executable=executable, findings=_FOUND, objects=_LIBS
    )


_FOUND = [finding("stale-object", path=_SSL)]


def test_many_processes_of_one_kind_are_one_block() -> None:
    many = [process(pid, findings=_FOUND, objects=_LIBS, cmdline=["app", str(pid)]) for pid in range(1000, 1500)]
    shown = _restarts(*many, _python(9, "/srv/x.py"), page=Page(width=60))
    assert shown == (
        "1000 app 1000 · www-data\n"
        "    and 499 more: 1001, 1002, 1003, 1004, 1005, 1006, 1007 …\n"
        f"    replaced     {_SSL}\n"
        "9 python3 /srv/x.py · www-data\n"
        f"    replaced     {_SSL}\n"
        "\n"
        "by hand      app (500 processes), 9 python3 /srv/x.py\n"
    )
    assert "1010" in _restarts(*many, page=Page())
    assert "1020" not in _restarts(*many, page=Page())


def test_what_differs_in_program_user_unit_script_or_file_is_no_block() -> None:
    other = [finding("stale-object", path="/usr/sbin/nginx")]
    program = Executable(path="/usr/bin/other", disk="same", linkage="dynamic", pie=True)
    shown = _restarts(
        *(process(1, findings=_FOUND, objects=_LIBS), process(2, findings=_FOUND, objects=_LIBS, user="root")),
        *(process(3, findings=_FOUND, objects=_LIBS, unit="a.service"), process(4, findings=other, objects=_LIBS)),
        *(_python(5, "/srv/x.py"), _python(6, "/srv/y.py")),
        process(7, findings=_FOUND, objects=_LIBS, executable=program),
    )
    assert " more: " not in shown
    assert "by hand      app (4 processes), 5 python3 /srv/x.py, 6 python3 /srv/y.py\n" in shown


def test_the_numbers_that_fill_a_line_to_its_end_are_all_there() -> None:
    three = [process(pid, findings=_FOUND, objects=_LIBS) for pid in (10, 11, 12)]
    line = "    and 2 more: 11, 12"
    assert f"{line}\n" in _restarts(*three, page=Page(width=len(line)))
    assert "    and 2 more: 11 …\n" in _restarts(*three, page=Page(width=len(line) - 1))
    assert "    and 2 more: …\n" in _restarts(*three, page=Page(width=17))


def test_a_path_is_shown_by_its_bytes_where_they_are_known() -> None:
    path, raw = "/lib/n\ufffd.so", base64.b64encode(b"/lib/n\xff.so").decode()
    gone = mapped("x", disk="deleted", path=path, path_bytes=raw)
    assert "    deleted      /lib/n\\xff.so\n" in _restarts(
        process(findings=[finding("stale-object", path=path)], objects=[gone])
    )


def _facts(one: Process) -> dict[str, object]:
    return {name: getattr(one, name) for name in ("name", "cmdline", "findings", "unit")}


def test_without_its_objects_the_findings_say_what_is_stale() -> None:
    assert f"    {_SSL}: another file stands at its path now\n" in _restarts(_STALE)


def test_what_has_to_be_done_is_said_of_each_by_who_keeps_it_running() -> None:
    stale = [finding("stale-object", path="/lib/x", message="/lib/x: another file")]
    sessions = [process(pid, findings=stale, unit="session-3.scope") for pid in range(20, 25)]
    script = [finding("stale-script", path="/srv/x.py", message="/srv/x.py was changed")]
    shown = _restarts(
        process(10, findings=stale, unit="b.service"),
        process(11, findings=stale, unit="a.service"),
        process(12, findings=stale, unit="a.service"),
        process(13, findings=stale, unit="c.service", container="docker 3f2a"),
        process(14, findings=script),
        process(1, findings=stale, unit="init.scope"),
        *sessions,
        process(30, findings=[finding("old-kernel", message="6.1.0-9 is installed, and 6.1.0-8 runs")]),
    )
    assert shown.split("\n\n")[-1] == (
        "restart      b.service, a.service\n"
        "container    docker 3f2a\n"
        "log in anew  session-3.scope (20 app, 21 app, 22 app and 2 more)\n"
        "by hand      14 app\n"
        "init         systemctl daemon-reexec\n"
        "reboot       6.1.0-9 is installed, and 6.1.0-8 runs\n"
    )
    assert "30 /usr/bin/app" not in shown
    assert "    /srv/x.py was changed\n" in shown


def test_where_nothing_is_stale_one_line_says_so() -> None:
    nothing = "nothing has to be restarted: no process runs what is no longer on the disk\n"
    assert _restarts(_STATIC, _KERNEL, _CLOSED) == nothing
    closed = [ProcessError(pid=1, error="x"), ProcessError(pid=1, error="y"), ProcessError(pid=2, error="x")]
    nothing = "nothing has to be restarted: no process that could be looked into runs what is no longer on the disk\n"
    told = f"{nothing}! 2 processes could not be looked into, or only in part"
    assert _restarts(*closed) == f"{told}: run as root to see more\n"
    assert "".join(restarts.render(closed, _WIDE, root=True)) == f"{told}\n"


@given(st.text(st.characters(codec=None, categories=None), min_size=1, max_size=20))
def test_no_name_puts_anything_into_the_report_that_does_not_print(name: str) -> None:
    evil, _ = hostile(name)
    for page in (Page(), Page(width=80)):
        for shown in (_table(evil, page=page), _restarts(evil, page=page)):
            assert all(line.isprintable() for line in shown.split("\n"))


def test_a_family_in_a_table_is_not_told_of() -> None:
    assert "child" not in _table(process(family=family(children=[5])))

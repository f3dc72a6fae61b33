"""The report for people: what stands in it, that it keeps to its page, and that it is safe to show."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.model.document import AnalysisError
from linkscope.model.inspect import Dlopen, ElfHeader, File, Hardening, Libc, Problem, Toolchain, Unresolved
from linkscope.report.page import Page, cells
from linkscope.report.text import render
from tests.report.documents import hostile, library, program

_WIDE = Page(width=200)
_LIBC = library(
    "libc.so.6", ["app", "/opt/x/lib/libmid.so"], path="/lib/x86_64-linux-gnu/libc.so.6", found_by="ld.so.cache"
)
_APP = program(
    [
        library("libmid.so", ["app"], path="/opt/x/lib/libmid.so", found_by="runpath"),
        library("libgone.so.1", ["app"], found_by=None),
        _LIBC,
        library("ld-linux-x86-64.so.2", ["libc.so.6"], path="/lib64/ld-linux-x86-64.so.2", found_by="interpreter"),
    ],
    runpath=["$ORIGIN/lib", "/opt/x/lib"],
    requires={"GLIBC": "2.34", "GLIBCXX": "3.4.29"},
    requires_other=["GLIBC_PRIVATE"],
    build_id="0daa1a38",
    toolchain=Toolchain(compiler=["GCC: (Debian 12.2.0-14) 12.2.0"], language="C++"),
    problems=[
        Problem(code="audit", fatal=False, subject="a.so", needed_by=None, message="an audit library is loaded first"),
        Problem(
            code="missing-library",
            fatal=True,
            subject="libgone.so.1",
            needed_by="app",
            message="libgone.so.1, needed by app, is not found",
            remedies=["link app with -Wl,-rpath,'$ORIGIN'", "or run ldconfig"],
        ),
    ],
    dlopen=[Dlopen(soname=["libpcre2-8.so.0"], feature="regex", priority="recommended", found="/lib/libpcre2-8.so.0")],
)
_REPORT = """\
app
  dynamic PIE · x86-64 · glibc ≥ 2.34 · 2 libraries found, 1 missing · does not start

  interpreter  /lib64/ld-linux-x86-64.so.2
  runpath      $ORIGIN/lib, /opt/x/lib
  requires     GLIBC 2.34, GLIBCXX 3.4.29, GLIBC_PRIVATE
  hardening    full RELRO, bind now, NX, stack canary, fortify, no CET
  made with    C++, GCC 12.2.0 (Debian 12.2.0-14)
  build id     0daa1a38

  ├─ libmid.so             runpath      /opt/x/lib/libmid.so
  ├─ libgone.so.1          not found
  ├─ libc.so.6             ld.so.cache  /lib/x86_64-linux-gnu/libc.so.6
  │     also needed by libmid.so
  └─ ld-linux-x86-64.so.2  interpreter  /lib64/ld-linux-x86-64.so.2

  may load while it runs
    libpcre2-8.so.0  recommended, regex  /lib/libpcre2-8.so.0

  ✗ libgone.so.1, needed by app, is not found
    → link app with -Wl,-rpath,'$ORIGIN'
    → or run ldconfig
    `linkscope why app libgone.so.1` shows every place where the loader looks.
  ! an audit library is loaded first
"""


def _shown(file: File, page: Page = _WIDE) -> str:
    return "".join(render([file], page))


def test_a_whole_report() -> None:
    assert _shown(_APP) == _REPORT


def test_files_are_set_apart_and_counted_and_errors_are_left_to_standard_error() -> None:
    error = AnalysisError(path="x", error="not an ELF file")
    count = "2 files · 2 with a problem that keeps it from starting · 2 not analysed\n"
    assert "".join(render([error, _APP, error, _APP], _WIDE)) == f"{_REPORT}\n{_REPORT}\n{count}"


@pytest.mark.parametrize(
    ("path", "library", "given", "command"),
    [
        pytest.param(
            "/bin/a b",
            "x.so",
            ("--root", "./my image", "--secure", "yes"),
            "linkscope why --root './my image' --secure yes '/bin/a b' x.so",
            id="the options under which it was answered",
        ),
        pytest.param("-x", "y.so", (), "linkscope why ./-x y.so", id="a program like an option"),
        pytest.param("x", "-y.so", (), "linkscope why -- x -y.so", id="a library like an option"),
    ],
)
def test_the_command_that_tells_more_speaks_of_the_same_start(
    path: str, library: str, given: tuple[str, ...], command: str
) -> None:
    problem = Problem(code="missing-library", fatal=True, subject=library, needed_by=path, message="…")
    assert f"`{command}`" in _shown(program([], path=path, problems=[problem]), Page(given=given))


_STATIC: dict[str, Any] = {"linkage": "static", "interpreter": None, "requires": {}}
_ARM = ElfHeader(class_=32, endian="big", machine="arm", type="EXEC")
_MUSL = library("libc.so", ["app"], path="/lib/ld-musl-x86_64.so.1", found_by="interpreter")
_BAD = Problem(code="bad-candidate", fatal=True, subject="/lib/x", needed_by="app", message="…")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        pytest.param(program([]), "dynamic PIE · x86-64 · glibc ≥ 2.34 · no libraries", id="no libraries"),
        pytest.param(program([_LIBC]), "dynamic PIE · x86-64 · glibc ≥ 2.34 · 1 library", id="one library"),
        pytest.param(
            program([], pie=False, requires={}),
            "dynamic executable, not PIE · x86-64 · glibc · no libraries",
            id="no PIE",
        ),
        pytest.param(
            program([_LIBC], problems=[_BAD]),
            "dynamic PIE · x86-64 · glibc ≥ 2.34 · 1 library · does not start",
            id="fatal, nothing missing",
        ),
        pytest.param(
            program([library("g", ["app"], found_by=None)]),
            "dynamic PIE · x86-64 · glibc ≥ 2.34 · no libraries found, 1 missing",
            id="none found",
        ),
        pytest.param(
            program([_MUSL], libc=Libc(family="musl"), requires={}),
            "dynamic PIE · x86-64 · musl · 1 library",
            id="musl's loader is a library",
        ),
        pytest.param(
            program([msgspec.structs.replace(_MUSL, needed_by=[])], libc=Libc(family="musl"), requires={}),
            "dynamic PIE · x86-64 · musl · no libraries",
            id="unless nobody needs it",
        ),
        pytest.param(
            program([], pie=False, libc=Libc(family="glibc", version="2.36"), **_STATIC),
            "static executable, not PIE · x86-64 · glibc 2.36",
            id="static",
        ),
        pytest.param(
            program([], libc=Libc(family="none"), **_STATIC), "static PIE · x86-64 · no C library", id="no C library"
        ),
        pytest.param(
            program([], kind="shared-library", linkage=None, libc=Libc(family="musl"), requires={}),
            "shared library · x86-64 · musl · no libraries",
            id="library",
        ),
        pytest.param(
            program([], kind="relocatable", elf=_ARM, libc=Libc(family="unknown"), linkage=None),
            "object file, not linked yet · Arm 32-bit big-endian",
            id="object file",
        ),
        pytest.param(
            program(
                [],
                kind="core",
                elf=ElfHeader(class_=32, endian="little", machine="4711", type="CORE"),
                libc=Libc(family="unknown"),
            ),
            "core dump · 4711 32-bit little-endian",
            id="unknown machine",
        ),
    ],
)
def test_the_second_line_says_what_the_file_is(file: File, line: str) -> None:
    assert _shown(file).splitlines()[1] == f"  {line}"


def test_a_static_program_is_said_to_need_no_loader() -> None:
    assert "started      by the kernel alone: no loader, no libraries\n" in _shown(program([], **_STATIC))


def test_a_measure_that_the_file_cannot_tell_is_not_spoken_of() -> None:
    unknown = Hardening(relro=None, bind_now=None, nx=False, canary=None, fortify=None)
    assert "hardening    executable stack\n" in _shown(program([], hardening=unknown))


@pytest.mark.parametrize("linkage", ["static", "dynamic"])
def test_of_lazy_binding_nothing_is_said_where_nothing_is_bound_later(linkage: str) -> None:
    lazy = Hardening(relro="full", bind_now=False, nx=True, canary=None, fortify=None)
    assert ("lazy binding" in _shown(program([], hardening=lazy, linkage=linkage))) is (linkage == "dynamic")


@pytest.mark.parametrize(
    ("comment", "shown"),
    [
        ("GCC: (Debian 12.2.0-14+deb12u1) 12.2.0", "GCC 12.2.0 (Debian 12.2.0-14+deb12u1)"),
        ("GCC: (GNU) 14.2.1 20240910", "GCC 14.2.1 20240910 (GNU)"),
        ("Debian clang version 14.0.6", "Debian clang version 14.0.6"),
        ("GCC: (", "GCC: ("),
    ],
)
def test_a_compiler_is_named_with_its_version_first(comment: str, shown: str) -> None:
    assert f"made with    {shown}\n" in _shown(program([], toolchain=Toolchain(compiler=[comment], language=None)))


def test_without_an_edge_all_that_need_a_library_are_named() -> None:
    needers = [library(f"lib-of-some-length-{number}.so", ["app"]) for number in range(30)]
    last = library("last.so", ["app", *(needer.path or "" for needer in needers)])
    assert "and" not in _shown(program([*needers, last]), Page()).split("also needed by ")[1]
    assert "more\n" in _shown(program([*needers, last]))


def test_a_name_whose_search_ended_at_a_bad_file_is_refused_and_not_missing() -> None:
    assert re.search(r"libx.so +refused", _shown(program([library("libx.so", ["app"], found_by=None)], missing=[])))


def test_symbols_that_nobody_defines_are_listed_with_when_they_fail() -> None:
    symbols = [
        Unresolved(symbol="frob", version="FOO_1.2", needed_by="app", fails="start"),
        Unresolved(symbol="late", version=None, needed_by="/lib/libmid.so", fails="first-call"),
    ]
    alike = [
        Problem(
            code="unresolved-symbol", fatal=fatal, subject="frob", needed_by="app", message="frob is defined nowhere"
        )
        for fatal in (False, True, False)
    ]
    shown = _shown(program([], unresolved=symbols, unused=["libm.so.6"], problems=alike))
    assert "frob@FOO_1.2  fails at the start       app\n" in shown
    assert "late          fails at the first call  /lib/libmid.so\n" in shown
    assert "not used     libm.so.6\n" in shown
    assert "frob is defined nowhere" not in shown
    assert "✗ the start fails for want of 1 of the symbols above\n" in shown
    assert "! 2 of the symbols above would be missed at the first call\n" in shown
    assert "every one is defined" in _shown(program([], unresolved=[], unused=[]))


def test_of_many_symbols_the_first_are_shown_and_the_others_counted() -> None:
    names = [f"PyThing{number}" for number in range(300)]
    symbols = [Unresolved(symbol=name, version=None, needed_by="x.so", fails="first-call") for name in names]
    lines = _shown(program([], unresolved=symbols)).splitlines()
    shown = [line for line in lines if "PyThing" in line]
    assert shown
    assert len(shown) < 20
    assert f"    and {300 - len(shown)} more" in lines


def test_what_can_be_done_is_said_once_for_fatal_and_harmless_problems_of_a_kind() -> None:
    alike = [
        Problem(code="unresolved-symbol", fatal=fatal, subject="f", needed_by="app", message="…")
        for fatal in (True, False)
    ]
    assert _shown(program([], problems=alike)).count("A library that defines it is not linked") == 1


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    deep = [library("libfirst.so", ["app"])]
    for depth in range(12):
        above = deep[-1].path or ""
        name = f"libwith-a-rather-long-name-{depth}.so.{depth}"
        deep.append(library(name, ["app", above][1:], path=f"/usr/lib/x86_64-linux-gnu/a/folder/{name}"))
    lines = _shown(program([*deep, *_APP.closure], problems=_APP.problems), Page(width=width)).splitlines()
    assert max(map(cells, lines)) <= width


def test_a_narrow_page_shows_the_folder_where_the_name_is_known_already() -> None:
    entry = library("libreadline.so.8", ["app"], path="/lib/x86_64-linux-gnu/libreadline.so.8")
    assert "libreadline.so.8  default path  /lib/x86_64-linux-gnu/\n" in _shown(program([entry]), Page(width=60))
    assert "default path  /lib/x86_64-linux-gnu/libreadline.so.8\n" in _shown(program([entry]), Page(width=90))


def test_the_text_is_the_same_with_colour_and_without() -> None:
    coloured = _shown(_APP, Page(width=80, colour=True))
    assert "\x1b[" in coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in bare.splitlines()] == _shown(_APP, Page(width=80)).splitlines()


@given(st.text(st.characters(codec=None, categories=None), min_size=1, max_size=20))
def test_no_name_puts_anything_into_the_report_that_does_not_print(name: str) -> None:
    for width in (None, 80):
        assert all(line.isprintable() for line in _shown(hostile(name), Page(width=width)).split("\n"))
